package queue

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// WakeUps receives the wake-ups of many accounts over one connection. The servers
// of one process and Redis share one; each has an account of its own.
type WakeUps struct {
	rdb redis.UniversalClient

	mu     sync.Mutex
	pubsub *redis.PubSub              // nil: no server subscribes
	called map[string]func(job.Class) // by channel: one server of an account subscribes
	done   chan struct{}              // closed when the reader has ended
}

// NewWakeUps does not connect: the first Server does.
func NewWakeUps(rdb redis.UniversalClient) *WakeUps {
	return &WakeUps{rdb: rdb, called: map[string]func(job.Class){}}
}

// subscribe calls wake for each queue of the account that got a task while it was
// idle, until stop is called. go-redis restores a lost connection; wake-ups that
// come before it has are lost, which the fetch loop makes up for within a second.
func (w *WakeUps) subscribe(ctx context.Context, account string, wake func(job.Class)) (stop func()) {
	channel := wakeChannel(account)
	ctx = context.WithoutCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.called[channel] = wake
	if w.pubsub == nil {
		w.pubsub = w.rdb.Subscribe(ctx, channel)
		w.done = make(chan struct{})
		go w.read(w.pubsub.Channel(redis.WithChannelHealthCheckInterval(10*time.Second)), w.done)
	} else {
		// The error is that of a lost connection: the next one subscribes to all.
		_ = w.pubsub.Subscribe(ctx, channel)
	}
	return func() { w.unsubscribe(ctx, channel) }
}

func (w *WakeUps) read(messages <-chan *redis.Message, done chan<- struct{}) {
	defer close(done)
	for m := range messages {
		w.mu.Lock()
		if wake := w.called[m.Channel]; wake != nil {
			wake(job.Class(m.Payload)) // never waits
		}
		w.mu.Unlock()
	}
}

func (w *WakeUps) unsubscribe(ctx context.Context, channel string) {
	w.mu.Lock()
	delete(w.called, channel)
	if len(w.called) > 0 {
		_ = w.pubsub.Unsubscribe(ctx, channel)
		w.mu.Unlock()
		return
	}
	pubsub, done := w.pubsub, w.done
	w.pubsub = nil
	w.mu.Unlock()
	_ = pubsub.Close()
	<-done
}
