package queue_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// Handlers share a context, but each has TaskTimeout and at most a second more.
func TestEachHandlerHasTaskTimeoutWhenverItStarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		const limit, n = 10 * time.Second, 40
		h := patient()
		stop := serve(t, queue.ServerConfig{Redis: rdb, TaskTimeout: limit, Handler: func(ctx context.Context, task queue.Task) error {
			end, _ := ctx.Deadline()
			if left := time.Until(end); left < limit || left > limit+time.Second {
				t.Errorf("%s has %s, want %s and at most a second more", task.ID, left, limit)
			}
			if task.ID == "default-000000" {
				<-ctx.Done() // while later ones go on
			}
			return h.handle(ctx, task)
		}})
		for _, item := range items(n, job.Default) {
			put(t, rdb, job.Default, item)
			time.Sleep(300 * time.Millisecond) // virtual
		}
		h.wait(t, n)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
