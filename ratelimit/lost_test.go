package ratelimit_test

import (
	"errors"
	"testing"

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
