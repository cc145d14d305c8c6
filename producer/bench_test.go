package producer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// The benchmarks below are P5, P6 and P7 of docs/performance.md, which internal/bench runs:
// the producer beside the least that another program would do.

func orderID(i int) string { return fmt.Sprintf("bench-%08d", i) }

// orders are n messages from a number on.
func orders(from, n int) iter.Seq[producer.Message] {
	return func(yield func(producer.Message) bool) {
		for i := from; i < from+n; i++ {
			if !yield(producer.Message{ID: orderID(i), Message: cost.Message(i)}) {
				return
			}
		}
	}
}

// connected is a producer on a real server of its own, and a client as programs have it.
func connected(b *testing.B) (*producer.Producer, redis.UniversalClient) {
	b.Helper()
	rdb := redistest.Start(b).Dial(b)
	p, err := producer.New(rdb, producer.Config{Account: account})
	must(b, err)
	b.Cleanup(func() { _ = p.Close() })
	return p, rdb
}

// plain enqueues by asynq's client, which has no records, from 64 goroutines.
func plain(b *testing.B, rdb redis.UniversalClient) func(from, n int) {
	b.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	return func(from, n int) {
		testutil.Concurrently(from, n, func(i int) {
			body, err := json.Marshal(cost.Message(i))
			if err == nil {
				_, err = client.EnqueueContext(b.Context(), asynq.NewTask(job.TaskType, body), asynq.TaskID(orderID(i)))
			}
			if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
				b.Error(err)
			}
		})
	}
}

func BenchmarkEnqueue(b *testing.B) {
	b.Run("producer", func(b *testing.B) {
		p, rdb := connected(b)
		redistest.Measure(b, rdb, func(from, n int) {
			testutil.Concurrently(from, n, func(i int) {
				if _, err := p.Enqueue(b.Context(), orderID(i), cost.Message(i)); err != nil {
					b.Error(err)
				}
			})
		})
	})
	b.Run("asynq", func(b *testing.B) {
		rdb := redistest.Start(b).Dial(b)
		redistest.Measure(b, rdb, plain(b, rdb))
	})
}

func BenchmarkEnqueueMany(b *testing.B) {
	b.Run("producer", func(b *testing.B) {
		p, rdb := connected(b)
		redistest.Measure(b, rdb, func(from, n int) {
			for some := range slices.Chunk(slices.Collect(orders(from, n)), max(n/12, 1)) {
				_, err := p.EnqueueMany(b.Context(), some)
				must(b, err)
			}
		})
	})
	b.Run("raw", func(b *testing.B) {
		rdb := redistest.Start(b).Dial(b)
		redistest.Measure(b, rdb, raw(b, rdb))
	})
}

// raw is the least that a task and a record need: scripts that keep what exists, in
// pipelines. It makes no message, checks nothing and reads no answer.
func raw(b *testing.B, rdb redis.UniversalClient) func(from, n int) {
	b.Helper()
	task := redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[3])
return 1`)
	record := redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1`)
	must(b, errors.Join(task.Load(b.Context(), rdb).Err(), record.Load(b.Context(), rdb).Err()))
	body, err := wechat.MarshalBody(cost.Message(0))
	must(b, err)
	payload, err := job.Encode(job.Envelope{ID: orderID(0), Class: job.Default, To: cost.Message(0).ToUser, Template: template, Body: body})
	must(b, err)
	stored := string(payload) + strings.Repeat("#", 80) // asynq's own fields
	const chunk = 500
	return func(from, n int) {
		for end := from + n; from < end; from += chunk {
			pipe := rdb.Pipeline()
			for i := from; i < min(from+chunk, end); i++ {
				id := orderID(i)
				record.EvalSha(b.Context(), pipe, []string{"wxn:{" + account + "}:m:" + id}, 1_209_600_000,
					"s", "q", "c", "d", "t", openid, "p", template, "h", "aQoAViUn5tU", "q", 1795703234024)
				task.EvalSha(b.Context(), pipe, []string{"asynq:{" + account + ":default}:t:" + id, "asynq:{" + account + ":default}:pending"},
					stored, 1795703234025710472, id)
			}
			_, err := pipe.Exec(b.Context())
			must(b, err)
		}
	}
}

// BenchmarkStream enqueues once, and then the same again, which finds duplicates alone.
func BenchmarkStream(b *testing.B) {
	twice := func(b *testing.B, rdb redis.UniversalClient, do func(from, n int)) {
		b.Helper()
		redistest.Measure(b, rdb, do)
		begun := time.Now()
		do(0, b.N)
		b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "again-msg/s")
	}
	b.Run("producer", func(b *testing.B) {
		p, rdb := connected(b)
		twice(b, rdb, func(from, n int) {
			for r := range p.EnqueueSeq(b.Context(), orders(from, n)) {
				must(b, r.Err)
			}
		})
	})
	b.Run("asynq", func(b *testing.B) {
		rdb := redistest.Start(b).Dial(b)
		twice(b, rdb, plain(b, rdb))
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
			redistest.Measure(b, rdb, func(from, n int) {
				testutil.Concurrently(from, n, func(i int) {
					if _, err := p.Enqueue(b.Context(), orderID(i), message("检验报告已出，请登录查看")); err != nil {
						b.Error(err)
					}
				})
			})
			b.ReportMetric((used()-before)/float64(b.N+b.N/6), "redis-B/op")
		})
	}
}
