package queue_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// BenchmarkServer handles tasks as WeChat would, each in 50 ms, 800 at once: asynq as
// it is, beside asynq behind the fetch loop. It reports the processor time of both
// sides a message, which does not depend on the machine's other load as the rate does.
func BenchmarkServer(b *testing.B) {
	const servers, slots, latency = 4, 800, 50 * time.Millisecond
	b.Run("asynq", func(b *testing.B) {
		rdb := redistest.Start(b).Client(b)
		count := prepare(b, rdb)
		for range servers {
			s := asynq.NewServerFromRedisClient(rdb, asynq.Config{
				Concurrency: slots / servers, Queues: map[string]int{account + ":default": 1}, LogLevel: asynq.ErrorLevel,
			})
			if err := s.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
				wait(latency)
				count.add()
				return nil
			})); err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown()
		}
		count.report(b)
	})
	b.Run("queue", func(b *testing.B) {
		rdb := redistest.Start(b).Client(b)
		count := prepare(b, rdb)
		stop := serve(b, queue.ServerConfig{
			Redis: rdb, Concurrency: slots, Logger: zap.NewNop(), Handler: func(context.Context, queue.Task) error {
				wait(latency)
				count.add()
				return nil
			},
		})
		count.report(b)
		_ = stop()
	})
}

func wait(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// counter counts handled tasks, and what they cost.
type counter struct {
	rdb  *redis.Client
	left atomic.Int64
	done chan struct{}
	used cost.Used // before
}

func prepare(b *testing.B, rdb *redis.Client) *counter {
	b.Helper()
	list := items(b.N, job.Default)
	for i := range list {
		list[i].Payload = []byte(strings.Repeat("x", 450))
	}
	put(b, rdb, job.Default, list...)
	c := &counter{rdb: rdb, done: make(chan struct{})}
	c.left.Store(int64(b.N))
	c.used = c.read(b)
	b.ResetTimer()
	return c
}

func (c *counter) add() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

func (c *counter) report(b *testing.B) {
	b.Helper()
	<-c.done
	b.StopTimer()
	used, n := c.read(b), float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(1e6*(used.Process-c.used.Process)/n, "own-µs/msg")
	b.ReportMetric(1e6*(used.Redis-c.used.Redis)/n, "redis-µs/msg")
}

func (c *counter) read(b *testing.B) cost.Used {
	b.Helper()
	used, err := cost.Read(b.Context(), c.rdb)
	if err != nil {
		b.Fatal(err)
	}
	return used
}
