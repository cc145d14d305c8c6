package ratelimit_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// Without a count there is nothing to grant from; the first start says so.
func TestTakeBeforeReconcile(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g := newGate(t, rdb(), config("a"))
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		const want = "closed: today's count is missing, opens when WeChat has been asked for the quota"
		if closed.Error() != want {
			t.Errorf("the error says %q", closed)
		}
		reconcile(t, g, 1000, 10)
		take(t, g, ratelimit.General)
		if s := state(t, g); s.Limit != 1000 || !s.Trusted || s.Reconciled.IsZero() {
			t.Errorf("after Reconcile the state is %+v", s)
		}
	})
}

func TestQuo01GeneralLeavesTheReserve(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		cfg := config("a")
		cfg.Reserve = 0.1
		g := reconciled(t, rdb(), cfg)
		if n := len(drainQuota(t, g, ratelimit.General)); n != 900 {
			t.Fatalf("general got %d permits of 1000 with 100 reserved, want 900", n)
		}
		used(t, g, 900)
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
		if want := "900 of 1000, the last 100 are reserved"; closed.Detail != want {
			t.Errorf("the detail is %q, want %q", closed.Detail, want)
		}
		permits := drainQuota(t, g, ratelimit.Reserved)
		if len(permits) != 100 {
			t.Fatalf("reserved got %d permits, want 100", len(permits))
		}
		refused(t, g, ratelimit.Reserved, ratelimit.ReasonQuota)
		used(t, g, 1000)

		// A reserved permit that comes back is not general's.
		g.Return(permits[0])
		refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
		take(t, g, ratelimit.Reserved)
	})
}

// What general holds serves who may use everything.
func TestReservedTakesGeneralsPermit(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		cfg := config("a")
		cfg.Reserve = 0.5
		g, calls := counted(t, rdb(), cfg)
		reconcile(t, g, 0, 0)
		take(t, g, ratelimit.General)
		before := calls.calls.Load()
		if p := take(t, g, ratelimit.Reserved); p.Tier != ratelimit.General {
			t.Errorf("the permit is of tier %v, want general's", p.Tier)
		}
		if n := calls.calls.Load() - before; n != 0 {
			t.Errorf("%d Redis calls for a permit that was cached", n)
		}
	})
}

func TestReserveRounding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		quota   int64
		reserve float64
		want    int64
	}{
		{1000, 0.1, 100}, {100000, 0.02, 2000}, {100, 0.07, 7}, {10, 0.02, 1}, {10, 1, 10}, {10, 0, 0}, {1000, 0.3, 300},
	} {
		eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
			cfg := config("a")
			cfg.DailyQuota, cfg.Reserve = tt.quota, tt.reserve
			if got := state(t, reconciled(t, rdb(), cfg)).Reserve; got != tt.want {
				t.Errorf("%v of %d keeps %d, want %d", tt.reserve, tt.quota, got, tt.want)
			}
		})
	}
}

// The console's figure binds; ours may only be stricter.
func TestCapIsTheLowerOfTwo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ quota, limit, want int64 }{
		{1000, 0, 1000},
		{1000, 500, 500},
		{500, 1000, 500},
		{0, 700, 700},
		{0, 0, 0},
		{1000, ratelimit.Unknown, 1000},
		{0, ratelimit.Unknown, 0},
	} {
		eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
			cfg := config("a")
			cfg.DailyQuota = tt.quota
			g := newGate(t, rdb(), cfg)
			reconcile(t, g, tt.limit, 0)
			if got := state(t, g).Cap; got != tt.want {
				t.Errorf("quota %d and limit %d make a cap of %d, want %d", tt.quota, tt.limit, got, tt.want)
			}
			take(t, g, ratelimit.General)
		})
	}
}

// Blocks shrink towards the end, so that a process does not sit on the rest.
func TestBlocksShrinkNearTheCap(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		cfg := config("a")
		cfg.DailyQuota = 160
		a, b := reconciled(t, rdb(), cfg), newGate(t, rdb(), cfg)
		take(t, a, ratelimit.General)
		used(t, a, 8) // the first block; a sixteenth would be 10
		drainQuota(t, b, ratelimit.General)
		used(t, a, 160)
		if n := len(drainQuota(t, a, ratelimit.General)); n != 7 {
			t.Errorf("a held back %d permits, want the 7 of its first block", n)
		}
	})
}

func TestReturnedPermitIsTakenAgain(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g := reconciled(t, rdb(), config("a"))
		p := take(t, g, ratelimit.General)
		q := take(t, g, ratelimit.General)
		g.Return(q)
		g.Return(p)
		if again := take(t, g, ratelimit.General); again != p {
			t.Errorf("took %+v, want the earliest again: %+v", again, p)
		}
		g.Return(ratelimit.Permit{}) // not ours: nothing happens
	})
}
