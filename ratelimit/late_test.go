package ratelimit_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// lastCall keeps the last call of a script.
type lastCall struct{ args []any }

func (*lastCall) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*lastCall) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *lastCall) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		l.args = slices.Clone(cmd.Args())
		return next(ctx, cmd)
	}
}

// A copy of a booking may reach Redis when a later one of the process is there already: the
// connection was silent, and go-redis repeated the call on another one. It takes nothing
// back a second time, books nothing, and is not taken for a sign of lost writes.
func TestABookingThatComesAfterALaterOneDoesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		calls := &lastCall{}
		rdb.AddHook(calls)
		cfg := config("a")
		cfg.MaxBlock = 2
		g := reconciled(t, rdb, cfg)
		g.Return(take(t, g, ratelimit.General)) // two are booked
		time.Sleep(2 * time.Second)             // and expire
		take(t, g, ratelimit.General)
		copied := calls.args // returns two, of a lease in which two later ones are
		take(t, g, ratelimit.General)
		take(t, g, ratelimit.General)
		before := state(t, g)
		must(t, rdb.Do(t.Context(), copied...).Err())
		if after := state(t, g); after.Used != before.Used || after.Leased != before.Leased {
			t.Errorf("used %d, leased %d; before the copy %d, %d", after.Used, after.Leased, before.Used, before.Leased)
		}
		take(t, g, ratelimit.General)
		take(t, g, ratelimit.General)
		if !state(t, g).Trusted {
			t.Error("the count is taken for lost")
		}
	})
}

// A closure that a reset connection has carried out twice is one: it closes this process
// too, whose permits are good for nothing, and the caller is told.
func TestARepeatedClosureRevokesThePermits(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g, calls := counted(t, rdb(), config("a"))
		reconcile(t, g, 0, 0)
		stop := run(t, g)
		refusedOne := take(t, g, ratelimit.General) // others lie in the cache
		calls.twice.Store(true)
		if err := g.Close(t.Context(), ratelimit.Pause{
			Reason: ratelimit.ReasonRefused, Until: time.Now().Add(time.Hour), Probe: true, Permit: refusedOne,
		}); err != nil {
			t.Errorf("Close: %v", err)
		}
		refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
		must(t, stop())
	})
}

// A copy of a closure, or of its end, may come after the opposite: what was said last holds.
func TestWhatOpensOrClosesTheGateIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		calls := &lastCall{}
		rdb.AddHook(calls)
		g := reconciled(t, rdb, config("a"))
		hold := ratelimit.Pause{Reason: ratelimit.ReasonManual, Detail: "held"}
		must(t, g.Close(t.Context(), hold))
		closed := calls.args
		must(t, g.Open(t.Context(), ratelimit.ReasonManual))
		opened := calls.args
		must(t, rdb.Do(t.Context(), closed...).Err())
		if s := state(t, g); len(s.Pauses) != 0 {
			t.Errorf("a copy of the closure has closed the gate again: %+v", s.Pauses)
		}
		must(t, g.Close(t.Context(), hold))
		must(t, rdb.Do(t.Context(), opened...).Err())
		if s := state(t, g); len(s.Pauses) != 1 {
			t.Errorf("a copy of the resumption has lifted a later hold: %+v", s.Pauses)
		}
		must(t, g.Open(t.Context(), ratelimit.ReasonManual))
		take(t, g, ratelimit.General)
	})
}
