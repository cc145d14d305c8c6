package ratelimit_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

func closeFor(tb testing.TB, g *ratelimit.Gate, r ratelimit.Reason, d time.Duration, probe bool) {
	tb.Helper()
	p := ratelimit.Pause{Reason: r, Detail: "why " + string(r), Probe: probe}
	if d > 0 {
		p.Until = time.Now().Add(d)
	}
	must(tb, g.Close(tb.Context(), p))
}

func TestCloseStopsAllProcessesUntilItEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		a, b := reconciled(t, rdb, config("a")), newGate(t, rdb, config("b"))
		closeFor(t, a, ratelimit.ReasonToken, time.Minute, false)
		for _, g := range []*ratelimit.Gate{a, b} {
			for _, tier := range []ratelimit.Tier{ratelimit.General, ratelimit.Reserved} {
				closed := refused(t, g, tier, ratelimit.ReasonToken)
				if closed.Detail != "why token" || !closed.Until.Equal(time.Now().Add(time.Minute)) {
					t.Errorf("closed with %q until %v", closed.Detail, closed.Until)
				}
			}
		}
		time.Sleep(time.Minute)
		take(t, a, ratelimit.General)
		take(t, b, ratelimit.General)
		if pauses := state(t, a).Pauses; len(pauses) != 0 {
			t.Errorf("pauses left: %+v", pauses)
		}
	})
}

func TestLongestPauseOfAReasonWins(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("worker-1"))
		closeFor(t, g, ratelimit.ReasonBreaker, time.Minute, false)
		closeFor(t, g, ratelimit.ReasonBreaker, time.Second, false)
		since := time.Now()
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonBreaker)
		if !closed.Until.Equal(since.Add(time.Minute)) {
			t.Errorf("a shorter pause won: until %v", closed.Until)
		}
		time.Sleep(time.Second)
		closeFor(t, g, ratelimit.ReasonBreaker, 2*time.Minute, false)
		pauses := state(t, g).Pauses
		if len(pauses) != 1 || pauses[0].Owner != "worker-1" || !pauses[0].Since.Equal(since) ||
			!pauses[0].Until.Equal(time.Now().Add(2*time.Minute)) {
			t.Errorf("the pauses are %+v", pauses)
		}
		closeFor(t, g, ratelimit.ReasonBreaker, 0, false)
		closeFor(t, g, ratelimit.ReasonBreaker, time.Hour, false)
		if closed := refused(t, g, ratelimit.General, ratelimit.ReasonBreaker); !closed.Until.IsZero() {
			t.Errorf("an hour replaced a pause without end: until %v", closed.Until)
		}
	})
}

func TestPausesOfSeveralReasons(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		closeFor(t, g, ratelimit.ReasonBreaker, time.Minute, true)
		closeFor(t, g, ratelimit.ReasonManual, 0, true)
		closeFor(t, g, ratelimit.ReasonAccount, time.Hour, false)
		refused(t, g, ratelimit.General, ratelimit.ReasonManual)
		g.Succeed(t.Context())
		reconcile(t, g, 1000, 0)
		time.Sleep(24 * time.Hour)
		// The program never lifts what an admin holds, and does not probe it.
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonManual)
		if want := "closed: held by an admin (why manual), until it is opened"; closed.Error() != want {
			t.Errorf("the error says %q, want %q", closed, want)
		}
		must(t, g.Open(t.Context(), ratelimit.ReasonAccount))
		must(t, g.Open(t.Context(), ratelimit.ReasonToken)) // there is none: nothing happens
		must(t, g.Open(t.Context(), ""))
		refused(t, g, ratelimit.General, ratelimit.ReasonManual)
		must(t, g.Open(t.Context(), ratelimit.ReasonManual))
		if p := take(t, g, ratelimit.General); !p.Probe() {
			t.Errorf("the breaker's pause is over, want its probe: %+v", p)
		}
	})
}

func TestProbeIsOneOverAllProcesses(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		a, b := reconciled(t, rdb, config("a")), newGate(t, rdb, config("b"))
		closeFor(t, a, ratelimit.ReasonBreaker, 10*time.Second, true)
		time.Sleep(10 * time.Second)
		p := take(t, a, ratelimit.General)
		if !p.Probe() {
			t.Fatalf("the first permit after a probing pause is %+v", p)
		}
		closed := refused(t, b, ratelimit.General, ratelimit.ReasonBreaker)
		refused(t, a, ratelimit.Reserved, ratelimit.ReasonBreaker)
		if want := time.Now().Add(30 * time.Second); !closed.Until.Equal(want) {
			t.Errorf("closed until %v, want the end of the probe's lease %v", closed.Until, want)
		}
		shown, err := b.State(t.Context())
		must(t, err)
		if want := time.Now().Add(30 * time.Second); len(shown.Pauses) != 1 || !shown.Pauses[0].Until.Equal(want) {
			t.Errorf("State shows %+v, want the end of the probe's lease %v", shown.Pauses, want)
		}
		// The probe is not reported: another one follows, in any process.
		time.Sleep(30 * time.Second)
		p = take(t, b, ratelimit.General)
		refused(t, a, ratelimit.General, ratelimit.ReasonBreaker)
		// It was not used: it is there for the next who asks.
		b.Return(p)
		if again := take(t, b, ratelimit.General); again != p {
			t.Errorf("took %+v, want the returned probe", again)
		}
		a.Succeed(t.Context()) // holds no probe: its word is of before
		refused(t, a, ratelimit.General, ratelimit.ReasonBreaker)
		b.Succeed(t.Context())
		take(t, b, ratelimit.General)
		time.Sleep(100 * time.Millisecond) // without Run a refusal is remembered for so long
		if p := take(t, a, ratelimit.General); p.Probe() {
			t.Errorf("a probe from an open gate: %+v", p)
		}
	})
}

func TestFailedProbesBackOff(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		closeFor(t, g, ratelimit.ReasonBreaker, time.Minute, true)
		for i, minutes := range []int{1, 2, 4, 8, 10, 10} {
			want := time.Duration(minutes) * time.Minute
			closed := refused(t, g, ratelimit.General, ratelimit.ReasonBreaker)
			if got := time.Until(closed.Until); got != want {
				t.Fatalf("after %d failed probes closed for %v, want %v", i, got, want)
			}
			closeFor(t, g, ratelimit.ReasonBreaker, time.Second, true) // a straggler counts as nothing
			time.Sleep(want)
			if p := take(t, g, ratelimit.General); !p.Probe() {
				t.Fatalf("not a probe: %+v", p)
			}
			closeFor(t, g, ratelimit.ReasonBreaker, time.Minute, true)
		}
		if f := state(t, g).Pauses[0].Failures; f != 6 {
			t.Errorf("%d failures, want 6", f)
		}
	})
}

func TestSucceedOpensAndRamps(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate = 160
		g, calls := counted(t, rdb, cfg)
		reconcile(t, g, 0, 0)
		closeFor(t, g, ratelimit.ReasonBreaker, time.Second, true)
		closeFor(t, g, ratelimit.ReasonToken, time.Second, true)
		time.Sleep(time.Second)
		take(t, g, ratelimit.General)
		g.Succeed(t.Context())
		if s := state(t, g); s.Rate != 10 || len(s.Pauses) != 0 {
			t.Errorf("after Succeed the state is %+v, want a rate of 160/16 and no pause", s)
		}
		before := calls.calls.Load()
		for range 100 {
			g.Succeed(t.Context())
		}
		if n := calls.calls.Load() - before; n != 0 {
			t.Errorf("%d Redis calls to say that an open gate is open", n)
		}
	})
}

func TestQuo04RefusedClosesForTheDay(t *testing.T) {
	t.Parallel()
	refusal := ratelimit.Pause{Reason: ratelimit.ReasonRefused, Detail: "45009", Probe: true}
	t.Run("until midnight, then one probe", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, rdb *redis.Client) {
			g := reconciled(t, rdb, config("a"))
			take(t, g, ratelimit.General)
			must(t, g.Close(t.Context(), refusal))
			closed := refused(t, g, ratelimit.Reserved, ratelimit.ReasonRefused)
			if want := hourInChina(2, 0, 0, 0); !closed.Until.Equal(want) {
				t.Errorf("closed until %v, want %v", closed.Until, want)
			}
			// WeChat says that nothing remains: it stays closed.
			reconcile(t, g, 1000, 1000)
			refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
			until(hourInChina(1, 23, 59, 59))
			refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
			until(hourInChina(2, 0, 0, 0))
			if p := take(t, g, ratelimit.General); !p.Probe() || p.Day != 10958 {
				t.Errorf("the first permit of the day is %+v, want a probe", p)
			}
			refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
			g.Succeed(t.Context())
			take(t, g, ratelimit.General)
		})
	})
	t.Run("until quota/get says that some remains", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, rdb *redis.Client) {
			g := reconciled(t, rdb, config("a"))
			must(t, g.Close(t.Context(), refusal))
			reconcile(t, g, ratelimit.Unknown, ratelimit.Unknown)
			refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
			reconcile(t, g, 1000, 980)
			if n := len(drainQuota(t, g, ratelimit.General)); n != 20 {
				t.Errorf("%d permits, want the 20 that remain", n)
			}
			refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
		})
	})
	t.Run("a probe an hour", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, rdb *redis.Client) {
			g := reconciled(t, rdb, config("a"))
			for range 5 {
				hourly := refusal
				hourly.Until = time.Now().Add(time.Hour)
				must(t, g.Close(t.Context(), hourly))
				time.Sleep(time.Hour - time.Second)
				refused(t, g, ratelimit.General, ratelimit.ReasonRefused)
				time.Sleep(time.Second)
				take(t, g, ratelimit.General)
			}
		})
	})
}

func TestMinuteQuotaHalvesTheRate(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate = 100
		g := reconciled(t, rdb, cfg)
		until(hourInChina(1, 9, 0, 20))
		for range 64 { // all that was in flight is answered 45011
			must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonMinute}))
		}
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonMinute)
		if want := hourInChina(1, 9, 1, 0); !closed.Until.Equal(want) {
			t.Errorf("closed until %v, want the next minute %v", closed.Until, want)
		}
		if r := state(t, g).Rate; r != 50 {
			t.Errorf("the rate is %v, want half of 100", r)
		}
		until(closed.Until)
		take(t, g, ratelimit.General)
		time.Sleep(20 * time.Second) // a minute after the refusal
		if r := state(t, g).Rate; r != 60 {
			t.Errorf("the rate is %v a minute later, want 60", r)
		}
		must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonMinute}))
		if r := state(t, g).Rate; r != 30 {
			t.Errorf("the rate is %v after a second refusal, want 30", r)
		}
		time.Sleep(8 * time.Minute)
		if r := state(t, g).Rate; r != 100 {
			t.Errorf("the rate is %v in the end, want 100", r)
		}
	})
}

func TestCloseRefusesWhatIsNotAReason(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		for _, r := range []ratelimit.Reason{"", ratelimit.ReasonQuota, ratelimit.ReasonUnreconciled} {
			if err := g.Close(t.Context(), ratelimit.Pause{Reason: r}); err == nil {
				t.Errorf("reason %q was taken", r)
			}
		}
		take(t, g, ratelimit.General)
	})
}

// A detail may be any bytes: the script keeps JSON.
func TestDetailIsCutAndCleaned(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g := reconciled(t, rdb(), config("机器 \"1\""))
		for _, detail := range []string{"账号被冻结 <&> \"quoted\" \\ |", strings.Repeat("冻", 200), "bad \xff\xfe bytes\x00\x01"} {
			must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonAccount, Detail: detail}))
			got := refused(t, g, ratelimit.General, ratelimit.ReasonAccount).Detail
			if !utf8.ValidString(got) || len(got) > 256 || got[:3] != detail[:3] {
				t.Errorf("%q became %q", detail, got)
			}
			if p := state(t, g).Pauses[0]; p.Detail != got || p.Owner != "机器 \"1\"" {
				t.Errorf("the state has %+v", p)
			}
			must(t, g.Open(t.Context(), ratelimit.ReasonAccount))
		}
	})
}

// A closed gate is remembered: asking it costs no Redis calls while Run listens.
func TestClosedGateCostsNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g, calls := counted(t, rdb, config("a"))
		reconcile(t, g, 0, 0)
		stop := run(t, g)
		synctest.Wait()
		closeFor(t, g, ratelimit.ReasonManual, 0, false)
		synctest.Wait()
		before := calls.calls.Load()
		for range 60 * 50 { // a minute of polling each 20 ms
			refused(t, g, ratelimit.General, ratelimit.ReasonManual)
			time.Sleep(20 * time.Millisecond)
		}
		if n := calls.calls.Load() - before; n > 13 {
			t.Errorf("%d Redis calls in a minute before a closed gate, want one in 5 s", n)
		}
		must(t, stop())
	})
}
