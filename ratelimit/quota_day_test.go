package ratelimit_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// Everything belongs to a quota day, and nothing of yesterday is used today:
// neither a question, an answer, a booking, a refusal, a return nor a permit.

const (
	firstDay  = 10957 // 2000-01-01
	secondDay = 10958
)

// stale asserts that err says that nothing was used.
func stale(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, ratelimit.ErrStale) {
		tb.Errorf("the error is %v, want ErrStale", err)
	}
}

// refuseCall closes the gate for errcode 45009 to the call of p.
func refuseCall(tb testing.TB, g *ratelimit.Gate, p ratelimit.Permit) error {
	tb.Helper()
	return g.Close(tb.Context(), ratelimit.Pause{
		Reason: ratelimit.ReasonRefused, Detail: "45009", Until: time.Now().Add(time.Hour), Probe: true, Permit: p,
	})
}

// The day's quota is used up. In its last second one process books the first
// permits of tomorrow: those of the others are for tomorrow too, also without a
// rate, whose slots are all free now.
func TestLastSecondNeverGrantsTomorrowsQuotaToday(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, 50} {
		bubble(t, func(t *testing.T, rdb *redis.Client) {
			cfg := config("a")
			cfg.Rate = rate
			drainQuota(t, reconciled(t, rdb, cfg), ratelimit.General)
			until(hourInChina(1, 23, 59, 59).Add(100 * time.Millisecond))
			for range 4 {
				g := newGate(t, rdb, cfg)
				for range 3 {
					if p := take(t, g, ratelimit.General); p.Day != secondDay || p.At.Before(hourInChina(2, 0, 0, 0)) {
						t.Errorf("rate %v: a permit of day %d is due at %v", rate, p.Day, p.At)
					}
				}
			}
		})
	}
}

// Redis lost its last writes in the evening, and no process asks WeChat until the
// next noon. Then others have used 900 of 1000.
func TestMissingCountIsReconciledOnItsOwnDay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		until(hourInChina(1, 20, 0, 0))
		cfg := config("a")
		cfg.MaxBlock = 1
		g := reconciled(t, rdb, cfg)
		take(t, g, ratelimit.General)
		backup := saveRedis(t, rdb)
		take(t, g, ratelimit.General)
		backup.restore(t, rdb)
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		until(hourInChina(2, 12, 0, 0))
		next := newGate(t, rdb, config("b"))
		refused(t, next, ratelimit.General, ratelimit.ReasonUnreconciled)
		reconcile(t, next, 1000, 900)
		if n := len(drainQuota(t, next, ratelimit.General)); n != 100 {
			t.Errorf("%d permits, want the 100 that WeChat has left", n)
		}
	})
}

// WeChat was asked before midnight, and its answer comes after it.
func TestAnswerOfYesterdayIsNotUsedToday(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		drainQuota(t, g, ratelimit.General)
		until(hourInChina(1, 23, 59, 59).Add(900 * time.Millisecond))
		q := ask(t, g)
		time.Sleep(200 * time.Millisecond)
		stale(t, g.Reconcile(t.Context(), q, 1000, 1000))
		take(t, g, ratelimit.General)
	})
}

// In the first minute of a day WeChat may still tell yesterday's count.
func TestAnswerOfTheFirstMinuteIsNotUsed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		until(hourInChina(2, 0, 0, 59))
		stale(t, g.Reconcile(t.Context(), ask(t, g), 900, 900))
		if s := state(t, g); s.Used != 0 || s.Limit != 900 || !s.Reconciled.IsZero() {
			t.Errorf("the state is %+v, want WeChat's limit alone to be used", s)
		}
		// A gate without a count starts all the same.
		must(t, rdb.FlushAll(t.Context()).Err())
		other := newGate(t, rdb, config("b"))
		refused(t, other, ratelimit.General, ratelimit.ReasonUnreconciled)
		stale(t, other.Reconcile(t.Context(), ask(t, other), 1000, 900))
		time.Sleep(100 * time.Millisecond)
		take(t, other, ratelimit.General)
		until(hourInChina(2, 0, 1, 0))
		reconcile(t, other, 1000, 900)
		if s := state(t, other); s.Used < 900 {
			t.Errorf("the state is %+v, want WeChat's 900", s)
		}
	})
}

// A late answer would lower a count that has grown since its question.
func TestLateAnswersAreNotUsed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		a, b := reconciled(t, rdb, cfg), newGate(t, rdb, config("b"))
		early := ask(t, a)
		time.Sleep(time.Second)
		reconcile(t, b, 1000, 500)                             // others made 500 calls in this second
		stale(t, a.Reconcile(t.Context(), early, 1000, 0))     // an answer of before
		stale(t, a.Reconcile(t.Context(), early, 1000, 10000)) // whatever it says
		used(t, a, 500)

		slow := ask(t, a)
		for range 50 {
			take(t, a, ratelimit.General)
			time.Sleep(time.Second)
		}
		stale(t, a.Reconcile(t.Context(), slow, 1000, 500))
		used(t, a, 550)
	})
}

// Others use the quota too, and WeChat's higher count is taken over. Permits that
// were cached then and are returned unused must not lower ours under WeChat's.
func TestReturnsDoNotLowerTheCountUnderWeChats(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		stop := run(t, g)
		sent := int64(0)
		for range 110 { // the block is larger: the rest stays cached
			take(t, g, ratelimit.General)
			sent++
		}
		if state(t, g).Used == sent {
			t.Fatal("no permit is cached")
		}
		other := newGate(t, rdb, config("b"))
		reconcile(t, other, 1000, sent+500)
		must(t, stop())
		if s := state(t, other); s.Used < sent+500 {
			t.Errorf("%d are counted, WeChat has %d", s.Used, sent+500)
		}
		got := int64(len(drainQuota(t, other, ratelimit.General)))
		if total := sent + 500 + got; total > 1000 {
			t.Errorf("%d calls reach WeChat of a quota of 1000", total)
		}
		time.Sleep(2 * time.Minute) // what was uncertain is known now
		reconcile(t, other, 1000, sent+500+got)
		if s := state(t, other); s.Used > sent+500+got+10 {
			t.Errorf("%d are counted, WeChat has %d: more than 1 %% apart", s.Used, sent+500+got)
		}
	})
}

// A permit that is returned long after its slot was not counted on top of WeChat's.
func TestLateReturnDoesNotLowerTheCountUnderWeChats(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		g := reconciled(t, rdb, cfg)
		late := take(t, g, ratelimit.General)
		time.Sleep(30 * time.Second)
		recent := take(t, g, ratelimit.General)
		reconcile(t, g, 1000, 500)
		used(t, g, 501)
		g.Return(late)
		must(t, run(t, g)())
		used(t, g, 501)
		g.Return(recent)
		must(t, run(t, g)())
		used(t, g, 500)
	})
}

// quo-04: after 45009 WeChat is asked. What clearly remains is believed once,
// what is within its error is not, and not against a second refusal, whichever
// process it comes to.
func TestQuo04WhatIsBelievedAfterRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		used int64
		open [3]bool // at start, after the first and after the second 45009
	}{
		"clearly some left":  {500, [3]bool{true, true, false}},
		"within WeChat's 1%": {990, [3]bool{true, false, false}},
		"used up":            {1000, [3]bool{false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, rdb *redis.Client) {
				cfg := config("a")
				cfg.MaxBlock = 1
				gates := []*ratelimit.Gate{reconciled(t, rdb, cfg), newGate(t, rdb, cfg), newGate(t, rdb, cfg)}
				p := take(t, gates[0], ratelimit.General)
				for i, open := range tt.open {
					if i > 0 {
						must(t, refuseCall(t, gates[i], p))
					}
					time.Sleep(3 * time.Second)
					reconcile(t, gates[2-i], 1000, tt.used) // another process asks
					var err error
					if p, err = gates[(i+1)%3].Take(t.Context(), ratelimit.General); (err == nil) != open {
						t.Fatalf("after %d refusals Take gave %v", i, err)
					}
					if !open {
						return
					}
				}
			})
		})
	}
}

// An hour after the second refusal WeChat's count is believed again.
func TestDistrustLastsAnHour(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := refusedTwice(t, rdb)
		time.Sleep(59 * time.Minute)
		reconcile(t, g, 1000, 500)
		refused(t, g, ratelimit.Reserved, ratelimit.ReasonRefused)
		time.Sleep(time.Minute)
		reconcile(t, g, 1000, 500)
		take(t, g, ratelimit.General)
	})
}

// refusedTwice is a gate to which WeChat has refused a second call within the
// hour, and whose answer is not believed.
func refusedTwice(t *testing.T, rdb *redis.Client) *ratelimit.Gate {
	t.Helper()
	cfg := config("a")
	cfg.MaxBlock = 1
	g := reconciled(t, rdb, cfg)
	for range 2 {
		must(t, refuseCall(t, g, take(t, g, ratelimit.General)))
		time.Sleep(3 * time.Second)
		reconcile(t, g, 1000, 500)
	}
	refused(t, g, ratelimit.Reserved, ratelimit.ReasonRefused)
	return g
}

// Refusals in the evening say nothing about the new day's quota.
func TestDistrustEndsWithTheDay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		until(hourInChina(1, 23, 50, 0))
		g := refusedTwice(t, rdb)
		until(hourInChina(2, 0, 0, 0))
		p := take(t, g, ratelimit.General) // the pause of the hour ends with the day too
		if !p.Probe() || p.Day != secondDay {
			t.Errorf("the first permit of the day is %+v, want a probe", p)
		}
		g.Succeed(t.Context())
		until(hourInChina(2, 0, 1, 0))
		reconcile(t, g, 1000, 10)
		take(t, g, ratelimit.General)
		// And a refusal of the new day is its first one.
		must(t, refuseCall(t, g, take(t, g, ratelimit.General)))
		reconcile(t, g, 1000, 500)
		take(t, g, ratelimit.General)
	})
}

// A call of yesterday is refused after midnight, or in the last second after
// another process has begun the next day.
func TestRefusalOfAnotherDayDoesNotClose(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		g := reconciled(t, rdb, cfg)
		until(hourInChina(1, 23, 59, 58))
		first, second := take(t, g, ratelimit.General), take(t, g, ratelimit.General)
		until(hourInChina(1, 23, 59, 59))
		if p := take(t, g, ratelimit.General); p.Day != secondDay {
			t.Fatalf("the permit of the last second counts on day %d", p.Day)
		}
		stale(t, refuseCall(t, g, first))
		until(hourInChina(2, 0, 0, 1))
		stale(t, refuseCall(t, g, second))
		must(t, refuseCall(t, g, take(t, g, ratelimit.General)))
		reconcile(t, newGate(t, rdb, config("b")), ratelimit.Unknown, ratelimit.Unknown)
		refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
	})
}

// Without a permit, such as by an older answer, a refusal is today's: it closes to
// the end of today although another process has begun tomorrow.
func TestRefusalInTheLastSecondEndsWithItsDay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		until(hourInChina(1, 23, 59, 59))
		take(t, g, ratelimit.General)
		must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonRefused, Probe: true}))
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
		if want := hourInChina(2, 0, 0, 0); !closed.Until.Equal(want) {
			t.Errorf("closed until %v, want %v", closed.Until, want)
		}
	})
}

// Many calls under way are refused: the first answer closes, the others say
// nothing new, also when they come after the gate has opened again. The first
// refusal of a call booked since then closes at once.
func TestLateRefusalsDoNotCloseAgain(t *testing.T) {
	t.Parallel()
	for _, reason := range []ratelimit.Reason{ratelimit.ReasonMinute, ratelimit.ReasonRefused, ratelimit.ReasonBreaker} {
		bubble(t, func(t *testing.T, rdb *redis.Client) {
			cfg := config("a")
			cfg.Rate = 100
			a, b := reconciled(t, rdb, cfg), newGate(t, rdb, cfg)
			stopA, stopB := run(t, a), run(t, b)
			until(hourInChina(1, 9, 0, 59))
			refuse := func(g *ratelimit.Gate, p ratelimit.Permit) error {
				return g.Close(t.Context(), ratelimit.Pause{Reason: reason, Until: hourInChina(1, 9, 1, 0), Permit: p})
			}
			var underWay []ratelimit.Permit
			for range 8 {
				underWay = append(underWay, take(t, a, ratelimit.General), take(t, b, ratelimit.General))
			}
			must(t, refuse(a, underWay[0]))
			stale(t, refuse(b, underWay[1]))
			until(hourInChina(1, 9, 1, 0))
			p := take(t, b, ratelimit.General)
			for _, old := range underWay[2:] {
				stale(t, refuse(a, old))
				stale(t, refuse(b, old))
			}
			take(t, a, ratelimit.General) // still open
			must(t, a.Close(t.Context(), ratelimit.Pause{Reason: reason, Until: time.Now().Add(time.Minute), Permit: p}))
			refused(t, a, ratelimit.General, reason)
			must(t, stopA())
			must(t, stopB())
		})
	}
}

// A permit is good for a second after its slot, a probe for 29, and none into the
// last second of its day: its call might reach WeChat tomorrow.
func TestPermitExpires(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		check := func(p ratelimit.Permit, expires, dayOver time.Time) {
			t.Helper()
			for _, d := range []time.Duration{-time.Millisecond, 0, time.Hour} {
				if got := p.Expired(expires.Add(d)); got != (d >= 0) {
					t.Errorf("%+v is expired at %v: %v", p, expires.Add(d), got)
				}
				if got := p.DayOver(dayOver.Add(d)); got != (d >= 0) {
					t.Errorf("the day of %+v is over at %v: %v", p, dayOver.Add(d), got)
				}
			}
		}
		edge := hourInChina(1, 23, 59, 59)
		p := take(t, g, ratelimit.General)
		check(p, p.At.Add(time.Second), edge)
		closeFor(t, g, ratelimit.ReasonBreaker, time.Second, true)
		time.Sleep(time.Second)
		p = take(t, g, ratelimit.General)
		check(p, p.At.Add(29*time.Second), edge)
		g.Succeed(t.Context())
		until(edge.Add(-300 * time.Millisecond))
		check(take(t, g, ratelimit.General), edge, edge)
		until(edge)
		p = take(t, g, ratelimit.General)
		check(p, hourInChina(2, 0, 0, 1), hourInChina(2, 23, 59, 59))
		if zero := (ratelimit.Permit{}); zero.Expired(time.Now()) || zero.DayOver(time.Now()) {
			t.Error("the zero permit has a time")
		}
	})
}

// Permits cached at the end of the day are not granted any more.
func TestCachedPermitsEndWithTheirDay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		stop := run(t, g)
		synctest.Wait()
		until(hourInChina(1, 23, 59, 58).Add(500 * time.Millisecond))
		old := take(t, g, ratelimit.General) // of a block of 8
		until(hourInChina(1, 23, 59, 59))
		if p := take(t, g, ratelimit.General); p.Day != secondDay {
			t.Errorf("a permit of day %d was granted", p.Day)
		}
		until(hourInChina(2, 0, 0, 0))
		g.Return(old)
		if p := take(t, g, ratelimit.General); p.Day != secondDay {
			t.Errorf("a permit of day %d was granted", p.Day)
		}
		must(t, stop())
		used(t, g, 2)
	})
}
