package queue_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// The guard of the whole design: if asynq's dequeue is not recognised any more,
// it passes the gate and this test fails.
func TestFetchClosedGateFetchesNothing(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	put(t, rdb, job.Default, items(100, job.Default)...)
	put(t, rdb, job.Critical, items(100, job.Critical)...)
	g, h := shutGate(), newHandled()
	stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})

	// asynq's server announces itself when it runs.
	testutil.Until(t, "the server runs", func() bool { return rdb.ZCard(t.Context(), "asynq:servers").Val() == 1 })
	timer := time.NewTimer(1500 * time.Millisecond) // longer than a hold
	<-timer.C
	if n := len(h.ids()); n != 0 {
		t.Fatalf("%d tasks passed the closed gate: asynq's dequeue is not recognised", n)
	}
	if n := rdb.LLen(t.Context(), key(job.Default, "pending")).Val(); n != 100 {
		t.Fatalf("pending = %d, want 100 untouched", n)
	}

	opened := time.Now()
	g.set(nil, ratelimit.General, ratelimit.Reserved)
	h.wait(t, 200)
	t.Logf("200 tasks %s after the gate opened", time.Since(opened))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, task := range h.tasks {
		if task.Delivery == 0 || task.Redelivered {
			t.Fatalf("task %s: delivery %d, redelivered %v", task.ID, task.Delivery, task.Redelivered)
		}
	}
	taken, returned := g.counts()
	if taken-returned != 200 {
		t.Fatalf("permits taken %d - returned %d = %d, want one per task: 200", taken, returned, taken-returned)
	}
}

func TestFetchOrder(t *testing.T) {
	t.Parallel()
	t.Run("critical first, bulk not starved", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		put(t, rdb, job.Bulk, items(300, job.Bulk)...)
		put(t, rdb, job.Default, items(300, job.Default)...)
		put(t, rdb, job.Critical, items(160, job.Critical)...)
		h := newHandled()
		serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle, Concurrency: 1})
		h.wait(t, 760)
		ids := h.ids()
		critical, normal := 0, 0
		for _, id := range ids[:170] {
			if id[0] == 'c' {
				critical++
			}
		}
		if critical < 155 || critical == 170 {
			t.Errorf("%d critical among the first 170, want nearly all of 160, and a few others", critical)
		}
		for _, id := range ids[180:380] {
			if id[0] == 'd' {
				normal++
			}
		}
		if normal < 140 || normal > 160 {
			t.Errorf("%d default among 200 when default and bulk wait, want 3 of 4", normal)
		}
	})
	t.Run("order within a class is kept", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		list := items(50, job.Default)
		put(t, rdb, job.Default, list...)
		h := newHandled()
		serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle, Concurrency: 1})
		h.wait(t, 50)
		for i, id := range h.ids() {
			if id != list[i].ID {
				t.Fatalf("place %d: %s, want %s", i, id, list[i].ID)
			}
		}
	})
}

func TestFetchReserveKeepsCriticalGoing(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	g, h := &gate{}, newHandled()
	g.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}, ratelimit.General)
	put(t, rdb, job.Bulk, items(20, job.Bulk)...)
	put(t, rdb, job.Critical, items(5, job.Critical)...)
	serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
	h.wait(t, 5)
	late := queue.Item{ID: "late", Payload: []byte("x")}
	began := time.Now()
	put(t, rdb, job.Critical, late)
	h.wait(t, 1)
	t.Logf("critical while bulk may not: %s", time.Since(began))
	if ids := h.ids(); slices.ContainsFunc(ids, func(id string) bool { return id[0] == 'b' }) {
		t.Fatalf("bulk was fetched from the reserve: %v", ids)
	}
}

func TestFetchWaitsForThePermitsMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		next := time.Now().Add(time.Second)
		g := &gate{}
		g.at = func() time.Time { // called under the gate's lock
			next = next.Add(time.Second)
			return next
		}
		put(t, rdb, job.Default, items(10, job.Default)...)
		var at []time.Time
		done := make(chan struct{})
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Concurrency: 8, Handler: func(_ context.Context, task queue.Task) error {
			if early := time.Until(task.Permit.At); early > 0 {
				t.Errorf("task %s came %s before its permit", task.ID, early)
			}
			at = append(at, time.Now()) // one a second: never two at once
			if len(at) == 10 {
				close(done)
			}
			return nil
		}})
		<-done
		if took := at[9].Sub(at[0]); took < 9*time.Second || took > 9500*time.Millisecond {
			t.Errorf("10 tasks at one a second took %s", took)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFetchWaitsForAFarPermit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		due := time.Now().Add(17 * time.Second)
		g, h := &gate{at: func() time.Time { return due }}, newHandled()
		put(t, rdb, job.Default, items(1, job.Default)...)
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
		h.wait(t, 1)
		if late := time.Since(due); late < 0 || late > 20*time.Millisecond {
			t.Errorf("handled %s after the permit's moment", late)
		}
		_ = stop()
		if taken, returned := g.counts(); taken-returned != 1 {
			t.Errorf("taken %d, returned %d: the permit was not kept", taken, returned)
		}
	})
}

func TestFetchAsksTheGateAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		g, h := &gate{}, newHandled()
		until := time.Now().Add(90 * time.Second)
		g.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonMinute, Until: until}, ratelimit.General, ratelimit.Reserved)
		put(t, rdb, job.Default, items(1, job.Default)...)
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
		time.Sleep(time.Until(until)) // virtual
		g.mu.Lock()
		clear(g.closed) // the hour came, without a notice
		g.mu.Unlock()
		h.wait(t, 1)
		if late := time.Since(until); late > 1100*time.Millisecond {
			t.Errorf("fetched %s after the gate opened", late)
		}
		_ = stop()
	})
}

// Stop interrupts whatever a fetch waits for.
func TestFetchStopsAtOnce(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]func() *gate{
		"gate closed":  shutGate,
		"permit later": func() *gate { return &gate{at: func() time.Time { return time.Now().Add(time.Hour) }} },
		"queue empty":  func() *gate { return &gate{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				if name != "queue empty" {
					put(t, rdb, job.Default, items(3, job.Default)...)
				}
				g := g()
				stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: newHandled().handle})
				time.Sleep(20 * time.Second) // virtual
				began := time.Now()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("the stop took %s", took)
				}
				if taken, returned := g.counts(); taken != returned {
					t.Errorf("taken %d permits, returned %d", taken, returned)
				}
			})
		})
	}
}

// An idle worker hardly talks to Redis, and hears of a message at once.
func TestFetchIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		h := patient()
		got := make(chan time.Time, 1)
		stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
			got <- time.Now()
			return h.handle(t.Context(), task)
		}})
		const wake = "wxn:{" + account + "}:wake"
		testutil.Until(t, "listening", func() bool { return rdb.PubSubNumSub(t.Context(), wake).Val()[wake] == 1 })
		for i, item := range items(40, job.Default) {
			if i%10 == 0 { // fall asleep
				testutil.Until(t, "idle", func() bool {
					return rdb.Exists(t.Context(), "wxn:{"+account+":default}:idle").Val() == 1
				})
			}
			began := time.Now()
			put(t, rdb, job.Default, item)
			if wait := (<-got).Sub(began); wait > 50*time.Millisecond { // virtual; polling would need a second
				t.Errorf("task %d waited %s: the wake-up does not arrive", i, wait)
			}
		}
		_ = stop()
	})
}

func TestFetchIdleCost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, rdb := redistest.Mini(t)
		g := &gate{}
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: newHandled().handle})
		time.Sleep(30 * time.Second) // virtual
		taken, _ := g.counts()
		n := m.CommandCount()
		time.Sleep(60 * time.Second)
		perSecond := float64(m.CommandCount()-n) / 60
		t.Logf("idle: %.1f commands a second with 4 servers", perSecond)
		if perSecond > 45 { // commands inside scripts count too
			t.Errorf("%.1f commands a second while idle", perSecond)
		}
		if again, _ := g.counts(); again != taken {
			t.Errorf("an idle worker took %d permits", again-taken)
		}
		_ = stop()
	})
}

func TestFetchGateFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		g, h := &failingGate{}, newHandled()
		put(t, rdb, job.Default, items(1, job.Default)...)
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
		h.wait(t, 1)
		_ = stop()
		if g.asked > 12 {
			t.Errorf("the failing gate was asked %d times in 2 s", g.asked)
		}
	})
}

type failingGate struct {
	gate
	asked int
	since time.Time
}

func (g *failingGate) Take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error) {
	g.mu.Lock()
	g.asked++
	if g.since.IsZero() {
		g.since = time.Now()
	}
	fail := time.Since(g.since) < 2*time.Second
	g.mu.Unlock()
	if fail {
		return ratelimit.Permit{}, errors.New("connection refused")
	}
	return g.gate.Take(ctx, tier)
}

// A refusal that the gate has taken back must not keep an idle loop awake.
func TestFetchRestsAfterAClosureOfAnEmptyQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, rdb := redistest.Mini(t)
		g, h := &gate{}, patient()
		g.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonQuota, Until: time.Now().Add(time.Hour)}, ratelimit.General, ratelimit.Reserved)
		put(t, rdb, job.Default, items(1, job.Default)...)
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
		time.Sleep(1500 * time.Millisecond) // virtual; the gate has refused
		rdb.Del(t.Context(), key(job.Default, "pending"))
		g.set(nil, ratelimit.General, ratelimit.Reserved)
		n := m.CommandCount()
		time.Sleep(10 * time.Second) // never ends while the loop spins
		if perSecond := float64(m.CommandCount()-n) / 10; perSecond > 45 {
			t.Errorf("%.0f commands a second", perSecond)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A task that asynq takes and cannot decode keeps its slot for 30 s, then the slot and
// the permit go to the next task.
func TestFetchedTaskThatNeverStartsFreesItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		list := items(2, job.Default)
		put(t, rdb, job.Default, list...)
		rdb.HSet(t.Context(), key(job.Default, "t:"+list[0].ID), "msg", "not asynq's")
		g, h := &gate{}, newHandled()
		began := time.Now()
		serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Concurrency: 1, Handler: h.handle})
		time.Sleep(15 * time.Second) // virtual
		h.wait(t, 1)
		if took := time.Since(began); h.count[list[1].ID] != 1 || took < 30*time.Second || took > 32*time.Second {
			t.Errorf("handled %v after %s, want %s after 30 s", h.count, took, list[1].ID)
		}
		synctest.Wait() // the loop has found the queue empty
		if taken, returned := g.counts(); taken-returned != 1 {
			t.Errorf("%d permits are spent, want that of the task that was handled", taken-returned)
		}
	})
}

// A worker that is never idle finds such a task too, which comes back each time its lease
// has ended: each would take a slot for good.
func TestTasksThatNeverStartTakeNoSlotOfABusyWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		bad := items(1, job.Critical)[0]
		put(t, rdb, job.Critical, bad)
		rdb.HSet(t.Context(), key(job.Critical, "t:"+bad.ID), "msg", "not asynq's")
		put(t, rdb, job.Default, items(4000, job.Default)...)
		g, h := &gate{}, patient()
		stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Concurrency: 3, Handler: func(ctx context.Context, task queue.Task) error {
			time.Sleep(300 * time.Millisecond) // virtual
			return h.handle(ctx, task)
		}})
		time.Sleep(5 * time.Minute) // virtual
		_ = stop()
		if n := len(h.ids()); n < 2000 { // 1000 a slot; one is held for 30 of 35 s
			t.Errorf("%d tasks were handled, want 2100: the one that asynq cannot read holds more than a slot", n)
		}
		if taken, returned := g.counts(); taken-returned != len(h.ids()) {
			t.Errorf("%d permits are spent on %d tasks", taken-returned, len(h.ids()))
		}
	})
}

// asynq counts a task's lease from its question, not from the answer: what it asked for
// an hour ago it would not complete.
func TestTaskAfterAnIdleHourIsCompleted(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*gate{"queue empty": {}, "gate closed": shutGate()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				h := patient()
				serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
				time.Sleep(time.Hour) // virtual
				put(t, rdb, job.Default, items(1, job.Default)...)
				g.set(nil, ratelimit.General, ratelimit.Reserved)
				h.wait(t, 1)
				testutil.Until(t, "completed", func() bool { return rdb.LLen(t.Context(), key(job.Default, "active")).Val() == 0 })
				time.Sleep(time.Minute)
				if n := len(h.ids()); n != 1 {
					t.Errorf("handled %d times", n)
				}
			})
		})
	}
}
