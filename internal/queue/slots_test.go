package queue_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
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
