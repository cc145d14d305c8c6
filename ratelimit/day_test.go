package ratelimit_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// bubble runs test in virtual time, from 2000-01-01 08:00 in China on.
func bubble(t *testing.T, test func(t *testing.T, rdb *redis.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		test(t, rdb)
	})
}

// until lets virtual time pass.
func until(at time.Time) { time.Sleep(time.Until(at)) }

func hourInChina(day, hour, minute, second int) time.Time {
	return time.Date(2000, 1, day, hour, minute, second, 0, time.FixedZone("", 8*3600))
}

// The scripts' clock is the bubble's, or the tests below would prove nothing.
func TestBubbleMovesRedisTime(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		until(hourInChina(3, 12, 0, 0))
		now, err := rdb.Time(t.Context()).Result()
		must(t, err)
		if !now.Equal(time.Now().Truncate(time.Microsecond)) {
			t.Errorf("Redis has %v, the bubble %v", now, time.Now())
		}
	})
}

func TestQuo02DayTurnsAtMidnightInChina(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		if n := len(drainQuota(t, g, ratelimit.General)); n != 1000 {
			t.Fatalf("got %d permits, want 1000", n)
		}
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
		if want := "closed: daily quota used (1000 of 1000), opens 2000-01-02 00:00:00 +08:00"; closed.Error() != want {
			t.Errorf("the error says %q, want %q", closed, want)
		}
		// Midnight in London passed at 08:00 in China; nothing may turn there.
		until(hourInChina(1, 23, 59, 58))
		refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
		if s := state(t, g); s.Day != "2000-01-01" || !s.ResetsAt.Equal(hourInChina(2, 0, 0, 0)) {
			t.Errorf("before midnight the state is %+v", s)
		}
		until(hourInChina(2, 0, 0, 0))
		p := take(t, g, ratelimit.General)
		s := state(t, g)
		if s.Day != "2000-01-02" || s.Used == 0 || s.Used > 100 {
			t.Errorf("after midnight the state is %+v", s)
		}
		if !s.Reconciled.IsZero() {
			t.Errorf("reconciled today at %v, want never", s.Reconciled)
		}
		if want := int64(10958); p.Day != want {
			t.Errorf("the permit counts on day %d, want %d", p.Day, want)
		}
	})
}

// Each zone has its midnight, also west of Greenwich.
func TestDayTurnsAtTheOffset(t *testing.T) {
	t.Parallel()
	for _, offset := range []time.Duration{0, -5 * time.Hour, 5*time.Hour + 30*time.Minute, 14 * time.Hour} {
		bubble(t, func(t *testing.T, rdb *redis.Client) {
			cfg := config("a")
			cfg.UTCOffset, cfg.DailyQuota = offset, 3
			g := reconciled(t, rdb, cfg)
			drainQuota(t, g, ratelimit.General)
			zone := time.FixedZone("", int(offset/time.Second))
			y, m, d := time.Now().In(zone).Date()
			midnight := time.Date(y, m, d+1, 0, 0, 0, 0, zone)
			until(midnight.Add(-1500 * time.Millisecond))
			closed := refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
			if !closed.Until.Equal(midnight) {
				t.Errorf("%v: closed until %v, want %v", offset, closed.Until, midnight)
			}
			until(midnight)
			take(t, g, ratelimit.General)
		})
	}
}

// What is fetched in the last second would reach WeChat tomorrow: it counts there.
func TestLastSecondBelongsToTomorrow(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate = 10
		g := reconciled(t, rdb, cfg)
		until(hourInChina(1, 23, 59, 57))
		edge, midnight := hourInChina(1, 23, 59, 59), hourInChina(2, 0, 0, 0)
		perDay := map[int64]int{}
		for {
			p := take(t, g, ratelimit.General)
			if p.At.After(midnight.Add(time.Second)) {
				break
			}
			until(p.At)
			perDay[p.Day]++
			switch {
			case p.Day == 10957 && !p.At.Before(edge), p.Day == 10958 && p.At.Before(midnight):
				t.Fatalf("a permit of day %d is due at %v", p.Day, p.At)
			}
		}
		if perDay[10957] == 0 || perDay[10958] == 0 {
			t.Errorf("permits per day: %v", perDay)
		}
	})
}

// What WeChat counted today is not tomorrow's count, which has begun already: it
// would close the gate over midnight.
func TestReconcileInTheLastSecond(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		until(hourInChina(1, 23, 59, 59))
		if p := take(t, g, ratelimit.General); p.At.Before(hourInChina(2, 0, 0, 0)) {
			t.Fatalf("the permit is for %v", p.At)
		}
		before := state(t, g).Used
		if err := g.Reconcile(t.Context(), ask(t, g), 1000, 990); !errors.Is(err, ratelimit.ErrStale) {
			t.Errorf("Reconcile gave %v, want ErrStale", err)
		}
		used(t, g, before)
		until(hourInChina(2, 0, 1, 0))
		reconcile(t, g, 1000, 30)
		used(t, g, 30)
	})
}

// The clock of Redis steps back over midnight: the later day goes on.
func TestClockGoesBackOverMidnight(t *testing.T) {
	t.Parallel()
	m, rdb := redistest.Mini(t)
	m.SetTime(hourInChina(2, 0, 0, 30))
	g := reconciled(t, rdb, config("a"))
	take(t, g, ratelimit.General)
	was := state(t, g)
	m.SetTime(hourInChina(1, 23, 59, 30))
	other := newGate(t, rdb, config("b"))
	if p := take(t, other, ratelimit.General); p.Day != 10958 {
		t.Errorf("the permit counts on day %d, want the later one", p.Day)
	}
	if s := state(t, g); s.Day != "2000-01-02" || s.Used <= was.Used {
		t.Errorf("the state went from %+v to %+v", was, s)
	}
	// Days ahead, the clock was wrong when the day was written: ask WeChat.
	m.SetTime(hourInChina(1, 0, 1, 0).Add(-72 * time.Hour))
	refused(t, newGate(t, rdb, config("c")), ratelimit.General, ratelimit.ReasonUnreconciled)
	reconcile(t, g, 1000, 3)
	used(t, g, 3)
}

// After a day that ended with its quota gone, the backlog starts in steps.
func TestRampAfterMidnight(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate, cfg.DailyQuota = 160, 320
		g := reconciled(t, rdb, cfg)
		drainQuota(t, g, ratelimit.General)
		midnight := hourInChina(2, 0, 0, 0)
		until(midnight)
		perSecond := map[int]int{}
		for _, p := range drainQuota(t, g, ratelimit.General) {
			perSecond[int(p.At.Sub(midnight)/time.Second)]++
		}
		if perSecond[0] > 12 {
			t.Errorf("%d permits in the first second of a ramp to 160/s", perSecond[0])
		}
	})
}

func TestRateOfTheRamp(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate = 160
		g := reconciled(t, rdb, cfg)
		must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonBreaker}))
		must(t, g.Open(t.Context(), ratelimit.ReasonBreaker))
		for _, want := range []float64{10, 20, 40, 80, 160, 160} {
			if got := state(t, g).Rate; got != want {
				t.Errorf("the rate is %v, want %v", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// Everything has an end: two idle days, and WeChat must be asked again.
func TestStateEndsAfterTwoDays(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		take(t, g, ratelimit.General)
		for _, k := range rdb.Keys(t.Context(), "*").Val() {
			if ttl := rdb.TTL(t.Context(), k).Val(); ttl <= 0 || ttl > 48*time.Hour {
				t.Errorf("%s ends in %v", k, ttl)
			}
		}
		time.Sleep(47 * time.Hour)
		take(t, g, ratelimit.General)
		time.Sleep(49 * time.Hour)
		if left := rdb.Keys(t.Context(), "*").Val(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
	})
}

// A hold must not end with the keys' TTL.
func TestPauseOutlivesTheTTL(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual, Detail: "stock-taking"}))
		time.Sleep(10 * 24 * time.Hour)
		refused(t, g, ratelimit.General, ratelimit.ReasonManual)
		must(t, g.Open(t.Context(), ratelimit.ReasonManual))
		take(t, g, ratelimit.General)
		if ttl := rdb.TTL(t.Context(), key+"gate").Val(); ttl <= 0 {
			t.Errorf("the hash has no end any more: %v", ttl)
		}
		must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonAccount, Until: time.Now().Add(100 * time.Hour)}))
		time.Sleep(99 * time.Hour)
		refused(t, g, ratelimit.General, ratelimit.ReasonAccount)
	})
}
