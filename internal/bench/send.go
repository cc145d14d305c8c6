package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxnotify/wxnotify/internal/gcpercent"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// The builds. Those that send run until ctx ends, the others until j.Messages
// are on the queue. Each counts its messages with m.
const (
	ours       = "ours"
	bare       = "bare"
	naive      = "naive"
	oneByOne   = "one by one" // Enqueue from 64 goroutines
	many       = "many"       // EnqueueMany
	stream     = "stream"     // EnqueueSeq
	apiOne     = "API"        // the HTTP API from 64 goroutines, one message a call
	apiMany    = "API, 1 000" // the HTTP API, 1 000 messages a call
	gatewayOne = "gateway"    // WeChat's path of the gateway from 64 goroutines
	polls      = "polls"      // callers that wait for events
	plain      = "asynq"      // asynq's client from 64 goroutines, without records
	raw        = "raw"        // the least scripts for task and record, in pipelines
	receive    = "receive"    // ours: takes WeChat's receipts until ctx ends
)

type build func(ctx context.Context, j job, rdb redis.UniversalClient, m *meter)

// do runs a build and reads what its messages cost.
func do(ctx context.Context, j job) (r reading) {
	rdb := must(dial(j.Redis))
	defer func() { _ = rdb.Close() }()
	run := map[string]build{
		ours: runOurs, bare: sendBare, naive: sendNaive, receive: receiveOurs,
		oneByOne: enqueueOurs, many: enqueueOurs, stream: enqueueOurs, apiOne: enqueueByAPI, apiMany: enqueueByAPI,
		gatewayOne: enqueueByAPI, polls: poll, plain: enqueuePlain, raw: enqueueRaw,
	}[j.Build]
	if slices.Contains([]string{ours, bare, naive}, j.Build) {
		gcpercent.Set(nil) // as the program does, for all that send
	}
	m := newMeter(j.Warm, j.Messages)
	if j.Open {
		run(ctx, j, rdb, m)
		return m.read(context.WithoutCancel(ctx), rdb)
	}
	r = m.measure(ctx, j, rdb, run)
	if j.Build == ours && (r[trips] == 0 || m.redis.unknown.Load() > 0) {
		check(errors.New("round trips were not recognised: does the worker use the client that it was given, with keys as strings?"))
	}
	if j.Repeat {
		r[repeated] = rate(newMeter(0, j.Messages).measure(ctx, j, rdb, run))
		r[peak] = memory(mostResident)
	}
	return r
}

// sendBare has no guarantee: asynq, a constant token, a request.
func sendBare(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	hc := tunedClient(&m.dials)
	serveAsynq(ctx, rdb, j.InFlight, j.Servers, func(ctx context.Context, t *asynq.Task) error {
		err := post(ctx, hc, j.WeChat, accessToken(), bodyOf(t))
		if err == nil {
			m.add(1)
		}
		return err
	})
}

// sendNaive is a first attempt without measurements: the default transport, four
// Redis calls and a log line for each message, the body decoded and encoded again.
func sendNaive(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	check(rdb.Set(ctx, "naive:token", accessToken(), time.Hour).Err())
	null := must(os.OpenFile(os.DevNull, os.O_WRONLY, 0))
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(null), zap.InfoLevel))
	hc := &http.Client{}
	const most = 200 // more in flight only opens more connections at once
	serveAsynq(ctx, rdb, min(j.InFlight, most), 1, func(ctx context.Context, t *asynq.Task) error {
		return capture(func() {
			id, now := t.ResultWriter().TaskID(), time.Now()
			token := must(rdb.Get(ctx, "naive:token").Result())
			sent := must(rdb.Incr(ctx, "naive:quota:"+now.Format("20060102")).Result())
			check(rdb.Incr(ctx, "naive:rate:"+now.Format("150405")).Err())
			var message wechat.TemplateMessage
			check(json.Unmarshal(bodyOf(t), &message))
			check(post(ctx, hc, j.WeChat, token, must(json.Marshal(&message))))
			check(rdb.Set(ctx, "naive:sent:"+id, "1", time.Hour).Err())
			log.Info("sent", zap.String("id", id), zap.Int64("of_today", sent))
			m.add(1)
		})
	})
}

// serveAsynq runs n asynq servers on the account's default queue until ctx ends.
func serveAsynq(ctx context.Context, rdb redis.UniversalClient, inFlight, n int, handle asynq.HandlerFunc) {
	for range n {
		s := asynq.NewServerFromRedisClient(rdb, asynq.Config{
			Concurrency: inFlight / n, Queues: map[string]int{queueOf(classDefault): 1}, LogLevel: asynq.FatalLevel,
		})
		check(s.Start(handle))
		defer s.Shutdown()
	}
	<-ctx.Done()
}

// bodyOf is WeChat's body: what follows the delivery terms in a task's payload.
func bodyOf(t *asynq.Task) []byte {
	_, body, _ := bytes.Cut(t.Payload(), []byte("\n"))
	return body
}

// accessToken is as long as WeChat's.
func accessToken() string { return "88_" + strings.Repeat("benchToken", 15) }

// tunedClient is the HTTP client of ours and bare: wechat's own. opened counts its
// connections.
func tunedClient(opened *atomic.Int64) *http.Client {
	transport := must(wechat.NewTransport(wechat.Secret{}))
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		opened.Add(1)
		return dial(ctx, network, addr)
	}
	return &http.Client{Transport: transport}
}

// post sends a body. Its errors do not show the token.
func post(ctx context.Context, hc *http.Client, base, token string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req := must(http.NewRequestWithContext(ctx, http.MethodPost, base+sendPath+"?access_token="+token, bytes.NewReader(body)))
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := hc.Do(req)
	if err != nil {
		return errors.New("the platform did not answer")
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(answer, []byte(`"errcode":0`)) {
		return fmt.Errorf("the platform answered %.80q", answer)
	}
	return nil
}

// Indexes of a reading.
const (
	messages    = iota
	seconds     // of a steady clock
	workerCPU   // seconds of this process
	redisCPU    // seconds of Redis
	platformCPU // seconds of the parent, which is the simulated WeChat
	idle        // seconds of all cores in which the machine had nothing to do
	scripts     // EVALSHA and EVAL calls, by INFO commandstats
	commands    // all commands, those inside scripts too, by INFO commandstats
	allocations // of this process
	trips       // round trips to Redis, without the gate's
	ownTrips    // of them, those that touch keys of wxnotify's own
	gateTrips   // of the gate
	dials       // connections opened to WeChat since the start
	peak        // resident bytes at most
	repeated    // messages a second of the repetition
	p99         // of the calls that were timed, in ms
	grown       // bytes by which the process grew: see poll
	readingSize
)

// reading is what a child measured.
type reading [readingSize]float64

func rate(r reading) float64 { return r[messages] / r[seconds] }

// at returns a function that reads one index, times scale.
func at(scale float64, index int) func(reading) float64 {
	return func(r reading) float64 { return scale * r[index] }
}

// per returns a function that sums indexes of the cost, times scale, a message.
func per(scale float64, indexes ...int) func(reading) float64 {
	return func(r reading) (sum float64) {
		for _, i := range indexes {
			sum += scale * r[i] / r[messages]
		}
		return sum
	}
}

// meter counts messages and reads what they cost.
type meter struct {
	warm, total  int64
	warmed, done chan struct{}
	count, dials atomic.Int64
	redis, gate  tripCounter
	start        time.Time
	grown        float64 // see reading

	mu    sync.Mutex
	times []float64 // of calls, in ms
}

func newMeter(warm, total int) *meter {
	m := &meter{warm: int64(warm), total: int64(total), warmed: make(chan struct{}), done: make(chan struct{}), start: time.Now()}
	if warm == 0 {
		close(m.warmed)
	}
	return m
}

// add counts n more messages.
func (m *meter) add(n int64) {
	now := m.count.Add(n)
	if now >= m.warm && now-n < m.warm {
		close(m.warmed)
	}
	if now >= m.total && now-n < m.total {
		close(m.done)
	}
}

// took notes how long a call took. Those of the warm-up do not count.
func (m *meter) took(d time.Duration) {
	if m.count.Load() < m.warm {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.times = append(m.times, d.Seconds()*1000)
}

// measure runs a build and reads the cost from the warm-up to the last message.
func (m *meter) measure(ctx context.Context, j job, rdb redis.UniversalClient, run build) (r reading) {
	building, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- capture(func() { run(building, j, rdb, m) }) }()
	for i, reached := range []chan struct{}{m.warmed, m.done} {
		select {
		case <-reached:
		case err := <-ended:
			check(err)
			if m.count.Load() < m.total {
				check(errors.New("ended before the last message"))
			}
			ended <- nil
		case <-ctx.Done():
			check(context.Cause(ctx))
		}
		for k, v := range m.read(ctx, rdb) {
			r[k] += v * float64(2*i-1)
		}
	}
	stop()
	check(<-ended)
	r[dials], r[grown], r[peak] = float64(m.dials.Load()), m.grown, memory(mostResident)
	if len(m.times) > 0 {
		r[p99] = percentile(m.times, 0.99)
	}
	return r
}

func (m *meter) read(ctx context.Context, rdb redis.UniversalClient) (r reading) {
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	r[messages], r[seconds] = float64(m.count.Load()), time.Since(m.start).Seconds()
	r[allocations], r[workerCPU], r[redisCPU] = float64(heap.Mallocs), used(syscall.RUSAGE_SELF), redisSeconds(ctx, rdb)
	r[platformCPU], r[idle] = secondsOf(os.Getppid()), parseLoad(machineLoad()).idle/ticks
	r[trips], r[ownTrips], r[gateTrips] = float64(m.redis.all.Load()), float64(m.redis.own.Load()), float64(m.gate.all.Load())
	for name, text := range must(redisx.Info(ctx, rdb, "commandstats")) {
		calls, _, _ := strings.Cut(strings.TrimPrefix(text, "calls="), ",")
		n := must(strconv.ParseFloat(calls, 64))
		r[commands] += n
		if name == "cmdstat_evalsha" || name == "cmdstat_eval" {
			r[scripts] += n
		}
	}
	return r
}

// tripCounter is a hook of a Redis client that counts round trips: all, those
// that touch keys of wxnotify's own, and script calls without a known key.
type tripCounter struct{ all, own, unknown atomic.Int64 }

func (c *tripCounter) note(cmds ...redis.Cmder) {
	c.all.Add(1)
	if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return firstKey(cmd) == "wxn" }) {
		c.own.Add(1)
	}
	if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return strings.HasPrefix(cmd.Name(), "eval") && firstKey(cmd) == "" }) {
		c.unknown.Add(1)
	}
}

// firstKey is what a command's first key begins with: wxn or asynq; empty: neither.
func firstKey(cmd redis.Cmder) string {
	for _, arg := range cmd.Args() {
		text, _ := arg.(string)
		if p, ok := arg.(*string); ok {
			text = *p
		}
		if prefix, _, found := strings.Cut(text, ":"); found && (prefix == "wxn" || prefix == "asynq") {
			return prefix
		}
	}
	return ""
}

// DialHook does nothing.
func (*tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts a single command.
func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.note(cmd)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook counts a pipeline.
func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.note(cmds...)
		return next(ctx, cmds)
	}
}
