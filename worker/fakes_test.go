package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Who fits the interfaces; cmd asserts the same.
var (
	_ worker.Sender      = (*wechat.Client)(nil)
	_ worker.QuotaReader = (*wechat.Client)(nil)
	_ worker.Records     = (*ledger.Ledger)(nil)
	_ worker.Gate        = (*ratelimit.Gate)(nil)
)

func compare(want, got any) string { return cmp.Diff(want, got) }

// sender answers each send with the next of its script, the last one for ever.
type sender struct {
	mu     sync.Mutex
	script []func(ctx context.Context) (wechat.MessageID, error)
	cycle  bool // starts over instead
	bodies []string
	at     []time.Time
}

func answers(errs ...error) *sender {
	s := &sender{}
	for _, err := range errs {
		s.script = append(s.script, func(context.Context) (wechat.MessageID, error) {
			if err != nil {
				return 0, err
			}
			return 200228332, nil
		})
	}
	return s
}

func (s *sender) SendTemplateBody(ctx context.Context, body []byte) (wechat.MessageID, error) {
	s.mu.Lock()
	n := min(len(s.bodies), len(s.script)-1)
	if s.cycle {
		n = len(s.bodies) % len(s.script)
	}
	next := s.script[n]
	s.bodies = append(s.bodies, string(body))
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	return next(ctx)
}

func (s *sender) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies)
}

// gate is open or closed by the pauses it was given, and counts permits.
type gate struct {
	mu         sync.Mutex
	pauses     []ratelimit.Pause
	taken      int
	returned   int
	reconciled []int64 // used, as it was told
	state      ratelimit.State
	closed     *ratelimit.ClosedError // what Take answers; nil: a permit
	closeErr   error
	// reconcileErr is what Reconcile returns.
	reconcileErr error
	at           time.Duration // from now to the permit's moment
}

func (g *gate) Take(context.Context, ratelimit.Tier) (ratelimit.Permit, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return ratelimit.Permit{}, g.closed
	}
	g.taken++
	return ratelimit.Permit{At: time.Now().Add(g.at)}, nil
}

func (g *gate) Return(ratelimit.Permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.returned++
}

func (g *gate) Changed() <-chan struct{} { return nil }

func (g *gate) Close(_ context.Context, p ratelimit.Pause) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closeErr != nil {
		return g.closeErr
	}
	g.pauses = append(g.pauses, p)
	return nil
}

func (g *gate) Open(context.Context, ratelimit.Reason) error { return nil }

func (g *gate) Succeed(context.Context) {}

func (g *gate) AskQuota(context.Context) (ratelimit.Question, error) {
	return ratelimit.Question{}, nil
}

func (g *gate) Reconcile(_ context.Context, _ ratelimit.Question, _, used int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reconciled = append(g.reconciled, used)
	if g.reconcileErr != nil {
		return g.reconcileErr
	}
	g.state.Reconciled = time.Now()
	return nil
}

func (g *gate) failReconcile(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reconcileErr = err
}

func (g *gate) State(context.Context) (ratelimit.State, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, nil
}

func (g *gate) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// told is what Reconcile was told so far.
func (g *gate) told() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.reconciled)
}

func (g *gate) shut(c *ratelimit.ClosedError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = c
}

// outstanding is the permits that were neither spent elsewhere nor returned.
func (g *gate) outstanding() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken - g.returned
}

// records is a ledger in memory: enough of it to lead a message to its end.
type records struct {
	mu       sync.Mutex
	start    ledger.Start // what Begin adds to what it knows
	began    int
	open     time.Time
	accepted []ledger.Acceptance
	outcomes []ledger.Outcome
	failing  int // so many writes fail
	beginErr error
	undone   []int64         // deliveries
	again    ledger.Recorded // what Accepted answers
	suppressions
}

func (r *records) Begin(_ context.Context, e job.Envelope, _ ledger.Delivery) (ledger.Start, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.beginErr != nil {
		return ledger.Start{}, r.beginErr
	}
	r.began++
	s := r.start
	if s.To == "" {
		s.To = e.To
	}
	for _, o := range r.outcomes {
		if o.Attempt {
			s.Attempts++
		}
	}
	if s.OpenSince.IsZero() {
		s.OpenSince = r.open
	}
	if r.open.IsZero() {
		r.open = time.Now()
	}
	return s, nil
}

func (r *records) Accepted(_ context.Context, _ string, _ int64, a ledger.Acceptance) (ledger.Recorded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing > 0 {
		r.failing--
		return ledger.Recorded{}, errRedis
	}
	r.accepted = append(r.accepted, a)
	return r.again, nil
}

func (r *records) Undo(_ context.Context, _ string, delivery int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.undone, r.open = append(r.undone, delivery), time.Time{}
	return nil
}

// duplicate reports whether the last acceptance was marked as a possible duplicate.
func (r *records) duplicate() bool {
	return len(r.accepted) > 0 && r.accepted[len(r.accepted)-1].Duplicate
}

func (r *records) Failed(_ context.Context, _ string, _ int64, o ledger.Outcome) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing > 0 {
		r.failing--
		return errRedis
	}
	if !o.Ambiguous {
		r.open = time.Time{}
	}
	r.outcomes = append(r.outcomes, o)
	return nil
}

var errRedis = errors.New("redis: connection refused")

// suppressions remembers what it was told.
type suppressions struct {
	mu   sync.Mutex
	list []ledger.Suppression
}

func (s *suppressions) Suppress(_ context.Context, one ledger.Suppression) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, one)
	return nil
}

// bundle is a worker of one account among fakes.
type bundle struct {
	logs   *observer.ObservedLogs
	w      *worker.Worker
	send   *sender
	gate   *gate
	waits  []time.Duration // of permits
	ledger *records
	supp   *suppressions
	events []worker.Event
	mu     sync.Mutex
	number int64 // of the last delivery
}

func setup(t *testing.T, send *sender) *bundle {
	t.Helper()
	return setupWith(t, send, func(*worker.Account) {})
}

func setupWith(t *testing.T, send *sender, change func(*worker.Account)) *bundle {
	t.Helper()
	b := &bundle{send: send, gate: &gate{}, ledger: &records{start: ledger.Start{Decision: ledger.Send}}}
	b.supp = &b.ledger.suppressions
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"}) // never dialled
	t.Cleanup(func() { _ = rdb.Close() })
	core, logs := observer.New(zapcore.DebugLevel)
	b.logs = logs
	account := worker.With(worker.Account{AppID: "wx1", Sender: send, Gate: b.gate}, b.ledger)
	change(&account)
	w, err := worker.New(worker.Config{
		Redis: rdb, Accounts: []worker.Account{account}, Logger: zap.New(core),
		OnEvent: func(e worker.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
		OnGateWait: func(_ string, wait time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.waits = append(b.waits, wait)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.w = w
	return b
}

const (
	openid = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"
	body   = `{"touser":"o6_bmjrPTlm6_2sgVt7hMZOPfL2M","template_id":"T1","client_msg_id":"m1","data":{"thing1":{"value":"您好 & <你>"}}}`
)

func message(change func(*job.Envelope)) job.Envelope {
	e := job.Envelope{ID: "m1", Class: job.Default, To: openid, Template: "T1", QueuedAt: time.Now(), Body: []byte(body)}
	if change != nil {
		change(&e)
	}
	return e
}

// deliver hands a message to the worker as the queue does, with a permit.
func (b *bundle) deliver(t *testing.T, change func(*job.Envelope)) error {
	t.Helper()
	return b.deliverIn(t.Context(), t, change)
}

func (b *bundle) deliverIn(ctx context.Context, t *testing.T, change func(*job.Envelope)) error {
	t.Helper()
	e := message(change)
	payload, err := job.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	p, err := worker.WatchedGate(b.w, 0).Take(ctx, ratelimit.General)
	if err != nil {
		return err
	}
	b.number++
	return worker.Handle(ctx, b.w, 0, queue.Task{
		ID: e.ID, Queue: queue.Name("wx1", e.Class), Payload: payload, Permit: p, Delivery: b.number,
	})
}

func (b *bundle) lastOutcome(t *testing.T) ledger.Outcome {
	t.Helper()
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	if len(b.ledger.outcomes) == 0 {
		t.Fatal("no outcome was recorded")
	}
	return b.ledger.outcomes[len(b.ledger.outcomes)-1]
}

func (b *bundle) lastEvent(t *testing.T) worker.Event {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) == 0 {
		t.Fatal("no event")
	}
	return b.events[len(b.events)-1]
}
