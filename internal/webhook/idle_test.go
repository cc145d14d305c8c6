package webhook_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/webhook"
)

// commandCounter is a hook that counts commands.
type commandCounter struct{ n atomic.Int64 }

func (*commandCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commandCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (*commandCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// An account without webhooks, or with disabled ones alone, pays nothing for its events. A
// webhook that is added later gets what comes then.
func TestEventsAreNotReadForWebhooksThatAreNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, rdb := redistest.Mini(t)
		store, s := newService(rdb, false)
		b := newBusiness()
		s.Use(b)
		var counted commandCounter
		rdb.AddHook(&counted)
		stop := run(t, s)
		other := redistest.MiniClient(t, m)
		during := func(events int) int64 {
			before := counted.n.Load()
			for range 200 {
				if events--; events >= 0 {
					publish(t, other, 1)
				}
				time.Sleep(100 * time.Millisecond) // virtual
			}
			return counted.n.Load() - before
		}
		if quiet, busy := during(0), during(200); busy > quiet+10 {
			t.Errorf("%d commands in 20 s without an event, %d with 200 events", quiet, busy)
		}
		_, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example/hook"})
		must(t, err)
		time.Sleep(3 * time.Second) // virtual
		publish(t, other, 1)
		await(t, "request", b.news)
		stop()
	})
}
