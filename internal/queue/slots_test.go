package queue_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// A task that has freed its slot is recorded while the next one is handled, but not beside
// any number of them.
func TestFreeSlotHasAnotherTaskFetched(t *testing.T) {
	t.Parallel()
	for name, frees := range map[string]bool{"freed": true, "kept": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				want := 1
				if frees {
					want += queue.SpareSlots
				}
				put(t, rdb, job.Default, items(want+20, job.Default)...)
				h, record := patient(), make(chan struct{})
				stop := serve(t, queue.ServerConfig{Redis: rdb, Concurrency: 1, Handler: func(ctx context.Context, task queue.Task) error {
					if frees {
						task.FreeSlot()
						task.FreeSlot() // once
					}
					h.add(task)
					select {
					case <-record:
					case <-ctx.Done():
					}
					return nil
				}})
				h.wait(t, want)
				synctest.Wait()
				if n := len(h.ids()); n != want {
					t.Errorf("%d tasks were handled at once, want %d", n, want)
				}
				close(record)
				h.wait(t, 20)
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// slowHead delays the script that puts tasks back at the head of their queue.
type slowHead struct{}

func (slowHead) DialHook(next redis.DialHook) redis.DialHook { return next }

func (slowHead) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (slowHead) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if isGiveBack(cmd) {
			time.Sleep(time.Second) // virtual
		}
		return next(ctx, cmd)
	}
}

// A task that goes back keeps its slot until it is there: no other one overtakes it.
func TestTaskThatGoesBackKeepsItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		list := items(3, job.Default)
		put(t, rdb, job.Default, list...)
		rdb.AddHook(slowHead{})
		h := patient()
		serve(t, queue.ServerConfig{Redis: rdb, Concurrency: 1, Handler: func(_ context.Context, task queue.Task) error {
			if h.add(task) <= 2 && task.ID == list[0].ID {
				return &queue.Later{Reason: "gate closed"}
			}
			return nil
		}})
		h.wait(t, 5)
		first := list[0].ID
		if want := []string{first, first, first, list[1].ID, list[2].ID}; !slices.Equal(h.ids(), want) {
			t.Errorf("handled %v, want %v", h.ids(), want)
		}
	})
}

// Each delivery of a task has one end: one that went back twice is there while its third
// delivery runs, and is gone when that has completed.
func TestTaskThatWentBackTwiceIsCompletedByItsThirdDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		list := items(1, job.Default)
		put(t, rdb, job.Default, list...)
		h, finish := patient(), make(chan struct{})
		serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
			if h.add(task) <= 2 {
				return &queue.Later{Reason: "gate closed"}
			}
			<-finish
			return nil
		}})
		h.wait(t, 3)
		time.Sleep(20 * time.Second) // virtual
		task := key(job.Default, "t:"+list[0].ID)
		if state := rdb.HGet(t.Context(), task, "state").Val(); state != "active" {
			t.Errorf("the state during the third delivery is %q", state)
		}
		close(finish)
		testutil.Until(t, "completed", func() bool { return rdb.Exists(t.Context(), task).Val() == 0 })
		if n := len(h.ids()); n != 3 {
			t.Errorf("handled %d times", n)
		}
	})
}
