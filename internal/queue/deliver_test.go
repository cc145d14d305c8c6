package queue_test

import (
	"cmp"
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

// isFetch tells a fetch by its keys.
func isFetch(cmd redis.Cmder) bool { return hasKeys(cmd, ":pending", ":paused") }

// isOpen tells the second half of a fetch: its third key is a task, where a completion has
// a count.
func isOpen(cmd redis.Cmder) bool {
	return hasKeys(cmd, ":active", ":lease") && strings.Contains(*cmd.Args()[5].(*string), ":t:")
}

func hasKeys(cmd redis.Cmder, first, second string) bool {
	args := cmd.Args()
	if len(args) < 5 {
		return false
	}
	a, _ := args[3].(*string)
	b, _ := args[4].(*string)
	return a != nil && b != nil && strings.HasSuffix(*a, first) && strings.HasSuffix(*b, second)
}

// wireTap counts the fetches of a client, may hold commands up, and may lose the answer of
// a fetch.
type wireTap struct {
	fetches atomic.Int64  // script calls that fetch
	hold    chan struct{} // commands that are held wait until it is closed
	held    func(redis.Cmder) bool
	then    func()      // after each of them
	cut     atomic.Bool // the answer of the next fetch of over 8 tasks is lost
	half    func(redis.Cmder) bool
	lost    atomic.Int64 // how many tasks it had
}

func (*wireTap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wireTap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.before(cmd)
		err := next(ctx, cmd)
		w.after(cmd)
		if w.held != nil && w.held(cmd) && w.then != nil { // written before hold was closed
			w.then()
		}
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
	if w.hold != nil && slices.ContainsFunc(cmds, w.held) {
		<-w.hold
	}
}

// isGiveBack: its third key is a list.
func isGiveBack(cmd redis.Cmder) bool {
	return hasKeys(cmd, ":active", ":lease") && strings.HasSuffix(*cmd.Args()[5].(*string), ":pending")
}

// openOfMany: it reads at least many tasks.
func openOfMany(cmd redis.Cmder) bool { return isOpen(cmd) && len(cmd.Args()) >= 3+2+2*many }

const many = 5

func isCompletion(cmd redis.Cmder) bool {
	return hasKeys(cmd, ":active", ":lease") && strings.Contains(*cmd.Args()[5].(*string), ":processed:")
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

// While asynq's semaphore is full, since completions wait for Redis, nothing is fetched:
// no task waits in the process for a place.
func TestFetchBringsNothingThatAsynqCannotTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, slow := redistest.Mini(t)
		rdb, tap, g, h := redistest.MiniClient(t, m), &wireTap{hold: make(chan struct{}), held: isCompletion}, &gate{}, patient()
		const slots, most = 8, 8 + queue.SpareSlots
		list := items(most+60, job.Default)
		put(t, slow, job.Default, list...) // teaches Redis the scripts
		slow.AddHook(tap)
		stop := serve(t, queue.ServerConfig{Redis: slow, Gate: g, Handler: h.handle, Concurrency: slots})
		h.wait(t, most)
		time.Sleep(5 * time.Second) // virtual
		active := rdb.LLen(t.Context(), key(job.Default, "active")).Val()
		if taken, returned := g.counts(); len(h.ids()) != most || active != most || taken-returned != most {
			t.Errorf("%d tasks were handled, %d are active, %d permits are spent, want %d of each", len(h.ids()), active, taken-returned, most)
		}
		close(tap.hold)
		h.wait(t, 60)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// slow is a server in a bubble of which a fetch has taken tasks, and waits for their
// messages until release.
type slow struct {
	rdb     *redis.Client // not held up
	gate    *gate
	h       *handled
	stop    func() error
	release func()
	tap     *wireTap
	left    []queue.Item // that were not handled
	fetched int          // of them, those that the fetch has taken
}

func newSlow(t *testing.T) *slow {
	t.Helper()
	m, own := redistest.Mini(t)
	tap := &wireTap{hold: make(chan struct{}), held: openOfMany}
	k := &slow{rdb: redistest.MiniClient(t, m), gate: &gate{}, h: patient(), tap: tap, release: sync.OnceFunc(func() { close(tap.hold) })}
	list := items(40, job.Default)
	put(t, own, job.Default, list...)
	own.AddHook(tap)
	k.stop = serve(t, queue.ServerConfig{Redis: own, Gate: k.gate, Handler: k.h.handle, Concurrency: 32})
	t.Cleanup(k.release) // before the stop
	synctest.Wait()
	time.Sleep(500 * time.Millisecond) // virtual
	k.left = list[len(k.h.ids()):]
	if k.fetched = k.active(t); k.fetched < many || k.fetched == len(k.left) {
		t.Fatalf("%d of %d tasks are fetched: the test tests nothing", k.fetched, len(k.left))
	}
	return k
}

func (k *slow) active(t *testing.T) int {
	t.Helper()
	return int(k.rdb.LLen(t.Context(), key(job.Default, "active")).Val())
}

// whole checks that the tasks that were not handled wait in their order.
func (k *slow) whole(t *testing.T) {
	t.Helper()
	testutil.Until(t, "what was fetched is back", func() bool { return k.active(t) == 0 })
	ids := k.rdb.LRange(t.Context(), key(job.Default, "pending"), 0, -1).Val()
	slices.Reverse(ids)
	if want := idsOf(k.left); !slices.Equal(ids, want) {
		t.Errorf("the queue is %v, want %v", ids, want)
	}
	if n := k.rdb.ZCard(t.Context(), key(job.Default, "lease")).Val(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	first := k.rdb.HMGet(t.Context(), key(job.Default, "t:"+k.left[0].ID), "state", "delivered").Val()
	if first[0] != "pending" || first[1] != nil {
		t.Errorf("the first has the state %v, delivered %v", first[0], first[1])
	}
	testutil.Until(t, "the permits are back", func() bool {
		permits, returned := k.gate.counts()
		return permits-returned == len(k.h.ids())
	})
}

func idsOf(list []queue.Item) []string {
	ids := make([]string, len(list))
	for i, item := range list {
		ids[i] = item.ID
	}
	return ids
}

func TestFetchGivesBack(t *testing.T) {
	t.Parallel()
	shut := &ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}
	t.Run("when the gate has closed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := newSlow(t)
			k.gate.set(shut, ratelimit.General, ratelimit.Reserved)
			k.release()
			k.whole(t)
		})
	})
	t.Run("when the worker has stopped", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := newSlow(t)
			done := make(chan error, 1)
			go func() { done <- k.stop() }()
			synctest.Wait()
			k.release()
			k.whole(t)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("when the process stood still, and goes on in order", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := newSlow(t)
			handled := len(k.h.ids())
			time.Sleep(3 * time.Second) // virtual; a fetch takes milliseconds
			k.release()
			k.h.wait(t, handled+len(k.left))
			slices.SortFunc(k.h.tasks, func(a, b queue.Task) int { return cmp.Compare(a.Delivery, b.Delivery) })
			if ids, want := k.h.ids()[handled:], idsOf(k.left); !slices.Equal(ids, want) {
				t.Errorf("delivered %v, want %v", ids, want)
			}
			for _, task := range k.h.tasks {
				if task.Redelivered {
					t.Errorf("%s: no handler had it before", task.ID)
				}
			}
			_, returned := k.gate.counts()
			if len(k.h.count) != len(k.h.tasks) || returned < k.fetched {
				t.Errorf("%d tasks were handled %d times, %d permits returned", len(k.h.count), len(k.h.tasks), returned)
			}
			if err := k.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("but nothing that another worker has by now", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := newSlow(t)
			ctx, first := t.Context(), k.left[0].ID
			k.tap.then = func() { // as its fetch does
				k.rdb.HSet(ctx, key(job.Default, "t:"+first), "delivered", 1764250000000000)
			}
			k.gate.set(shut, ratelimit.General, ratelimit.Reserved)
			k.release()
			testutil.Until(t, "the others are back", func() bool { return k.active(t) == 1 })
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
