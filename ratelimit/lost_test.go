package ratelimit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// A client that runs a script twice after a reset connection books once.
func TestRepeatedCallBooksOnce(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g, calls := counted(t, rdb(), config("a"))
		must(t, g.Reconcile(t.Context(), 0, 0))
		calls.twice.Store(true)
		stop := run(t, g)
		for range 100 {
			take(t, g, ratelimit.General)
		}
		must(t, stop())
		used(t, g, 100)
		if leased := state(t, g).Leased; leased != 100 {
			t.Errorf("%d permits leased, want 100", leased)
		}
	})
}

// Without its answer a booking grants nothing, but what was booked is not lost:
// the call is repeated under its number.
func TestLostAnswerLosesNothing(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g, calls := counted(t, rdb(), config("a"))
		must(t, g.Reconcile(t.Context(), 0, 0))
		stop := run(t, g)
		taken, lost := 0, 0
		for i := 0; taken < 100; i++ {
			if i%5 == 0 {
				calls.lose.Store(1)
			}
			if _, err := g.Take(t.Context(), ratelimit.General); err != nil {
				if !errors.Is(err, errLost) {
					t.Fatal(err)
				}
				lost++
				continue
			}
			taken++
		}
		if lost == 0 {
			t.Fatal("no answer was lost")
		}
		calls.lose.Store(1) // giving back gets no answer either
		if err := stop(); err != nil && !errors.Is(err, errLost) {
			t.Fatal(err)
		}
		calls.lose.Store(0)
		must(t, run(t, g)())
		used(t, g, 100)
	})
}

// A script's error is Redis' error: wrapped, and nothing is granted.
func TestForeignTypeUnderTheKey(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		client := rdb()
		g := newGate(t, client, config("a"))
		must(t, client.Set(t.Context(), key+"gate", "x", 0).Err())
		_, err := g.Take(t.Context(), ratelimit.General)
		var reply redis.Error
		if !errors.As(err, &reply) {
			t.Errorf("Take gave %v, want Redis' error", err)
		}
		if _, err := g.State(t.Context()); err == nil {
			t.Error("State reports no error")
		}
		must(t, client.Del(t.Context(), key+"gate").Err())
		must(t, g.Reconcile(t.Context(), 0, 0))
		take(t, g, ratelimit.General)
	})
}

// Redis came back without its last writes, and the count went back with them:
// nothing goes until WeChat was asked. One process finds out for all of them.
func TestCountWentBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		a := reconciled(t, rdb, cfg)
		cfg.Owner = "b"
		b := newGate(t, rdb, cfg)
		for range 100 {
			take(t, a, ratelimit.General)
			take(t, b, ratelimit.General)
		}
		before := rdb.HGetAll(t.Context(), key+"gate").Val()
		for range 50 {
			take(t, a, ratelimit.General)
			take(t, b, ratelimit.General)
		}
		used(t, a, 300)
		must(t, rdb.Del(t.Context(), key+"gate").Err())
		must(t, rdb.HSet(t.Context(), key+"gate", before).Err())
		refused(t, a, ratelimit.General, ratelimit.ReasonUnreconciled)
		refused(t, b, ratelimit.General, ratelimit.ReasonUnreconciled)
		time.Sleep(2 * time.Minute)
		must(t, b.Reconcile(t.Context(), 1000, 300))
		used(t, a, 300)
		time.Sleep(time.Second) // without Run, a refusal is remembered for a moment
		if n := len(drainQuota(t, a, ratelimit.General)) + len(drainQuota(t, b, ratelimit.General)); n != 700 {
			t.Errorf("%d permits after 300 of 1000, want 700", n)
		}
		time.Sleep(24 * time.Hour) // the next day's memory is a new one
		take(t, a, ratelimit.General)
		take(t, b, ratelimit.General)
	})
}
