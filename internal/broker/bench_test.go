package broker_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// payload has the size of an ordinary message.
var payload = make([]byte, 452)

// eachFrom64 runs one call per message from 64 goroutines.
func eachFrom64(b *testing.B, call func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := call(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkEnqueue is P5: one by one from 64 goroutines, beside plain asynq.
func BenchmarkEnqueue(b *testing.B) {
	b.Run("asynq", func(b *testing.B) {
		c := asynq.NewClientFromRedisClient(redistest.Start(b).Client(b))
		eachFrom64(b, func(i int) error {
			_, err := c.Enqueue(asynq.NewTask(job.TaskType, payload), asynq.Queue(account+":default"), asynq.TaskID(fmt.Sprint("id-", i)))
			return err
		})
	})
	b.Run("broker", func(b *testing.B) {
		q := broker.NewEnqueuer(redistest.Start(b).Client(b))
		eachFrom64(b, func(i int) error { return enqueueOne(b, q, i, nil) })
	})
	b.Run("broker with a record", func(b *testing.B) {
		q := broker.NewEnqueuer(redistest.Start(b).Client(b))
		eachFrom64(b, func(i int) error {
			return enqueueOne(b, q, i, func(pipe redis.Pipeliner, _ int) {
				pipe.HSetNX(b.Context(), fmt.Sprint("record-", i), "s", "queued")
			})
		})
	})
}

func enqueueOne(b *testing.B, q *broker.Enqueuer, i int, before func(redis.Pipeliner, int)) error {
	b.Helper()
	item := broker.Item{Account: account, Class: job.Default, ID: fmt.Sprint("id-", i), Payload: payload}
	got, err := q.Enqueue(b.Context(), []broker.Item{item}, before)
	if err != nil {
		return err
	}
	return got[0].Err
}

// BenchmarkEnqueueMany is P6: one caller, beside the same script raw in a pipeline.
func BenchmarkEnqueueMany(b *testing.B) {
	b.Run("raw EVALSHA", func(b *testing.B) {
		rdb := redistest.Start(b).Client(b)
		sha, message := asynqScript(b, rdb)
		b.ResetTimer()
		for from := 0; from < b.N; from += 500 {
			pipe := rdb.Pipeline()
			for i := from; i < min(from+500, b.N); i++ {
				id := fmt.Sprint("id-", i)
				pipe.EvalSha(b.Context(), sha, []string{key(job.Bulk, "t:"+id), key(job.Bulk, "pending")}, message, id, 1)
			}
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
	b.Run("broker", func(b *testing.B) {
		q := broker.NewEnqueuer(redistest.Start(b).Client(b))
		list := items(b.N, job.Bulk)
		for i := range list {
			list[i].Payload = payload
		}
		b.ResetTimer()
		got, err := q.Enqueue(b.Context(), list, nil)
		if err != nil || got[0].Err != nil {
			b.Fatal(err, got[0].Err)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
}

// asynqScript enqueues one task with asynq and returns its script's SHA and the
// stored message.
func asynqScript(b *testing.B, rdb *redis.Client) (sha, message string) {
	b.Helper()
	hook := &evalHook{}
	rdb.AddHook(hook)
	c := asynq.NewClientFromRedisClient(rdb)
	if _, err := c.Enqueue(asynq.NewTask(job.TaskType, payload), asynq.Queue(account+":bulk"), asynq.TaskID("first")); err != nil {
		b.Fatal(err)
	}
	sum := sha1.Sum([]byte(hook.script))
	return hex.EncodeToString(sum[:]), rdb.HGet(b.Context(), key(job.Bulk, "t:first"), "msg").Val()
}

type evalHook struct{ script string }

func (*evalHook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *evalHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "eval" {
			h.script, _ = cmd.Args()[1].(string)
		}
		return next(ctx, cmd)
	}
}

func (*evalHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// BenchmarkServer handles tasks with an empty handler: asynq as it is, beside
// asynq behind the gate with shared completions.
func BenchmarkServer(b *testing.B) {
	fill := func(b *testing.B, rdb redis.UniversalClient) {
		list := items(b.N, job.Default)
		for i := range list {
			list[i].Payload = payload
		}
		q := broker.NewEnqueuer(rdb)
		if _, err := q.Enqueue(b.Context(), list, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("asynq", func(b *testing.B) {
		rdb := redistest.Start(b).Client(b)
		fill(b, rdb)
		var left atomic.Int64
		left.Store(int64(b.N))
		done := make(chan struct{})
		b.ResetTimer()
		for range 4 {
			s := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 50, Queues: map[string]int{account + ":default": 1}, LogLevel: asynq.ErrorLevel})
			if err := s.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
				if left.Add(-1) == 0 {
					close(done)
				}
				return nil
			})); err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown()
		}
		<-done
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
	b.Run("broker", func(b *testing.B) {
		rdb := redistest.Start(b).Client(b)
		fill(b, rdb)
		var left atomic.Int64
		left.Store(int64(b.N))
		done := make(chan struct{})
		b.ResetTimer()
		stop := serve(b, broker.ServerConfig{Redis: rdb, Concurrency: 200, Servers: 4, Handler: func(context.Context, broker.Task) error {
			if left.Add(-1) == 0 {
				close(done)
			}
			return nil
		}})
		<-done
		b.StopTimer()
		_ = stop()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
}
