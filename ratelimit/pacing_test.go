package ratelimit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// send takes permits in n goroutines until ctx ends or the gate closes, and
// waits for each permit's time, as the fetch loop does. It returns the permits.
func send(ctx context.Context, tb testing.TB, g *ratelimit.Gate, n int) []ratelimit.Permit {
	tb.Helper()
	var (
		mu  sync.Mutex
		all []ratelimit.Permit
		wg  sync.WaitGroup
	)
	for range n {
		wg.Go(func() {
			for {
				p, err := g.Take(ctx, ratelimit.General)
				var closed *ratelimit.ClosedError
				if errors.As(err, &closed) || ctx.Err() != nil {
					if err == nil {
						g.Return(p)
					}
					return
				}
				if err != nil {
					tb.Errorf("Take: %v", err)
					return
				}
				select {
				case <-time.After(time.Until(p.At)):
				case <-ctx.Done():
					g.Return(p)
					return
				}
				mu.Lock()
				all = append(all, p)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

// fleet sends from several processes at once and returns what they sent.
func fleet(ctx context.Context, tb testing.TB, gates []*ratelimit.Gate, goroutines int) []ratelimit.Permit {
	tb.Helper()
	parts := make([][]ratelimit.Permit, len(gates))
	var wg sync.WaitGroup
	for i, g := range gates {
		wg.Go(func() { parts[i] = send(ctx, tb, g, goroutines) })
	}
	wg.Wait()
	all := slices.Concat(parts...)
	slices.SortFunc(all, func(a, b ratelimit.Permit) int { return a.At.Compare(b.At) })
	return all
}

// The rate holds in each second over four processes (P10), at few calls per
// permit (P4b), whatever the rate.
func TestQuo07RateOverFourProcesses(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{50, 333, 1000} {
		bubble(t, func(t *testing.T, rdb *redis.Client) {
			const seconds = 20
			cfg := config("a")
			cfg.Rate, cfg.DailyQuota = rate, 100000
			calls := new(counter)
			rdb.AddHook(calls)
			reconciled(t, rdb, cfg)
			gates := make([]*ratelimit.Gate, 4)
			for i := range gates {
				gates[i] = newGate(t, rdb, cfg)
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), (seconds+1)*time.Second)
			defer cancel()
			sent := fleet(ctx, t, gates, 8)
			perSecond := make([]int, seconds)
			for _, p := range sent {
				if s := int(p.At.Sub(begin) / time.Second); s >= 0 && s < seconds {
					perSecond[s]++
				}
			}
			for s, n := range perSecond {
				if s > 0 && (float64(n) < 0.97*rate || float64(n) > 1.03*rate) {
					t.Errorf("%d sends in second %d, want %v within 3 %%", n, s, rate)
				}
			}
			spaced(t, sent, rate)
			perPermit := float64(calls.calls.Load()) / float64(len(sent))
			if perPermit > 0.15 {
				t.Errorf("rate %v: %.3f calls per permit, want at most 0.15", rate, perPermit)
			}
			t.Logf("rate %v: %.3f calls per permit", rate, perPermit)
		})
	}
}

// spaced asserts that slots lie 1/rate apart: then no window holds too many.
func spaced(t *testing.T, sorted []ratelimit.Permit, rate float64) {
	t.Helper()
	gap := time.Duration(float64(time.Second)/rate) - 2*time.Microsecond
	for i := 1; i < len(sorted); i++ {
		if d := sorted[i].At.Sub(sorted[i-1].At); d < gap {
			t.Fatalf("two slots lie %v apart, want %v", d, gap)
		}
	}
}

// Slow Redis changes neither the rate nor the price.
func TestPacingWithRedisFarAway(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		rdb.AddHook(delay(20 * time.Millisecond))
		cfg := config("a")
		cfg.Rate, cfg.DailyQuota = 200, 100000
		gates := []*ratelimit.Gate{reconciled(t, rdb, cfg), newGate(t, rdb, cfg), newGate(t, rdb, cfg)}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if n := len(fleet(ctx, t, gates, 4)); n < 1900 || n > 2050 {
			t.Errorf("%d sends in 10 s at 200/s", n)
		}
	})
}

// delay is a round trip to Redis.
type delay time.Duration

func (d delay) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d delay) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d delay) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		time.Sleep(time.Duration(d)) // virtual
		return next(ctx, cmd)
	}
}

// Three processes with fifty goroutines each on a real Redis: never a permit
// beyond the cap, and none is lost.
func TestQuo01CapUnderConcurrency(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cfg := config("a")
	cfg.DailyQuota, cfg.Reserve = 20000, 0.05
	gates := []*ratelimit.Gate{reconciled(t, server.Client(t), cfg)}
	for range 2 {
		gates = append(gates, newGate(t, server.Client(t), cfg))
	}
	var (
		wg    sync.WaitGroup
		stops []func() error
		count [3][2]int
	)
	for _, g := range gates {
		stops = append(stops, run(t, g))
	}
	for i, g := range gates {
		var mu sync.Mutex
		for j := range 50 {
			tier := ratelimit.General
			if j%10 == 0 {
				tier = ratelimit.Reserved
			}
			wg.Go(func() {
				for n := 0; ; n++ {
					p, err := g.Take(t.Context(), tier)
					if err != nil {
						var closed *ratelimit.ClosedError
						if !errors.As(err, &closed) || closed.Reason != ratelimit.ReasonQuota {
							t.Errorf("Take: %v", err)
						}
						return
					}
					if n%7 == 0 {
						g.Return(p)
						continue
					}
					mu.Lock()
					count[i][tier]++
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for _, stop := range stops {
		must(t, stop())
	}
	total := 0
	for _, c := range count {
		total += c[0] + c[1]
	}
	s := state(t, gates[0])
	if int64(total) != s.Used || s.Used > s.Cap {
		t.Errorf("%d permits were spent, %d are counted, the cap is %d", total, s.Used, s.Cap)
	}
	if s.Used < s.Cap-150*16 {
		t.Errorf("only %d of %d were granted", s.Used, s.Cap)
	}
}

// A real server hands out no more slots than the rate allows. How many of them are used
// depends on the machine; TestQuo07RateOverFourProcesses demands all, in virtual time.
func TestPacingOnRealRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cfg := config("a")
	cfg.Rate, cfg.DailyQuota = 500, 100000
	client := server.Client(t)
	reconciled(t, client, cfg)
	gates := make([]*ratelimit.Gate, 4)
	for i := range gates {
		gates[i] = newGate(t, client, cfg)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	sent := fleet(ctx, t, gates, 8)
	if limit := int(1.03 * cfg.Rate * time.Since(begin).Seconds()); len(sent) == 0 || len(sent) > limit {
		t.Errorf("%d permits in %s, want at most %d", len(sent), time.Since(begin), limit)
	}
}

// All keys are declared and share a slot: a cluster takes every script.
func TestScriptsInACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t)
	g, other := reconciled(t, cluster, config("a")), newGate(t, cluster, config("b"))
	changed := g.Changed()
	stop := run(t, g)
	<-changed
	take(t, g, ratelimit.General)
	changed = g.Changed()
	must(t, other.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonBreaker, Probe: true, Until: time.Now()}))
	<-changed
	if p := take(t, g, ratelimit.General); !p.Probe() {
		t.Errorf("not a probe: %+v", p)
	}
	g.Succeed(t.Context())
	must(t, g.Open(t.Context(), ratelimit.ReasonBreaker))
	reconcile(t, g, 1000, 2)
	must(t, stop())
	used(t, g, 2)
}
