package ratelimit_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// BenchmarkTake is a permit of a gate without a rate, in blocks of the default
// size and one by one, against a real Redis. calls/op is the Redis calls that goal P4 counts.
func BenchmarkTake(b *testing.B) {
	server := redistest.Start(b)
	for _, bb := range []struct {
		name  string
		block int
	}{{"blocks of 100", 100}, {"one by one", 1}} {
		b.Run(bb.name, func(b *testing.B) {
			rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Protocol: 2})
			defer func() { _ = rdb.Close() }()
			must(b, rdb.FlushAll(b.Context()).Err())
			g, calls := counted(b, rdb, ratelimit.Config{Key: key, Owner: "bench", MaxBlock: bb.block})
			reconcile(b, g, 0, 0)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := g.Take(b.Context(), ratelimit.General); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(calls.calls.Load())/float64(b.N), "calls/op")
		})
	}
}

// BenchmarkTakeClosed is what polling a closed gate costs.
func BenchmarkTakeClosed(b *testing.B) {
	server := redistest.Start(b)
	g := reconciled(b, server.Client(b), config("bench"))
	must(b, g.Close(b.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual}))
	stop := run(b, g)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Take(b.Context(), ratelimit.General); err == nil {
			b.Fatal("the gate is open")
		}
	}
	must(b, stop())
}
