package queue_test

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

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
	rdb         *redis.Client
	left        atomic.Int64
	done        chan struct{}
	self, redis time.Duration
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
	c.self, c.redis = c.cpu(b)
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
	self, server := c.cpu(b)
	n := float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((self-c.self).Microseconds())/n, "own-µs/msg")
	b.ReportMetric(float64((server-c.redis).Microseconds())/n, "redis-µs/msg")
}

func (c *counter) cpu(b *testing.B) (self, server time.Duration) {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	self = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	for line := range strings.Lines(c.rdb.Info(b.Context(), "cpu").Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			d, err := time.ParseDuration(value + "s")
			if err != nil {
				b.Fatal(err)
			}
			server += d
		}
	}
	return self, server
}
