package queue_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
)

const account = "wx0123456789abcdef"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// asynq's timer of the shutdown ends by itself.
		goleak.IgnoreAnyFunction("github.com/hibiken/asynq.(*processor).shutdown.func1"))
}

// gate is a Gate under the test's control. The zero value grants everything at once.
type gate struct {
	mu       sync.Mutex
	closed   map[ratelimit.Tier]*ratelimit.ClosedError
	changed  chan struct{}
	at       func() time.Time
	taken    int
	returned int
	byTier   map[ratelimit.Tier]int
}

func (g *gate) Take(_ context.Context, tier ratelimit.Tier) (ratelimit.Permit, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.closed[tier]; err != nil {
		return ratelimit.Permit{}, err
	}
	g.taken++
	if g.byTier == nil {
		g.byTier = map[ratelimit.Tier]int{}
	}
	g.byTier[tier]++
	p := ratelimit.Permit{Tier: tier}
	if g.at != nil {
		p.At = g.at()
	}
	return p, nil
}

func (g *gate) Return(ratelimit.Permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.returned++
}

func (g *gate) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.changed
}

// set closes (or opens, with nil) the tiers.
func (g *gate) set(err *ratelimit.ClosedError, tiers ...ratelimit.Tier) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = map[ratelimit.Tier]*ratelimit.ClosedError{}
	}
	for _, tier := range tiers {
		g.closed[tier] = err
	}
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

func (g *gate) counts() (taken, returned int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken, g.returned
}

func shutGate() *gate {
	g := &gate{}
	g.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}, ratelimit.General, ratelimit.Reserved)
	return g
}

// serve runs a server until the test ends or stop is called; stop returns Run's error.
func serve(tb testing.TB, cfg queue.ServerConfig) (stop func() error) {
	tb.Helper()
	if cfg.Account == "" {
		cfg.Account = account
	}
	if cfg.Gate == nil {
		cfg.Gate = &gate{}
	}
	if cfg.Logger == nil && !testing.Short() {
		if tt, ok := tb.(*testing.T); ok {
			cfg.Logger = zaptest.NewLogger(tt)
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 64)
	cfg.TaskTimeout, cfg.DrainTimeout = cmp.Or(cfg.TaskTimeout, 30*time.Second), cmp.Or(cfg.DrainTimeout, 15*time.Second)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- queue.Serve(ctx, cfg) }()
	var once sync.Once
	stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	tb.Cleanup(func() { _ = stop() })
	return stop
}

func items(n int, class job.Class) []queue.Item {
	list := make([]queue.Item, n)
	for i := range list {
		list[i] = queue.Item{ID: fmt.Sprintf("%s-%06d", class, i), Payload: []byte(`{"n":1}`)}
	}
	return list
}

// put puts tasks of the account and fails the test unless every one is new.
func put(tb testing.TB, rdb redis.UniversalClient, class job.Class, list ...queue.Item) {
	tb.Helper()
	putFor(tb, rdb, account, class, list...)
}

func putFor(tb testing.TB, rdb redis.UniversalClient, account string, class job.Class, list ...queue.Item) {
	tb.Helper()
	if err := queue.List(tb.Context(), rdb, account); err != nil { // as a producer does
		tb.Fatal(err)
	}
	for chunk := range slices.Chunk(list, 500) {
		existing, err := queue.Put(tb.Context(), rdb, account, class, chunk...)
		if err != nil {
			tb.Fatal(err)
		}
		for i, state := range existing {
			if state != "" {
				tb.Fatalf("item %s: a task exists and is %s", chunk[i].ID, state)
			}
		}
	}
}

func key(class job.Class, name string) string {
	return "asynq:{" + queue.Name(account, class) + "}:" + name
}

// handled collects what a handler saw.
type handled struct {
	mu    sync.Mutex
	tasks []queue.Task
	count map[string]int
	more  chan struct{}
	limit time.Duration // of wait; virtual in a bubble
}

// patient waits an hour, for bubbles.
func patient() *handled {
	h := newHandled()
	h.limit = time.Hour
	return h
}

func newHandled() *handled {
	return &handled{limit: 5 * time.Minute, count: map[string]int{}, more: make(chan struct{}, 1<<20)}
}

func (h *handled) add(t queue.Task) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tasks = append(h.tasks, t)
	h.count[t.ID]++
	h.more <- struct{}{}
	return h.count[t.ID]
}

func (h *handled) handle(_ context.Context, t queue.Task) error {
	h.add(t)
	return nil
}

// wait returns when n calls were seen in all since the last wait.
func (h *handled) wait(tb testing.TB, n int) {
	tb.Helper()
	limit := time.After(h.limit)
	for i := range n {
		select {
		case <-h.more:
		case <-limit:
			tb.Fatalf("%d of %d tasks were handled in %s", i, n, h.limit)
		}
	}
}

func (h *handled) ids() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]string, len(h.tasks))
	for i, t := range h.tasks {
		ids[i] = t.ID
	}
	return ids
}

func zAt(id string, in time.Duration) redis.Z {
	return redis.Z{Score: float64(time.Now().Add(in).Unix()), Member: id}
}

// singleCalls is the rest of a hook that is for single calls alone.
type singleCalls struct{}

func (singleCalls) DialHook(next redis.DialHook) redis.DialHook { return next }

func (singleCalls) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
