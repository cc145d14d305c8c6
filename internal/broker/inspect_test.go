package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hibiken/asynq"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// fill leaves tasks of the default class in every state.
func fill(t *testing.T) (*broker.Inspector, func() []broker.QueueState, func(string) string) {
	t.Helper()
	rdb := redistest.Start(t).Client(t)
	for _, id := range []string{"active", "retry", "archived"} {
		put(t, rdb, broker.Item{Account: account, Class: job.Default, ID: id, Payload: []byte("x")})
	}
	h := newHandled()
	hold := make(chan struct{})
	serve(t, broker.ServerConfig{Redis: rdb, Handler: func(ctx context.Context, task broker.Task) error {
		h.add(task)
		switch task.ID {
		case "active":
			select {
			case <-hold:
			case <-ctx.Done():
			}
			return nil
		case "retry":
			return &broker.Later{After: time.Hour, Cause: errors.New("busy")}
		case "archived":
			return asynq.SkipRetry
		}
		return nil
	}, DrainTimeout: 30 * time.Second})
	t.Cleanup(func() { close(hold) })
	h.wait(t, 3)
	n := broker.NewInspector(rdb)
	ctx := t.Context()
	eventually(t, "settled", func() bool {
		return rdb.LLen(ctx, key(job.Default, "active")).Val() == 1
	})
	if err := n.ManualHold(ctx, account, job.Default, broker.Pause{Owner: "test"}); err != nil {
		t.Fatal(err)
	}
	put(t, rdb,
		broker.Item{Account: account, Class: job.Default, ID: "pending", Payload: []byte("x")},
		broker.Item{Account: account, Class: job.Default, ID: "scheduled", Payload: []byte("x"), ProcessAt: time.Now().Add(time.Hour)})
	queues := func() []broker.QueueState {
		states, err := n.Queues(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		return states
	}
	state := func(id string) string { return rdb.HGet(t.Context(), key(job.Default, "t:"+id), "state").Val() }
	return n, queues, state
}

func TestInspectorQueues(t *testing.T) {
	t.Parallel()
	_, queues, _ := fill(t)
	got := queues()
	want := broker.QueueState{Class: job.Default, Pending: 1, Active: 1, Scheduled: 1, Retry: 1, Archived: 1, Paused: true}
	if diff := cmp.Diff(want, got[1], cmpopts.IgnoreFields(broker.QueueState{}, "Latency", "Pause")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if p := got[1].Pause; p == nil || !p.Manual || p.Owner != "test" || p.Since.IsZero() {
		t.Errorf("pause = %+v", p)
	}
	if l := got[1].Latency; l <= 0 || l > time.Minute {
		t.Errorf("latency = %s", l)
	}
	if got[0].Class != job.Critical || got[2].Class != job.Bulk || got[2].Paused {
		t.Errorf("%+v", got)
	}
}

func TestInspectorDelete(t *testing.T) {
	t.Parallel()
	n, queues, state := fill(t)
	for _, id := range []string{"pending", "scheduled", "retry", "archived"} {
		if err := n.Delete(t.Context(), account, job.Default, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if s := state(id); s != "" {
			t.Errorf("%s is still %s", id, s)
		}
	}
	if err := n.Delete(t.Context(), account, job.Default, "active"); !errors.Is(err, broker.ErrActive) {
		t.Errorf("active: %v, want ErrActive", err)
	}
	if err := n.Delete(t.Context(), account, job.Default, "nobody"); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("unknown: %v, want ErrNotFound", err)
	}
	want := broker.QueueState{Class: job.Default, Active: 1, Paused: true}
	if diff := cmp.Diff(want, queues()[1], cmpopts.IgnoreFields(broker.QueueState{}, "Pause")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestInspectorRunTask(t *testing.T) {
	t.Parallel()
	n, _, state := fill(t)
	for _, id := range []string{"scheduled", "retry", "archived", "pending"} {
		if err := n.RunTask(t.Context(), account, job.Default, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if s := state(id); s != "pending" {
			t.Errorf("%s is %s", id, s)
		}
	}
	if err := n.RunTask(t.Context(), account, job.Default, "active"); !errors.Is(err, broker.ErrActive) {
		t.Errorf("active: %v", err)
	}
	if err := n.RunTask(t.Context(), account, job.Default, "nobody"); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	t.Run("stops fetching and opens when its hour comes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			n, h := broker.NewInspector(rdb), patient()
			until := time.Now().Add(time.Hour)
			if err := n.Pause(t.Context(), account, job.Default, broker.Pause{Owner: "gate", Reason: "quota", Until: until}); err != nil {
				t.Fatal(err)
			}
			put(t, rdb, items(3, job.Default)...)
			g := &gate{}
			stop := serve(t, broker.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
			time.Sleep(30 * time.Minute) // virtual
			if taken, _ := g.counts(); taken != 0 || len(h.ids()) != 0 {
				t.Errorf("%d permits, %d tasks while paused", taken, len(h.ids()))
			}
			h.wait(t, 3)
			if late := time.Since(until); late < 0 || late > 7*time.Second {
				t.Errorf("opened %s after its hour", late)
			}
			_ = stop()
		})
	})
	t.Run("what an admin paused is never opened by us", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		ctx := t.Context()
		n := broker.NewInspector(rdb)
		w := broker.NewWatchdog(rdb, account, nil)
		paused := func() bool { return rdb.Exists(ctx, key(job.Bulk, "paused")).Val() == 1 }
		past := broker.Pause{Owner: "gate", Reason: "quota", Until: time.Now().Add(-time.Hour)}

		if err := n.Pause(ctx, account, job.Bulk, past); err != nil {
			t.Fatal(err)
		}
		if err := n.ManualHold(ctx, account, job.Bulk, broker.Pause{Owner: "admin"}); err != nil {
			t.Fatal(err)
		}
		if err := n.Pause(ctx, account, job.Bulk, past); !errors.Is(err, broker.ErrHeld) {
			t.Errorf("Pause over a manual hold: %v", err)
		}
		if err := n.Unpause(ctx, account, job.Bulk); !errors.Is(err, broker.ErrHeld) {
			t.Errorf("Unpause of a manual hold: %v", err)
		}
		sweep(t, rdb, w)
		if !paused() {
			t.Error("the manual hold was opened")
		}
		if err := n.ManualOpen(ctx, account, job.Bulk); err != nil || paused() {
			t.Errorf("ManualOpen: %v", err)
		}
	})
	t.Run("a pause from another tool counts as an admin's", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		ctx := t.Context()
		n := broker.NewInspector(rdb)
		// A record of ours is left over from a pause that another tool opened.
		if err := n.Pause(ctx, account, job.Bulk, broker.Pause{Owner: "gate", Until: time.Now().Add(-time.Hour)}); err != nil {
			t.Fatal(err)
		}
		rdb.Set(ctx, key(job.Bulk, "paused"), time.Now().Unix()-5, 0)
		if err := n.Unpause(ctx, account, job.Bulk); !errors.Is(err, broker.ErrHeld) {
			t.Errorf("error = %v, want ErrHeld", err)
		}
		if s := sweep(t, rdb, broker.NewWatchdog(rdb, account, nil)); s.Opened != 0 {
			t.Error("the watchdog opened it")
		}
	})
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	w := broker.NewWatchdog(rdb, account, nil)
	put(t, rdb, items(6, job.Default)...)
	dead(t, rdb, job.Default, "default-000002", time.Minute)
	dead(t, rdb, job.Default, "default-000003", -20*time.Second) // alive
	dead(t, rdb, job.Default, "default-000004", 0)
	rdb.ZRem(ctx, key(job.Default, "lease"), "default-000004") // active without a lease
	dead(t, rdb, job.Default, "default-000005", 2*time.Second) // ended, but clocks differ
	rdb.ZAdd(ctx, key(job.Default, "lease"), zAt("ghost", -time.Hour))

	s := sweep(t, rdb, w)
	if s.Recovered != 2 || s.Stale != 1 || s.Missing != 0 {
		t.Errorf("%+v, want 2 recovered, 1 stale", s)
	}
	pending := rdb.LRange(ctx, key(job.Default, "pending"), 0, -1).Val()
	if want := []string{"default-000001", "default-000000", "default-000002", "default-000004"}; !cmp.Equal(pending, want) {
		t.Errorf("pending = %v, want the recovered ones at the head: %v", pending, want)
	}
	if again := sweep(t, rdb, w); again.Recovered+again.Stale+again.Missing != 0 {
		t.Errorf("a second sweep found %+v", again)
	}
	if s, err := w.Sweep(ctx); err != nil || s.Ran {
		t.Errorf("swept twice within 5 s: %+v, %v", s, err)
	}
	// Many at once, in batches.
	put(t, rdb, items(1000, job.Bulk)...)
	for i := range 1000 {
		dead(t, rdb, job.Bulk, fmt.Sprintf("bulk-%06d", i), time.Minute)
	}
	if s := sweep(t, rdb, w); s.Recovered != 1000 {
		t.Errorf("%d of 1000 recovered", s.Recovered)
	}
}

// Of two messages under one ID only the one that is meant is touched.
func TestInspectorDeleteOwn(t *testing.T) {
	t.Parallel()
	n, _, state := fill(t)
	for _, id := range []string{"pending", "scheduled", "retry", "archived", "active"} {
		if err := n.DeleteOwn(t.Context(), account, job.Default, id, []byte("another's")); !errors.Is(err, broker.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound for another payload", id, err)
		}
		if held, err := n.Holds(t.Context(), account, job.Default, id, []byte("another's")); held || err != nil {
			t.Errorf("%s: holds another's payload: %v %v", id, held, err)
		}
		if held, err := n.Holds(t.Context(), account, job.Default, id, []byte("x")); !held || err != nil {
			t.Errorf("%s: does not hold its payload: %v %v", id, held, err)
		}
		want := error(nil)
		if id == "active" {
			want = broker.ErrActive
		}
		if err := n.DeleteOwn(t.Context(), account, job.Default, id, []byte("x")); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
		if s := state(id); s != "" && id != "active" {
			t.Errorf("%s is still %s", id, s)
		}
	}
	if held, err := n.Holds(t.Context(), account, job.Default, "nobody", []byte("x")); held || err != nil {
		t.Errorf("nobody holds: %v %v", held, err)
	}
}
