package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// wake says that a queue may hold a task again. Any goroutine may call it.
func (f *fetcher) wake(class job.Class) {
	for _, q := range f.queues {
		if q.class == class {
			q.filled.Store(true)
		}
	}
	f.signal()
}

// signal has the loop look again, should it wait.
func (f *fetcher) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// listen wakes the loop for each queue that got a task while it was idle, until ctx ends.
// go-redis restores a lost connection; wake-ups that come before it has are lost, which
// tend makes up for within a second.
func (f *fetcher) listen(ctx context.Context) {
	sub := f.rdb.Subscribe(ctx, wakeChannel(f.account))
	defer func() { _ = sub.Close() }()
	messages := sub.Channel(redis.WithChannelHealthCheckInterval(10 * time.Second))
	for {
		select {
		case m, open := <-messages:
			if !open { // the client was closed
				return
			}
			f.wake(job.Class(m.Payload))
		case <-ctx.Done():
			return
		}
	}
}
