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
)

// A worker whose clock is off would take living workers' tasks for abandoned
// ones, send what is not due yet, and misjudge WeChat's window: it does nothing
// until its clock is right.
func TestAWorkerWithAWrongClockTouchesNothing(t *testing.T) {
	t.Parallel()
	for name, skew := range map[string]time.Duration{"10 minutes ahead": -10 * time.Minute, "10 minutes behind": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, rdb := redistest.Mini(t)
				ctx := t.Context()
				put(t, rdb, job.Default, items(3, job.Default)...)
				// One in the hand of another worker, whose clock is Redis'; one due in five minutes.
				id := rdb.LIndex(ctx, key(job.Default, "pending"), 0).Val()
				rdb.LRem(ctx, key(job.Default, "pending"), 1, id)
				rdb.LPush(ctx, key(job.Default, "active"), id)
				lease := float64(time.Now().Add(skew + 25*time.Second).Unix())
				rdb.ZAdd(ctx, key(job.Default, "lease"), redis.Z{Score: lease, Member: id})
				put(t, rdb, job.Default, queue.Item{
					ID: "later", Payload: []byte(`{"n":1}`), ProcessAt: time.Now().Add(skew + 5*time.Minute),
				})
				m.SetTime(time.Now().Add(skew))
				h := patient()
				stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle})
				time.Sleep(4 * time.Second)
				if got := h.ids(); len(got) != 0 {
					t.Fatalf("handled %v with a clock that is off by %s", got, skew)
				}
				if n := rdb.LLen(ctx, key(job.Default, "active")).Val(); n != 1 {
					t.Fatalf("%d tasks active: another worker's was taken back", n)
				}
				m.SetTime(time.Time{}) // the clocks agree again
				h.wait(t, 2)
				if slices.Contains(h.ids(), "later") && skew > 0 {
					t.Error("a scheduled message was handled before its hour")
				}
				_ = stop()
			})
		})
	}
}

// The clock of a worker jumps while a handler runs: its task waits as long as the handler
// said all the same, by Redis' clock.
func TestARetryIsDueByRedisClock(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"an hour ahead": time.Hour, "an hour back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, rdb := redistest.Mini(t)
				put(t, rdb, job.Default, items(1, job.Default)...)
				h := patient()
				var wall time.Time // Redis'
				stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
					h.add(task)
					wall = time.Now().Add(-jump)
					m.SetTime(wall)
					time.Sleep(2 * time.Second) // virtual; past a look
					return &queue.Later{After: time.Minute, Reason: "busy"}
				}})
				h.wait(t, 1)
				time.Sleep(3 * time.Second)
				due := time.Unix(int64(rdb.ZScore(t.Context(), key(job.Default, "retry"), "default-000000").Val()), 0)
				if wait := due.Sub(wall); wait < 58*time.Second || wait > 62*time.Second {
					t.Errorf("the task waits for %s, want a minute", wait)
				}
				_ = stop()
			})
		})
	}
}
