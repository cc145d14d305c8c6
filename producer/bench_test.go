package producer_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// P5: one by one from 64 goroutines, beside asynq's own client without a record.
func BenchmarkEnqueue(b *testing.B) {
	b.Run("producer", func(b *testing.B) {
		p := setup(b)
		fromMany(b, func(ctx context.Context, i int64) error {
			_, err := p.Enqueue(ctx, fmt.Sprint("b-", i), message("x"))
			return err
		})
	})
	b.Run("asynq", func(b *testing.B) {
		client := asynq.NewClientFromRedisClient(redistest.Start(b).Client(b))
		fromMany(b, func(ctx context.Context, i int64) error {
			id := fmt.Sprint("b-", i)
			_, err := client.EnqueueContext(ctx, asynq.NewTask(job.TaskType, payload(b, id)), asynq.TaskID(id))
			return err
		})
	})
}

// What sealing messages, and names too, costs an enqueue, and the bytes of Redis that a waiting message takes.
func BenchmarkEnqueueSealed(b *testing.B) {
	for name, keys := range map[string][2]string{"clear": {}, "sealed": {newerKey}, "names": {newerKey, newerKey}} {
		b.Run(name, func(b *testing.B) {
			rdb := redistest.Start(b).Client(b)
			p := around(b, rdb, func(c *producer.Config) {
				c.SealKeys, c.SealNameKeys = wechat.NewSecret(keys[0]), wechat.NewSecret(keys[1])
			})
			used := func() float64 {
				info := rdb.InfoMap(b.Context(), "memory").Val()
				n, err := strconv.ParseFloat(info["Memory"]["used_memory"], 64)
				must(b, err)
				return n
			}
			before := used()
			fromMany(b, func(ctx context.Context, i int64) error {
				_, err := p.Enqueue(ctx, fmt.Sprintf("b-%09d", i), message("检验报告已出，请登录查看"))
				return err
			})
			b.ReportMetric((used()-before)/float64(b.N), "redis-B/op")
		})
	}
}

func fromMany(b *testing.B, enqueue func(ctx context.Context, i int64) error) {
	b.Helper()
	var n atomic.Int64
	b.SetParallelism(32) // 64 goroutines on two cores
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := enqueue(b.Context(), n.Add(1)); err != nil {
				b.Error(err)
			}
		}
	})
}

// payload is what the producer would queue, so that both move the same bytes.
func payload(b *testing.B, id string) []byte {
	b.Helper()
	body, err := wechat.MarshalBody(message("x"))
	must(b, err)
	data, err := job.Encode(job.Envelope{ID: id, Class: job.Default, To: openid, Template: template, Body: body})
	must(b, err)
	return data
}

// P6: a stream, beside the bare pipelined script of a task without a record and
// without any message made.
func BenchmarkEnqueueMany(b *testing.B) {
	b.Run("producer", func(b *testing.B) {
		p := setup(b)
		b.ReportAllocs()
		i := 0
		stream := func(yield func(producer.Message) bool) {
			for ; i < b.N; i++ {
				if !yield(producer.Message{ID: fmt.Sprint("b-", i), Message: message("x")}) {
					return
				}
			}
		}
		for r := range p.EnqueueSeq(b.Context(), stream) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	})
	b.Run("script", func(b *testing.B) {
		rdb := redistest.Start(b).Client(b)
		script := redis.NewScript(`if redis.call("EXISTS", KEYS[1]) == 1 then return 0 end
redis.call("HSET", KEYS[1], "msg", ARGV[1], "state", "pending", "pending_since", ARGV[3])
redis.call("LPUSH", KEYS[2], ARGV[2])
return 1`)
		must(b, script.Load(b.Context(), rdb).Err())
		data := payload(b, "b-1000000")
		b.ReportAllocs()
		for i := 0; i < b.N; {
			pipe := rdb.Pipeline()
			for range 500 {
				id := fmt.Sprint("b-", i)
				pipe.EvalSha(b.Context(), script.Hash(), []string{"asynq:{q}:t:" + id, "asynq:{q}:pending"}, data, id, i)
				i++
			}
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
