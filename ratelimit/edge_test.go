package ratelimit_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// Yesterday's permit is no longer worth anything today.
func TestYesterdaysPermitIsNotGivenBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		g := reconciled(t, rdb, cfg)
		until(hourInChina(1, 23, 59, 50))
		old := take(t, g, ratelimit.General)
		until(hourInChina(2, 0, 0, 5))
		take(t, g, ratelimit.General)
		stop := run(t, g)
		g.Return(old)
		must(t, stop())
		used(t, g, 1)
	})
}

// With many processes blocks shrink: no process waits longer than about two seconds.
func TestManyProcessesAreNotFarAhead(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate = 50
		reconciled(t, rdb, cfg)
		for i := range 30 {
			g := newGate(t, rdb, cfg)
			if d := time.Until(take(t, g, ratelimit.General).At); d > 2500*time.Millisecond {
				t.Fatalf("process %d waits %v for its first permit", i, d)
			}
		}
	})
}

// A refusal of before the pause that arrives after it is no failed probe.
func TestLateRefusalIsNoFailedProbe(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		closeFor(t, g, ratelimit.ReasonBreaker, time.Minute, true)
		time.Sleep(2 * time.Minute)
		closeFor(t, g, ratelimit.ReasonBreaker, time.Minute, true)
		p := state(t, g).Pauses[0]
		if p.Failures != 0 || time.Until(p.Until) != time.Minute {
			t.Errorf("the pause is %+v, want a minute and no failure", p)
		}
	})
}

// An admin's hold that was given an hour ends at that hour, without a probe.
func TestManualPauseDoesNotProbe(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		closeFor(t, g, ratelimit.ReasonManual, time.Minute, true)
		time.Sleep(time.Minute)
		if p := take(t, g, ratelimit.General); p.Probe() {
			t.Errorf("a probe: %+v", p)
		}
	})
}
