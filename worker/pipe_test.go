package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

// The stories run the real packages: queue, gate, token store and ledger on a
// Redis, against the simulated platform. Several processes are several workers,
// each with everything of its own but Redis.

// china is where the quota's day turns.
const china = 8 * time.Hour

// terms are what a story changes about its processes.
type terms struct {
	rate        float64
	quota       int64
	reserve     float64
	concurrency int
	policy      worker.Policy
	callTimeout time.Duration
	drain       time.Duration
	keep        time.Duration
	keys        string // worker.Config.SealKeys
}

// pipe is a platform and a Redis, with the messages between them.
type pipe struct {
	*testing.T
	p      *wechattest.Platform
	admin  redis.UniversalClient    // the test's own
	dial   func() (net.Conn, error) // another connection to the same Redis
	terms  terms
	logs   *observer.ObservedLogs
	logger *zap.Logger

	mu     sync.Mutex
	events []worker.Event
	waits  []time.Duration // for permits
}

func (p *pipe) waited() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.waits)
}

// newPipe is for a bubble: miniredis and connections without sockets.
func newPipe(t *testing.T, cfg wechattest.Config, terms terms) *pipe {
	t.Helper()
	mini, _ := redistest.Mini(t)
	dial := func() (net.Conn, error) {
		conn, err := mini.Dial()
		if err != nil {
			return nil, err
		}
		return redistest.Buffered(conn), nil
	}
	rdb := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", Protocol: 2, DisableIdentity: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return dial() },
	})
	t.Cleanup(func() { _ = rdb.Close() })
	p := pipeOn(t, rdb, cfg, terms)
	p.dial = dial
	return p
}

func pipeOn(t *testing.T, rdb redis.UniversalClient, cfg wechattest.Config, terms terms) *pipe {
	t.Helper()
	cfg.AnyTemplate = true
	platform := wechattest.New(cfg)
	t.Cleanup(platform.Close)
	core, logs := observer.New(zapcore.InfoLevel)
	return &pipe{T: t, p: platform, admin: rdb, terms: terms, logs: logs, logger: zap.New(core)}
}

// process is one worker process.
type process struct {
	*pipe
	cancel context.CancelFunc
	done   chan error
	dead   atomic.Bool
	rdb    redis.UniversalClient
	ip     string // where its calls come from; empty: the loopback
	worker *worker.Worker
	close  []func()
}

// start runs a worker for all accounts of the platform until stop, or the
// story's end.
func (p *pipe) start() *process {
	p.Helper()
	return p.startFrom("")
}

// startFrom is start on a machine whose calls to WeChat come from ip.
func (p *pipe) startFrom(ip string) *process {
	p.Helper()
	w := &process{pipe: p, ip: ip, done: make(chan error, 1)}
	w.rdb = w.client()
	cfg := worker.Config{
		Redis: w.rdb, Concurrency: p.terms.concurrency, DrainTimeout: p.terms.drain, Logger: p.logger,
		SealKeys: wechat.NewSecret(p.terms.keys),
		OnEvent: func(e worker.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, e)
		},
		OnGateWait: func(_ string, wait time.Duration) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.waits = append(p.waits, wait)
		},
	}
	for _, a := range p.p.Accounts() {
		cfg.Accounts = append(cfg.Accounts, w.account(a.AppID()))
	}
	run, err := worker.New(cfg)
	if err != nil {
		p.Fatal(err)
	}
	w.worker = run
	ctx, cancel := context.WithCancel(p.Context())
	w.cancel = cancel
	go func() { w.done <- run.Run(ctx) }()
	p.Cleanup(func() { _ = w.stop() })
	return w
}

// client is a Redis client that kill cuts off.
func (w *process) client() *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			if w.dead.Load() {
				conn, _ := net.Pipe()
				return &mortal{Conn: conn, dead: &w.dead}, nil
			}
			conn, err := w.dial()
			if err != nil {
				return nil, err
			}
			return &mortal{Conn: conn, dead: &w.dead}, nil
		},
	})
	w.close = append(w.close, func() { _ = rdb.Close() })
	return rdb
}

// mortal is a connection of a process that may be killed: nothing comes through
// any more, and it hears of that by its own timeouts only.
type mortal struct {
	net.Conn
	dead *atomic.Bool
}

func (c *mortal) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *mortal) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.dead.Load() {
			return n, err
		}
	}
}

// account wires the rooms as cmd does.
func (w *process) account(appid string) worker.Account {
	w.Helper()
	fatal := func(err error) {
		if err != nil {
			w.Fatal(err)
		}
	}
	gate, err := ratelimit.New(w.rdb, ratelimit.Config{
		Key: "wxn:{" + appid + "}:", Rate: w.terms.rate, DailyQuota: w.terms.quota,
		Reserve: w.terms.reserve, UTCOffset: china, Owner: "test",
	})
	fatal(err)
	http := w.p.Client()
	if w.ip != "" {
		http = w.p.ClientFrom(w.ip)
	}
	cfg := wechat.Config{
		AppID: appid, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: w.p.BaseURL(),
		HTTPClient: http, Timeout: w.terms.callTimeout,
	}
	fetcher, err := wechat.NewTokenFetcher(cfg)
	fatal(err)
	tokens, err := tokenstore.New(w.rdb, fetcher, tokenstore.Config{AppID: appid})
	fatal(err)
	client, err := wechat.NewClient(cfg, tokens)
	fatal(err)
	return worker.Account{
		AppID: appid, Sender: client, Gate: gate, Quota: client,
		Policy: w.terms.policy, Keep: w.terms.keep,
	}
}

// stop ends the process as SIGTERM does.
func (w *process) stop() error {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	w.cancel = nil
	err := <-w.done
	for _, f := range w.close {
		f()
	}
	return err
}

// kill ends the process as SIGKILL does, as far as Redis can tell: from now on
// it hears nothing of it.
func (w *process) kill() { w.dead.Store(true) }

// enqueue puts messages on the queue as the producer does, record first.
func (p *pipe) enqueue(appid string, class job.Class, ids ...string) {
	p.Helper()
	p.enqueueAll(appid, class, ids, nil)
}

func (p *pipe) enqueueAll(appid string, class job.Class, ids []string, change func(i int, e *job.Envelope)) {
	p.Helper()
	p.enqueueWith(job.NewCodec(appid, nil), class, ids, change)
}

func (p *pipe) enqueueWith(codec job.Codec, class job.Class, ids []string, change func(i int, e *job.Envelope)) {
	p.Helper()
	appid := codec.Account()
	items := make([]queue.Item, len(ids))
	records := p.ledgerOn(p.admin, p.terms.keep)
	for i, id := range ids {
		e := envelope(appid, class, id)
		if change != nil {
			change(i, &e)
		}
		payload, hash, err := codec.Encode(e)
		if err != nil {
			p.Fatal(err)
		}
		if err := createScript.Run(p.Context(), p.admin, []string{records.RecordKey(id)}, records.AppendCreate(nil, &e, hash, time.Now())...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			p.Fatal(err)
		}
		items[i] = queue.Item{ID: id, Payload: payload, ProcessAt: e.NotBefore}
	}
	for chunk := range slices.Chunk(items, 500) {
		existing, err := queue.Put(p.Context(), p.admin, appid, class, chunk...)
		if err != nil || strings.Join(existing, "") != "" {
			p.Fatalf("enqueue: %v, %v", existing, err)
		}
	}
}

var createScript = redisx.NewScript(ledger.CreateLua, "return create(KEYS[1], 1) and 0 or 1")

func envelope(appid string, class job.Class, id string) job.Envelope {
	to := "o" + appid[2:8] + id
	return job.Envelope{
		ID: id, Class: class, To: to, Template: "T1", QueuedAt: time.Now(),
		Body: fmt.Appendf(nil, `{"touser":%q,"template_id":"T1","client_msg_id":%q,"data":{"thing1":{"value":"订单 & <1>"}}}`,
			to, job.ClientMsgID(id)),
	}
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%05d", prefix, i)
	}
	return out
}

// records reads the records of messages.
func (p *pipe) records(appid string, ids ...string) map[ledger.State]int {
	p.Helper()
	l, err := ledger.New(p.admin, appid, nil, ledger.Config{})
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	records, err := l.Get(p.Context(), ids...)
	if err != nil {
		p.Fatal(err)
	}
	out := make(map[ledger.State]int)
	for _, r := range records {
		if r == nil {
			out["none"]++
			continue
		}
		out[r.State]++
	}
	return out
}

func (p *pipe) record(appid, id string) *ledger.Record {
	p.Helper()
	l, err := ledger.New(p.admin, appid, nil, ledger.Config{})
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	records, err := l.Get(p.Context(), id)
	if err != nil || records[0] == nil {
		p.Fatalf("record of %s: %v, %v", id, records, err)
	}
	return records[0]
}

// left counts the tasks in the account's queues.
func (p *pipe) left(appid string) (n int64) {
	p.Helper()
	queues, err := queue.NewInspector(p.admin).Queues(p.Context(), appid)
	if err != nil {
		p.Fatal(err)
	}
	for _, q := range queues {
		n += q.Pending + q.Active + q.Scheduled + q.Retry
		if q.Archived > 0 {
			p.Errorf("%d tasks of %s are archived", q.Archived, q.Class)
		}
	}
	return n
}

// until waits for ok, looking each step, for at most limit.
func (p *pipe) until(what string, step, limit time.Duration, ok func() bool) {
	p.Helper()
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			p.Fatalf("after %v still not %s; calls %+v, seen %d, logs:\n%s",
				limit, what, p.p.Calls(wechattest.SendPath), p.p.SeenTotal(), p.tail(15))
		}
	}
}

// drained waits until nothing is left to send. It looks twice: a task that moves
// between two lists at this moment is in neither.
func (p *pipe) drained(step, limit time.Duration) {
	p.Helper()
	empty := 0
	p.until("drained", step, limit, func() bool {
		empty++
		for _, a := range p.p.Accounts() {
			if p.left(a.AppID()) > 0 {
				empty = 0
			}
		}
		return empty >= 3
	})
}

// seenOnce fails unless each message was seen exactly once.
func (p *pipe) seenOnce(ids ...string) {
	p.Helper()
	wrong := 0
	for _, id := range ids {
		if n := p.p.SeenCount(job.ClientMsgID(id)); n != 1 {
			if wrong++; wrong <= 5 {
				p.Errorf("%s was seen %d times", id, n)
			}
		}
	}
	if wrong > 5 {
		p.Errorf("and %d more", wrong-5)
	}
}

func (p *pipe) tail(n int) string {
	var text strings.Builder
	all := p.logs.All()
	kept := all[:0:0]
	for _, e := range all {
		if e.Message != "message ended" && e.Message != "message accepted" {
			kept = append(kept, e)
		}
	}
	for _, e := range kept[max(0, len(kept)-n):] {
		_, _ = fmt.Fprintln(&text, e.Time.Format(time.TimeOnly), e.Level, e.Message, e.ContextMap())
	}
	return text.String()
}

// longVirtualTime skips a test of many virtual minutes with -short, as in the run under
// the race detector: a worker that idles costs as much there as one that sends, and the
// shorter stories have the same goroutines.
func longVirtualTime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped with -short: many virtual minutes")
	}
}
