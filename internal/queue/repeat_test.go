package queue_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// repeats carries out twice the first n calls of a script that has this key, as go-redis
// does after a lost answer.
type repeats struct {
	singleCalls

	key   string
	n     atomic.Int64
	after time.Duration
}

func (r *repeats) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && slices.ContainsFunc(cmd.Args(), r.isKey) && r.n.Add(-1) >= 0 {
			time.Sleep(r.after) // virtual
			err = next(ctx, cmd)
			cmd.SetErr(err)
		}
		return err
	}
}

func (r *repeats) isKey(arg any) bool {
	switch arg := arg.(type) {
	case string:
		return strings.Contains(arg, r.key)
	case *string:
		return strings.Contains(*arg, r.key)
	}
	return false
}

// asynq repeats for 30 s what failed, and it is no failure when the task is not active any
// more: a completion or a retry that was carried out twice would be carried out on a later
// delivery of the same ID, as of a dead message that an operator has sent again.
func TestWhatWasCarriedOutTwiceIsNotRepeatedOnALaterDelivery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		key   string // of the script alone
		first error  // what the first handler returns
	}{
		"completion": {"}:processed:", nil},
		"retry":      {"}:failed:", &queue.Later{After: 2 * time.Second, Reason: "busy"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				twice := &repeats{key: test.key}
				twice.n.Store(1)
				rdb.AddHook(twice)
				item := queue.Item{ID: "m", Payload: []byte("x")}
				put(t, rdb, job.Default, item)
				h, a := patient(), &atOnce{}
				stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
					defer a.enter()()
					switch h.add(task) {
					case 1:
						return test.first
					case 2:
						time.Sleep(10 * time.Second) // virtual
						return &queue.Later{After: time.Minute, Reason: "busy"}
					}
					return nil
				}})
				h.wait(t, 1)
				time.Sleep(time.Second)
				if twice.n.Load() != 0 {
					t.Fatal("no call was repeated: the test tests nothing")
				}
				if test.first == nil {
					put(t, rdb, job.Default, item)
				}
				h.wait(t, 1)
				second := time.Now()
				h.wait(t, 1)
				if took := time.Since(second); took < time.Minute {
					t.Errorf("the third delivery came %s after the second, want a minute", took)
				}
				time.Sleep(time.Minute)
				_ = stop()
				if len(h.ids()) != 3 || a.max != 1 {
					t.Errorf("%d deliveries, %d at once", len(h.ids()), a.max)
				}
			})
		})
	}
}

// A task that goes back to the head of its queue is fetched by another worker before the
// call that put it back is repeated: it stays with that worker.
func TestATaskThatWasPutBackTwiceIsNotTakenFromAnotherWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, rdb := redistest.Mini(t)
		twice := &repeats{key: "}:t:m", after: 300 * time.Millisecond}
		h, a := patient(), &atOnce{}
		handler := func(_ context.Context, task queue.Task) error {
			defer a.enter()()
			if h.add(task) == 1 {
				twice.n.Store(1) // from here on, the first call with the task's key is the one that puts it back
				return &queue.Later{Reason: "the gate is closed"}
			}
			time.Sleep(10 * time.Second) // virtual
			return nil
		}
		put(t, rdb, job.Default, queue.Item{ID: "m", Payload: []byte("x")})
		rdb.AddHook(twice)
		first := serve(t, queue.ServerConfig{Redis: rdb, Handler: handler, Concurrency: 1})
		h.wait(t, 1)
		second := serve(t, queue.ServerConfig{Redis: redistest.MiniClient(t, m), Handler: handler})
		third := serve(t, queue.ServerConfig{Redis: redistest.MiniClient(t, m), Handler: handler})
		time.Sleep(time.Minute)
		for _, stop := range []func() error{first, second, third} {
			_ = stop()
		}
		if twice.n.Load() >= 1 {
			t.Fatal("no call was repeated: the test tests nothing")
		}
		if a.max != 1 || len(h.ids()) != 2 {
			t.Errorf("%d deliveries, %d at once", len(h.ids()), a.max)
		}
	})
}

// loses carries the next call with the key out and loses its answer for good, as when Redis
// is away for longer than go-redis repeats a call.
type loses struct{ repeats }

func (l *loses) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && slices.ContainsFunc(cmd.Args(), l.isKey) && l.n.Add(-1) >= 0 {
			err = io.ErrUnexpectedEOF
			cmd.SetErr(err)
		}
		return err
	}
}

// asynq repeats a call that failed after its task was fetched again by the same worker: the
// later delivery keeps the task.
func TestATaskWhosePutBackHasNoAnswerIsNotTakenFromItsNextDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, rdb := redistest.Mini(t)
		lost := &loses{repeats{key: "}:t:m"}}
		h, a := patient(), &atOnce{}
		handler := func(_ context.Context, task queue.Task) error {
			defer a.enter()()
			if h.add(task) == 1 {
				lost.n.Store(1) // from here on, the first call with the task's key is the one that puts it back
				return &queue.Later{Reason: "the gate is closed"}
			}
			time.Sleep(20 * time.Second) // virtual
			return nil
		}
		put(t, rdb, job.Default, queue.Item{ID: "m", Payload: []byte("x")})
		rdb.AddHook(lost)
		first := serve(t, queue.ServerConfig{Redis: rdb, Handler: handler})
		h.wait(t, 2)
		second := serve(t, queue.ServerConfig{Redis: redistest.MiniClient(t, m), Handler: handler})
		time.Sleep(2 * time.Minute)
		for _, stop := range []func() error{first, second} {
			_ = stop()
		}
		if lost.n.Load() >= 1 {
			t.Fatal("no answer was lost: the test tests nothing")
		}
		if a.max != 1 || len(h.ids()) != 2 {
			t.Errorf("%d deliveries, %d at once", len(h.ids()), a.max)
		}
	})
}
