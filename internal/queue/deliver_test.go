package queue_test

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

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// isFetch and isDone tell a fetch and a completion by their keys.
func isFetch(cmd redis.Cmder) bool { return hasKeys(cmd, ":pending", ":paused") }

// isOpen tells the second half of a fetch: all its keys are tasks.
func isOpen(cmd redis.Cmder) bool {
	for _, arg := range cmd.Args()[min(3, len(cmd.Args())):] {
		if k, ok := arg.(*string); !ok || !strings.Contains(*k, ":t:") {
			return false
		}
	}
	return len(cmd.Args()) > 3
}
func isDone(cmd redis.Cmder) bool { return hasKeys(cmd, ":active", ":lease") }

func hasKeys(cmd redis.Cmder, first, second string) bool {
	args := cmd.Args()
	if len(args) < 5 {
		return false
	}
	a, _ := args[3].(*string)
	b, _ := args[4].(*string)
	return a != nil && b != nil && strings.HasSuffix(*a, first) && strings.HasSuffix(*b, second)
}

// wireTap counts the fetches of a client, may hold completions up, and may lose the
// answer of a fetch.
type wireTap struct {
	fetches atomic.Int64  // script calls that fetch
	hold    chan struct{} // completions wait until it is closed; nil: they do not
	cut     atomic.Bool   // the answer of the next fetch of over 8 tasks is lost
	half    func(redis.Cmder) bool
	lost    atomic.Int64 // how many tasks it had
}

func (*wireTap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wireTap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.before(cmd)
		err := next(ctx, cmd)
		w.after(cmd)
		if n := fetched(cmd); err == nil && n > 8 && w.half != nil && w.half(cmd) && w.cut.CompareAndSwap(true, false) {
			w.lost.Store(int64(n))
			err = io.ErrUnexpectedEOF
			cmd.SetErr(err)
		}
		return err
	}
}

func (w *wireTap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		w.before(cmds...)
		err := next(ctx, cmds)
		w.after(cmds...)
		return err
	}
}

func (w *wireTap) before(cmds ...redis.Cmder) {
	if w.hold != nil && slices.ContainsFunc(cmds, isDone) && !slices.ContainsFunc(cmds, isGiveBack) {
		<-w.hold
	}
}

// isGiveBack: its third key is a list, where a completion has a count.
func isGiveBack(cmd redis.Cmder) bool {
	return hasKeys(cmd, ":active", ":lease") && strings.HasSuffix(*cmd.Args()[5].(*string), ":pending")
}

func (w *wireTap) after(cmds ...redis.Cmder) {
	if !slices.ContainsFunc(cmds, isFetch) && !slices.ContainsFunc(cmds, isOpen) {
		return
	}
	w.fetches.Add(1)
}

// fetched is how many tasks the answer of a fetch has.
func fetched(cmd redis.Cmder) int {
	answer, ok := cmd.(interface{ Val() []string })
	if !ok {
		return 0
	}
	switch {
	case isFetch(cmd):
		return len(answer.Val()) - 1
	case isOpen(cmd):
		return len(answer.Val()) / 2
	}
	return 0
}

func TestFetchBringsManyTasksInOneCall(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	tap := &wireTap{}
	rdb := s.Client(t)
	rdb.AddHook(tap)
	const n, inFlight = 3000, 100
	put(t, rdb, job.Default, items(n, job.Default)...)
	watch, h := s.Client(t), newHandled()
	var most atomic.Int64
	serve(t, queue.ServerConfig{Redis: rdb, Concurrency: inFlight, Handler: func(ctx context.Context, task queue.Task) error {
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
	if most.Load() > inFlight+queue.SpareSlots+64 {
		t.Errorf("%d tasks were active at once, of %d that may be in flight", most.Load(), inFlight)
	}
	for id, times := range h.count {
		if times != 1 {
			t.Errorf("%s ran %d times", id, times)
		}
	}
}

// taken is how many tasks asynq takes of stuck, whose server has 8 slots.
const taken = 8 + queue.SpareSlots

// stuck is a server in a bubble whose completions are held up, so that tasks fetched
// ahead find no slot: handled so far, and how many wait in its hands.
type stuck struct {
	rdb     *redis.Client // not held up
	tap     *wireTap
	gate    *gate
	h       *handled
	stop    func() error
	release func()
	list    []queue.Item
}

func newStuck(t *testing.T) *stuck {
	t.Helper()
	m, slow := redistest.Mini(t)
	k := &stuck{rdb: redistest.MiniClient(t, m), tap: &wireTap{}, gate: &gate{}, h: patient()}
	put(t, slow, job.Bulk, items(16, job.Bulk)...) // teaches Redis the scripts and the fetch the depth
	warm := serve(t, queue.ServerConfig{Redis: slow, Handler: newHandled().handle, Concurrency: 1})
	testutil.Until(t, "warm", func() bool { // pending first: a fetch moves tasks from there to active
		return k.rdb.LLen(t.Context(), key(job.Bulk, "pending")).Val() == 0 && k.rdb.LLen(t.Context(), key(job.Bulk, "active")).Val() == 0
	})
	if err := warm(); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	k.release = sync.OnceFunc(func() { close(hold) })
	k.tap.hold = hold
	slow.AddHook(k.tap)
	k.list = items(taken+60, job.Default)
	put(t, k.rdb, job.Default, k.list...)
	k.stop = serve(t, queue.ServerConfig{Redis: slow, Gate: k.gate, Handler: k.h.handle, Concurrency: 8})
	t.Cleanup(k.release) // before the stop
	k.h.wait(t, taken)   // all slots wait for their completion
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
	testutil.Until(t, "what was fetched ahead is back", func() bool { return k.kept(t) == 0 })
	ids := k.rdb.LRange(t.Context(), key(job.Default, "pending"), 0, -1).Val()
	slices.Reverse(ids)
	var want []string
	for _, item := range k.list[taken:] {
		want = append(want, item.ID)
	}
	if !slices.Equal(ids, want) {
		t.Errorf("the queue is %v, want %v", ids, want)
	}
	if n := k.rdb.ZCard(t.Context(), key(job.Default, "lease")).Val(); n != taken {
		t.Errorf("%d leases, want those in flight", n)
	}
	if state := k.rdb.HGet(t.Context(), key(job.Default, "t:"+k.list[taken].ID), "state").Val(); state != "pending" {
		t.Errorf("the state of the first is %q", state)
	}
	testutil.Until(t, "the permits are back", func() bool {
		permits, returned := k.gate.counts()
		return permits-returned <= taken
	})
}

func TestFetchGivesBack(t *testing.T) {
	t.Parallel()
	t.Run("when the gate closes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := newStuck(t)
			closed := time.Now()
			k.gate.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}, ratelimit.General, ratelimit.Reserved)
			k.whole(t)
			if took := time.Since(closed); took > 900*time.Millisecond {
				t.Errorf("it took %s, as without the gate's notice", took)
			}
		})
	})
	t.Run("what no slot comes for", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := newStuck(t)
			began := time.Now()
			k.whole(t)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("tasks were kept for %s", took)
			}
		})
	})
	t.Run("when the worker stops, before its handlers have ended", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
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
	})
	t.Run("but nothing that another worker has by now", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := newStuck(t)
			ctx := t.Context()
			first := k.list[taken].ID // the oldest that is kept
			k.rdb.ZAdd(ctx, key(job.Default, "lease"), zAt(first, time.Minute))
			k.gate.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}, ratelimit.General, ratelimit.Reserved)
			testutil.Until(t, "the others are back", func() bool { return k.kept(t) == 1 })
			if ids := k.rdb.LRange(ctx, key(job.Default, "active"), 0, -1).Val(); !slices.Contains(ids, first) {
				t.Errorf("%s was taken from the worker that has it", first)
			}
		})
	})
}

// Tasks of a fetch whose answer is lost are handled when their lease is over. None is
// lost and none comes twice. After the second half it is not known whether a handler had
// them.
func TestFetchWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	t.Run("the IDs", func(t *testing.T) { t.Parallel(); losesAnswer(t, isFetch, false) })
	t.Run("the messages", func(t *testing.T) { t.Parallel(); losesAnswer(t, isOpen, true) })
}

func losesAnswer(t *testing.T, half func(redis.Cmder) bool, redelivered bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		tap := &wireTap{half: half}
		rdb.AddHook(tap)
		const n, slots = 60, 40
		put(t, rdb, job.Default, items(n, job.Default)...)
		tap.cut.Store(true)
		g, h := &gate{}, patient()
		began := time.Now()
		var delayed atomic.Int64
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Concurrency: slots, Handler: func(ctx context.Context, task queue.Task) error {
			if time.Since(began) > 10*time.Second {
				delayed.Add(1)
				if task.Redelivered != redelivered {
					t.Errorf("%s: redelivered %v, want %v", task.ID, task.Redelivered, redelivered)
				}
			}
			time.Sleep(100 * time.Millisecond) // virtual
			return h.handle(ctx, task)
		}})
		h.wait(t, n)
		if took := time.Since(began); took > 42*time.Second {
			t.Errorf("the lost tasks came back after %s", took)
		}
		_ = stop()
		if late := delayed.Load(); late != tap.lost.Load() || late == 0 {
			t.Errorf("%d tasks waited for their lease, want the %d of the lost fetch", late, tap.lost.Load())
		}
		numbers := map[int64]bool{}
		for _, task := range h.tasks {
			numbers[task.Delivery] = true
		}
		if len(h.count) != n || len(h.tasks) != n || len(numbers) != n {
			t.Errorf("%d messages, %d calls, %d delivery numbers, want %d each", len(h.count), len(h.tasks), len(numbers), n)
		}
		if taken, returned := g.counts(); taken-returned != n {
			t.Errorf("permits taken %d - returned %d = %d, want %d", taken, returned, taken-returned, n)
		}
	})
}

// A task whose message was deleted does not hide those behind it.
func TestFetchSkipsMissingMessages(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	const missing = 400
	list := items(1000, job.Default)
	put(t, rdb, job.Default, list...)
	for i := range missing {
		rdb.Del(t.Context(), key(job.Default, "t:"+list[100+2*i].ID))
	}
	h, g := newHandled(), &gate{}
	began := time.Now()
	serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
	h.wait(t, len(list)-missing)
	if took := time.Since(began); took > missing/2*time.Second { // not a second for each
		t.Errorf("it took %s", took)
	}
	testutil.Until(t, "the permits of what was missing are back", func() bool {
		taken, returned := g.counts()
		return taken-returned == len(list)-missing
	})
}

// With a rate no task is fetched before its permit's moment, however many fit.
func TestFetchKeepsThePace(t *testing.T) {
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
		put(t, rdb, job.Default, items(200, job.Default)...)
		began := time.Now()
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: func(ctx context.Context, task queue.Task) error {
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
