package ledger_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// BenchmarkLife is the price of a message's life in Redis: CPU time of the server and
// commands, those inside scripts too.
func BenchmarkLife(b *testing.B) {
	rdb := redistest.Start(b).Client(b)
	l, err := ledger.New(rdb, account, nil, ledger.Config{})
	must(b, err)
	b.Cleanup(func() { _ = l.Close() })
	const n = 20_000
	id := func(i int) string { return fmt.Sprintf("order-%06d-paid", i) }
	all := func(step func(i int)) {
		var workers sync.WaitGroup
		for w := range 64 {
			workers.Go(func() {
				for i := w; i < n; i += 64 {
					step(i)
				}
			})
		}
		workers.Wait()
	}
	steps := []struct {
		name string
		run  func()
	}{
		{"enqueue", func() {
			for i := 0; i < n; i += 64 {
				var list []job.Envelope
				for j := i; j < min(i+64, n); j++ {
					list = append(list, envelope(id(j)))
				}
				enqueue(b, rdb, l, time.Now(), list...)
			}
		}},
		{"begin", func() { all(func(i int) { begin(b, l, envelope(id(i))) }) }},
		{"accept", func() {
			all(func(i int) {
				accepted(b, l, id(i), ledger.Acceptance{To: follower, MsgID: wechat.MessageID(1_000_000 + i), Class: job.Default})
			})
		}},
		{"receipt", func() {
			all(func(i int) {
				receipt(b, l, ledger.Receipt{MsgID: wechat.MessageID(1_000_000 + i), OpenID: follower, Status: "success"})
			})
		}},
	}
	for b.Loop() {
		must(b, rdb.FlushAll(b.Context()).Err())
		for _, step := range steps {
			cpu, calls, usec := spent(b, rdb)
			step.run()
			cpu2, calls2, usec2 := spent(b, rdb)
			b.ReportMetric((cpu2-cpu)/n*1e6, step.name+"-cpu-µs/msg")
			b.ReportMetric((calls2-calls)/n, step.name+"-commands/msg")
			b.ReportMetric((usec2-usec)/n, step.name+"-script-µs/msg")
		}
	}
}

// spent is the server's CPU seconds, its commands, and the microseconds of its scripts.
func spent(tb testing.TB, rdb *redis.Client) (cpu, commands, scripts float64) {
	tb.Helper()
	for line := range strings.Lines(rdb.Info(tb.Context(), "cpu", "commandstats").Val()) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		var seconds, calls, usec float64
		switch {
		case name == "used_cpu_sys" || name == "used_cpu_user":
			_, err := fmt.Sscanf(rest, "%g", &seconds)
			must(tb, err)
			cpu += seconds
		case strings.HasPrefix(name, "cmdstat_"):
			_, err := fmt.Sscanf(rest, "calls=%g,usec=%g", &calls, &usec)
			must(tb, err)
			commands += calls
			if name == "cmdstat_evalsha" {
				scripts = usec
			}
		}
	}
	return cpu, commands, scripts
}
