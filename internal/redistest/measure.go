package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/redisconn"
)

// Dial connects to the server as the program does.
func (s *Server) Dial(tb testing.TB) redis.UniversalClient {
	tb.Helper()
	rdb, err := redisconn.Dial("redis://" + s.Addr + "/0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Measure does b.N operations, after a sixth as many whose cost does not count. Beside the
// figures of the testing package it reports the CPU time of this process and of Redis for
// each, and the memory of this process at most. do does n operations, the first of which has
// the number from.
func Measure(b *testing.B, rdb redis.Cmdable, do func(from, n int)) {
	b.Helper()
	warm := b.N / 6
	do(0, warm)
	read := func() cost.Used {
		used, err := cost.Read(b.Context(), rdb)
		if err != nil {
			b.Fatal(err)
		}
		return used
	}
	before := read()
	b.ReportAllocs()
	b.ResetTimer()
	do(warm, b.N)
	b.StopTimer()
	after := read()
	b.ReportMetric(1e6*(after.Process-before.Process)/float64(b.N), "cpu-µs/op")
	b.ReportMetric(1e6*(after.Redis-before.Redis)/float64(b.N), "redis-µs/op")
	resident, err := cost.Memory()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(resident.Most)/(1<<20), "peak-MB")
}
