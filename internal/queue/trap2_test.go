package queue_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// atOnce counts how many handlers run at the same time.
type atOnce struct {
	mu       sync.Mutex
	now, max int
}

func (a *atOnce) enter() (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now++
	a.max = max(a.max, a.now)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.now--
	}
}

func TestTrapT09DeafHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		put(t, rdb, job.Default, items(1, job.Default)...)
		h, a := patient(), &atOnce{}
		stop := serve(t, queue.ServerConfig{Redis: rdb, TaskTimeout: time.Second, Concurrency: 8, Handler: func(ctx context.Context, task queue.Task) error {
			defer a.enter()()
			if h.add(task) == 1 {
				<-ctx.Done()
				if d, _ := ctx.Deadline(); time.Since(d) > time.Second {
					t.Errorf("the context ended %s late", time.Since(d))
				}
				time.Sleep(3 * time.Minute) // virtual; deaf, beyond asynq's limit
			}
			return nil
		}})
		h.wait(t, 2)
		time.Sleep(5 * time.Minute)
		_ = stop()
		if a.max != 1 {
			t.Errorf("%d handlers of one message at once", a.max)
		}
		_ = stop()
	})
}

func TestTrapT10DrainBeforeAsynqGivesUp(t *testing.T) {
	t.Parallel()
	t.Run("que-11 handlers that end in time complete", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			put(t, rdb, job.Default, items(20, job.Default)...)
			h := patient()
			stop := serve(t, queue.ServerConfig{Redis: rdb, Concurrency: 8, DrainTimeout: 10 * time.Second, Handler: func(ctx context.Context, task queue.Task) error {
				h.add(task)
				time.Sleep(8 * time.Second) // virtual
				return ctx.Err()
			}})
			h.wait(t, 8)
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := rdb.LLen(t.Context(), key(job.Default, "pending")).Val(); n != 12 {
				t.Errorf("pending = %d, want 12 that were not fetched", n)
			}
			if n := rdb.LLen(t.Context(), key(job.Default, "active")).Val(); n != 0 {
				t.Errorf("active = %d", n)
			}
		})
	})
	t.Run("late handlers are interrupted and their tasks go to the head", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			put(t, rdb, job.Default, items(5, job.Default)...)
			h, a := patient(), &atOnce{}
			began := make(chan struct{})
			stop := serve(t, queue.ServerConfig{Redis: rdb, Concurrency: 1, DrainTimeout: 3 * time.Second, Handler: func(ctx context.Context, task queue.Task) error {
				defer a.enter()()
				h.add(task)
				close(began)
				<-ctx.Done()
				return ctx.Err()
			}})
			<-began
			start := time.Now()
			err := stop()
			if err == nil || !strings.Contains(err.Error(), "1 tasks") {
				t.Errorf("error = %v, want one that says how many did not end", err)
			}
			if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
				t.Errorf("the stop took %s", took)
			}
			ids := rdb.LRange(t.Context(), key(job.Default, "pending"), 0, -1).Val()
			if len(ids) != 5 || ids[4] != "default-000000" {
				t.Errorf("pending = %v, want the interrupted one at the head", ids)
			}
			if n := h.count["default-000000"]; n != 1 || a.max != 1 {
				t.Errorf("ran %d times, %d at once", n, a.max)
			}
		})
	})
}

func TestTrapT12SameIDInTwoClasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		for _, class := range []job.Class{job.Default, job.Bulk} {
			put(t, rdb, class, queue.Item{ID: "twin", Payload: []byte("x")})
		}
		h, a := patient(), &atOnce{}
		stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
			defer a.enter()()
			h.add(task)
			time.Sleep(25 * time.Second) // virtual
			return nil
		}})
		h.wait(t, 2)
		time.Sleep(3 * time.Minute)
		_ = stop()
		if len(h.tasks) != 2 || a.max != 1 {
			t.Errorf("%d calls, %d at once; want each once, one after the other", len(h.tasks), a.max)
		}
		_ = stop()
	})
}

func TestTrapT13UnknownQueue(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	states, err := queue.NewInspector(rdb).Queues(t.Context(), "wxnobody")
	if err != nil || len(states) != 3 {
		t.Errorf("queues of an unused account: %v, %v; want three empty ones", states, err)
	}
	for _, s := range states {
		if s.Pending+s.Active+s.Retry != 0 || s.Paused {
			t.Errorf("%+v", s)
		}
	}
}

func TestTrapT15NoUniqueLocks(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	list := items(10, job.Default)
	put(t, rdb, job.Default, list...)
	if keys := rdb.Keys(t.Context(), "*unique*").Val(); len(keys) != 0 {
		t.Errorf("locks: %v", keys)
	}
	if _, err := asynq.NewInspectorFromRedisClient(rdb).DeleteAllPendingTasks(account + ":default"); err != nil {
		t.Fatal(err)
	}
	put(t, rdb, job.Default, list...) // fails when an ID still conflicts
}

func TestPanicKeepsThePayloadOut(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	put(t, rdb, job.Default, items(1, job.Default)...)
	h := newHandled()
	serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
		h.add(task)
		panic("canary " + string(task.Payload))
	}})
	h.wait(t, 1)
	var info *asynq.TaskInfo
	testutil.Until(t, "retry", func() bool {
		var err error
		info, err = asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo(account+":default", "default-000000")
		return err == nil && info.LastErr != ""
	})
	if strings.Contains(info.LastErr, "canary") || !strings.Contains(info.LastErr, "panicked") {
		t.Errorf("LastErr = %q", info.LastErr)
	}
}

func TestLater(t *testing.T) {
	t.Parallel()
	t.Run("zero goes to the head at once", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		list := items(20, job.Default)
		put(t, rdb, job.Default, list...)
		h := newHandled()
		serve(t, queue.ServerConfig{Redis: rdb, Concurrency: 1, Handler: func(_ context.Context, task queue.Task) error {
			if n := h.add(task); n <= 3 && task.ID == list[0].ID {
				return &queue.Later{Reason: "gate closed"}
			}
			return nil
		}})
		h.wait(t, 23)
		for i, id := range h.ids()[:4] {
			if id != list[0].ID {
				t.Fatalf("call %d was of %s, want %s again", i, id, list[0].ID)
			}
		}
		if n := rdb.ZCard(t.Context(), key(job.Default, "retry")).Val(); n != 0 {
			t.Errorf("%d went through the retry set", n)
		}
		if failed := rdb.Get(t.Context(), key(job.Default, "failed")).Val(); failed != "" {
			t.Errorf("%s failures were counted", failed)
		}
	})
	t.Run("due retries go before the backlog, in order", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			list := items(150, job.Default)
			put(t, rdb, job.Default, list...)
			h, g := patient(), shutGate()
			began := time.Now()
			g.set(nil, 0, 1)
			retried := map[string]bool{}
			const waits = 120 // more than one batch of the forwarder
			stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Concurrency: 1, Handler: func(_ context.Context, task queue.Task) error {
				n := h.add(task)
				if n == 1 && len(retried) < waits {
					retried[task.ID] = true
					time.Sleep(10 * time.Millisecond) // virtual
					return &queue.Later{After: 20 * time.Second, Reason: "busy"}
				}
				time.Sleep(time.Second) // the backlog of 30 lasts longer than the wait
				return nil
			}})
			h.wait(t, 270)
			ids := h.ids()
			first := 0 // place of the first retry
			for i, id := range ids[waits:] {
				if retried[id] {
					first = waits + i
					break
				}
			}
			if first > waits+25 || first < waits+15 {
				t.Errorf("the first retry came at place %d, %s after the start", first, time.Since(began))
			}
			later := 0
			for i, id := range ids[first : first+waits] {
				if !retried[id] {
					later++
				} else if later == 0 && id != list[i].ID {
					t.Errorf("place %d: %s, want %s", first+i, id, list[i].ID)
					break
				}
			}
			if later > 5 {
				t.Errorf("%d of the backlog went before the retries", later)
			}
			_ = stop()
		})
	})
	t.Run("scheduled tasks wake an idle worker", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			due := time.Now().Add(5 * time.Minute)
			put(t, rdb, job.Default, queue.Item{ID: "late", Payload: []byte("x"), ProcessAt: due})
			h := patient()
			stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle})
			time.Sleep(time.Until(due) - time.Second)
			if len(h.ids()) > 0 {
				t.Error("too early")
			}
			h.wait(t, 1)
			if late := time.Since(due); late > 1100*time.Millisecond {
				t.Errorf("%s late", late)
			}
			_ = stop()
		})
	})
}
