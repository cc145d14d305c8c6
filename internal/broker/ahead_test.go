package broker_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// isFetch and isDone tell asynq's fetch and completion apart by their keys.
func isFetch(cmd redis.Cmder) bool { return hasKeys(cmd, ":pending", ":paused") }
func isDone(cmd redis.Cmder) bool  { return hasKeys(cmd, ":active", ":lease") }

func hasKeys(cmd redis.Cmder, first, second string) bool {
	args := cmd.Args()
	if len(args) < 5 {
		return false
	}
	a, _ := args[3].(string)
	b, _ := args[4].(string)
	return strings.HasSuffix(a, first) && strings.HasSuffix(b, second)
}

// wireTap sees all trips of a client, may hold completions up, and may cut the
// answers of a pipeline of fetches.
type wireTap struct {
	fetches, tasks atomic.Int64  // trips that fetch, and the tasks they brought
	hold           chan struct{} // completions wait until it is closed; nil: they do not
	cutAfter       atomic.Int64  // answers that still come, of the next fetch of more than one task
}

func (*wireTap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wireTap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.before(cmd)
		err := next(ctx, cmd)
		w.after(cmd)
		return err
	}
}

func (w *wireTap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		w.before(cmds...)
		err := next(ctx, cmds)
		if n := w.cutAfter.Load(); n > 0 && isFetch(cmds[0]) && int(n) < len(cmds) {
			w.cutAfter.Store(0)
			for i, cmd := range cmds {
				if i >= int(n) {
					cmd.(interface{ SetVal(any) }).SetVal(nil)
				}
				cmd.SetErr(io.ErrUnexpectedEOF) // go-redis sets it for all
			}
			err = io.ErrUnexpectedEOF
		}
		w.after(cmds...)
		return err
	}
}

func (w *wireTap) before(cmds ...redis.Cmder) {
	if w.hold != nil && slices.ContainsFunc(cmds, isDone) && !slices.ContainsFunc(cmds, isPutBack) {
		<-w.hold
	}
}

// isPutBack: three keys, while a completion has five and more.
func isPutBack(cmd redis.Cmder) bool { return isDone(cmd) && cmd.Args()[2] == 3 }

func (w *wireTap) after(cmds ...redis.Cmder) {
	if !slices.ContainsFunc(cmds, isFetch) {
		return
	}
	w.fetches.Add(1)
	for _, cmd := range cmds {
		if cmd.Err() == nil {
			w.tasks.Add(1)
		}
	}
}

func TestFetchAheadSharesTrips(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	tap := &wireTap{}
	rdb := s.Client(t)
	rdb.AddHook(tap)
	const n, inFlight = 3000, 100
	put(t, rdb, items(n, job.Default)...)
	watch, h := s.Client(t), newHandled()
	var most atomic.Int64
	serve(t, broker.ServerConfig{Redis: rdb, Concurrency: inFlight, Handler: func(ctx context.Context, task broker.Task) error {
		if active := watch.LLen(ctx, key(job.Default, "active")).Val(); active > most.Load() {
			most.Store(active)
		}
		return h.handle(ctx, task)
	}})
	h.wait(t, n)
	per := float64(tap.fetches.Load()) / n
	t.Logf("%.3f trips a task, %d active at most", per, most.Load())
	if per > 0.5 {
		t.Errorf("%d tasks came in %d trips, want several in each", n, tap.fetches.Load())
	}
	// Those of one trip may wait for slots whose completion is on its way.
	if most.Load() > inFlight+64 {
		t.Errorf("%d tasks were active at once, of %d that may be in flight", most.Load(), inFlight)
	}
	for id, times := range h.count {
		if times != 1 {
			t.Errorf("%s ran %d times", id, times)
		}
	}
}

// stuck is a server whose completions are held up, so that tasks fetched ahead
// find no slot: handled so far, and how many wait in its hands.
type stuck struct {
	rdb     *redis.Client // not held up
	tap     *wireTap
	gate    *gate
	h       *handled
	stop    func() error
	release func()
	list    []broker.Item
}

func newStuck(t *testing.T) *stuck {
	t.Helper()
	s := redistest.Start(t)
	k := &stuck{rdb: s.Client(t), tap: &wireTap{}, gate: &gate{}, h: newHandled()}
	slow := s.Client(t)
	put(t, slow, items(16, job.Bulk)...) // teaches Redis the scripts and the fetch the depth
	warm := serve(t, broker.ServerConfig{Redis: slow, Handler: newHandled().handle, Concurrency: 1, Servers: 1})
	eventually(t, "warm", func() bool {
		return k.rdb.LLen(t.Context(), key(job.Bulk, "active")).Val() == 0 && k.rdb.LLen(t.Context(), key(job.Bulk, "pending")).Val() == 0
	})
	if err := warm(); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	k.release = sync.OnceFunc(func() { close(hold) })
	k.tap.hold = hold
	slow.AddHook(k.tap)
	k.list = items(100, job.Default)
	put(t, k.rdb, k.list...)
	k.stop = serve(t, broker.ServerConfig{Redis: slow, Gate: k.gate, Handler: k.h.handle, Concurrency: 8, Servers: 1})
	t.Cleanup(k.release) // before the stop
	k.h.wait(t, 8)       // all slots wait for their completion
	if k.kept(t) == 0 {
		t.Fatal("nothing was fetched ahead: the test tests nothing")
	}
	return k
}

// kept is how many tasks are active beside those that were handled.
func (k *stuck) kept(t *testing.T) int {
	t.Helper()
	return int(k.rdb.LLen(t.Context(), key(job.Default, "active")).Val()) - len(k.h.ids())
}

// whole checks that the tasks that were not handled wait in their order.
func (k *stuck) whole(t *testing.T) {
	t.Helper()
	eventually(t, "what was fetched ahead is back", func() bool { return k.kept(t) == 0 })
	ids := k.rdb.LRange(t.Context(), key(job.Default, "pending"), 0, -1).Val()
	slices.Reverse(ids)
	var want []string
	for _, item := range k.list[8:] {
		want = append(want, item.ID)
	}
	if !slices.Equal(ids, want) {
		t.Errorf("the queue is %v, want %v", ids, want)
	}
	if n := k.rdb.ZCard(t.Context(), key(job.Default, "lease")).Val(); n != 8 {
		t.Errorf("%d leases, want those of the 8 in flight", n)
	}
	if state := k.rdb.HGet(t.Context(), key(job.Default, "t:"+k.list[8].ID), "state").Val(); state != "pending" {
		t.Errorf("the state of the first is %q", state)
	}
	eventually(t, "the permits are back", func() bool {
		taken, returned := k.gate.counts()
		return taken-returned <= 8
	})
}

func TestFetchAheadGivesBack(t *testing.T) {
	t.Parallel()
	t.Run("when the gate closes", func(t *testing.T) {
		t.Parallel()
		k := newStuck(t)
		closed := time.Now()
		k.gate.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}, ratelimit.General, ratelimit.Reserved)
		k.whole(t)
		if took := time.Since(closed); took > 900*time.Millisecond {
			t.Errorf("it took %s, as if nobody had listened to the gate", took)
		}
	})
	t.Run("what no slot comes for", func(t *testing.T) {
		t.Parallel()
		k := newStuck(t)
		began := time.Now()
		k.whole(t)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("tasks were kept for %s", took)
		}
	})
	t.Run("when the worker stops, before its handlers have ended", func(t *testing.T) {
		t.Parallel()
		k := newStuck(t)
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- k.stop() }()
		k.whole(t)
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		k.release()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("but nothing that another worker has by now", func(t *testing.T) {
		t.Parallel()
		k := newStuck(t)
		ctx := t.Context()
		first := k.list[8].ID // the oldest that is kept
		k.rdb.ZAdd(ctx, key(job.Default, "lease"), zAt(first, time.Minute))
		k.gate.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}, ratelimit.General, ratelimit.Reserved)
		eventually(t, "the others are back", func() bool { return k.kept(t) == 1 })
		if ids := k.rdb.LRange(ctx, key(job.Default, "active"), 0, -1).Val(); !slices.Contains(ids, first) {
			t.Errorf("%s was taken from the worker that has it", first)
		}
	})
}

// Tasks whose answer came before the connection broke are handled at once, the
// others when their lease is over. None is lost and none comes twice.
func TestFetchAheadConnectionBreaksInTheMiddle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		tap := &wireTap{}
		rdb.AddHook(tap)
		const n = 60
		put(t, rdb, items(n, job.Default)...)
		tap.cutAfter.Store(2) // of the first trip of more than two
		g, h := &gate{}, patient()
		began := time.Now()
		var delayed atomic.Int64
		stop := serve(t, broker.ServerConfig{Redis: rdb, Gate: g, Concurrency: 40, Handler: func(ctx context.Context, task broker.Task) error {
			if time.Since(began) > 10*time.Second {
				delayed.Add(1)
			}
			time.Sleep(100 * time.Millisecond) // virtual
			return h.handle(ctx, task)
		}})
		h.wait(t, n)
		_ = stop()
		late := int(delayed.Load())
		if tap.cutAfter.Load() != 0 {
			t.Fatal("nothing was cut: the test tests nothing")
		}
		if late == 0 || late > 38 {
			t.Errorf("%d tasks waited for their lease", late)
		}
		for id, times := range h.count {
			if times != 1 {
				t.Errorf("%s ran %d times", id, times)
			}
		}
		if taken, returned := g.counts(); taken-returned != n+late {
			t.Errorf("permits taken %d - returned %d = %d, want one per task and the %d of unknown fetches", taken, returned, taken-returned, late)
		}
	})
}

// A task whose message was deleted does not hide those behind it.
func TestFetchAheadSkipsMissingMessages(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	list := items(400, job.Default)
	put(t, rdb, list...)
	for i := 100; i < 300; i += 7 {
		rdb.Del(t.Context(), key(job.Default, "t:"+list[i].ID))
	}
	h, g := newHandled(), &gate{}
	began := time.Now()
	serve(t, broker.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
	h.wait(t, 400-29)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	eventually(t, "the permits of what was missing are back", func() bool {
		taken, returned := g.counts()
		return taken-returned == 400-29
	})
}

// With a rate no task is fetched before its permit's moment, however many fit.
func TestFetchAheadKeepsThePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		tap := &wireTap{}
		rdb.AddHook(tap)
		next := time.Now()
		g, h := &gate{}, patient()
		g.at = func() time.Time {
			next = next.Add(10 * time.Millisecond)
			return next
		}
		put(t, rdb, items(200, job.Default)...)
		began := time.Now()
		stop := serve(t, broker.ServerConfig{Redis: rdb, Gate: g, Handler: func(ctx context.Context, task broker.Task) error {
			if early := time.Until(task.Permit.At); early > 0 {
				t.Errorf("task %s came %s before its permit", task.ID, early)
			}
			if late := time.Since(task.Permit.At); late > 200*time.Millisecond {
				t.Errorf("task %s came %s after its permit", task.ID, late)
			}
			return h.handle(ctx, task)
		}})
		h.wait(t, 200)
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2500*time.Millisecond {
			t.Errorf("200 tasks at 100 a second took %s", took)
		}
		_ = stop()
	})
}
