package tokenstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func TestTok01ConcurrentSendsCauseOneFetch(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		f.wx.before = func(context.Context) error { pass(20 * time.Millisecond); return nil }
		var wg sync.WaitGroup
		for range 8 {
			s := f.store()
			for range 50 {
				wg.Go(func() {
					if err := deliver(t.Context(), s, f.wx.send); err != nil {
						t.Errorf("send: %v", err)
					}
				})
			}
		}
		wg.Wait()
		if n := f.wx.fetches(); n != 1 {
			t.Errorf("fetches = %d, want 1", n)
		}
	})
}

func TestTok02RefusedSendsCauseOneRefresh(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		var stores []*tokenstore.Store
		for range 8 {
			stores = append(stores, f.store())
			mustToken(t, stores[len(stores)-1])
		}
		pass(2 * time.Minute)
		f.wx.kill()
		f.wx.before = func(context.Context) error { pass(20 * time.Millisecond); return nil }
		var wg sync.WaitGroup
		for i := range 400 {
			wg.Go(func() {
				if err := deliver(t.Context(), stores[i%8], f.wx.send); err != nil {
					t.Errorf("send: %v", err)
				}
			})
		}
		wg.Wait()
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("fetches = %d, want the first and one refresh", n)
		}
		if n := len(f.notes.of(tokenstore.EventRefused)); n != 1 {
			t.Errorf("the token was marked refused %d times, want once", n)
		}
	})
}

func TestTok03OlderFetchNeverOverwritesNewer(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		f.wx.after = func(n int, _ wechat.Token) error {
			if n == 1 {
				pass(30 * time.Second) // a stalled process ignores its deadline
			}
			return nil
		}
		a, b := f.store(), f.store()
		late := make(chan wechat.Token)
		go func() {
			token, err := a.Token(t.Context())
			if err != nil {
				t.Errorf("A: %v", err)
			}
			late <- token
		}()
		synctest.Wait()
		begun := time.Now()
		t2 := mustToken(t, b)
		if took := time.Since(begun); took > 11*time.Second {
			t.Errorf("B waited %v, want the lease of 10s", took)
		}
		if got := <-late; got.Generation != t2.Generation || got.Value != t2.Value {
			t.Errorf("A returned generation %d, want B's %d", got.Generation, t2.Generation)
		}
		if st := mustState(t, b); st.Fingerprint != t2.Value.Fingerprint() {
			t.Errorf("redis holds %s, want T2 %s", st.Fingerprint, t2.Value.Fingerprint())
		}
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("fetches = %d, want 2", n)
		}
	})
}

func TestTok03OlderFailureStartsNoBackOff(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		f.wx.after = func(n int, _ wechat.Token) error {
			if n == 1 {
				pass(30 * time.Second)
				return &wechat.Error{Op: "/cgi-bin/token", Code: 40125, Msg: "invalid appsecret"}
			}
			return nil
		}
		a, b := f.store(), f.store()
		var wg sync.WaitGroup
		for _, s := range []*tokenstore.Store{a, b} {
			wg.Go(func() {
				if _, err := s.Token(t.Context()); err != nil {
					t.Errorf("Token: %v", err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if st := mustState(t, b); st.LastError != nil {
			t.Errorf("an older failure started a back-off: %v", st.LastError)
		}
	})
}

func TestTok04WaitingProcessTakesTheFetchedToken(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		release := make(chan struct{})
		f.wx.before = func(context.Context) error { <-release; return nil }
		a, b := f.store(), f.store()
		var tokens [2]wechat.Token
		var wg sync.WaitGroup
		for i, s := range []*tokenstore.Store{a, b} {
			wg.Go(func() {
				var err error
				if tokens[i], err = s.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
			pass(time.Second)
		}
		close(release)
		wg.Wait()
		if tokens[0].Generation != tokens[1].Generation || f.wx.fetches() != 1 {
			t.Errorf("generations %d and %d after %d fetches, want one of each",
				tokens[0].Generation, tokens[1].Generation, f.wx.fetches())
		}
	})
}

func TestTok05InvalidateIgnoresAReplacedToken(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		a, b := f.store(), f.store()
		old := mustToken(t, a)
		mustToken(t, b)
		pass(2 * time.Minute)
		f.wx.kill()
		mustInvalidate(t, a, old)
		fresh := mustToken(t, a)
		if fresh.Value == old.Value {
			t.Fatal("the refused token was handed out again")
		}
		mustInvalidate(t, b, old) // b still has the old one; the fleet has not
		mustInvalidate(t, a, old)
		mustInvalidate(t, a, wechat.Token{Value: old.Value}) // from a source that does not count
		if got := mustToken(t, b); got.Generation != fresh.Generation {
			t.Errorf("b has generation %d, want %d", got.Generation, fresh.Generation)
		}
		if got := mustToken(t, a); got.Generation != fresh.Generation || f.wx.fetches() != 2 {
			t.Errorf("a late refusal dropped the new token (%d fetches)", f.wx.fetches())
		}
	})
}

func TestTok05InvalidateRecognisesATokenByItsValue(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		old := mustToken(t, f.store())
		pass(2 * time.Minute)
		s := f.store() // has read nothing yet
		mustInvalidate(t, s, wechat.Token{Value: old.Value})
		if got := mustToken(t, s); got.Generation == old.Generation {
			t.Error("the refused token is still in use")
		}
	})
}

func TestTok10ForcedRefreshKeepsWithinTheDailyBudget(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		// The bubble begins at midnight UTC, which is 8 in China: the storm begins at 22.
		pass(14 * time.Hour)
		s := f.store()
		mustToken(t, s)
		pass(10 * time.Minute)
		f.wx.refuse = true
		round := func() {
			token, err := s.Token(t.Context())
			if err == nil {
				err = s.Invalidate(t.Context(), token)
			}
			if err != nil && !errors.Is(err, tokenstore.ErrRefused) {
				t.Errorf("%v, want ErrRefused", err)
			}
		}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(round)
			pass(10 * time.Millisecond)
		}
		if n := len(f.wx.forced); n != 1 {
			t.Errorf("forced %d times in 10 s, want once", n)
		}
		if n := f.wx.fetches(); n > 6 {
			t.Errorf("%d fetches in 10 s of storm: not calm", n)
		}
		wg.Wait()
		for begun := time.Now(); time.Since(begun) < 4*time.Hour; pass(30 * time.Second) {
			round()
		}
		perDay := map[int]int{}
		for i, at := range f.wx.forced {
			perDay[at.UTC().Add(8*time.Hour).YearDay()]++
			if i > 0 && at.Sub(f.wx.forced[i-1]) < 30*time.Second {
				t.Errorf("forced twice within %v", at.Sub(f.wx.forced[i-1]))
			}
		}
		for day, n := range perDay {
			if n != 20 {
				t.Errorf("day %d: forced %d times, want exactly the 20 allowed in such a storm", day, n)
			}
		}
		if len(perDay) != 2 {
			t.Errorf("forced on %d days, want 2", len(perDay))
		}
		f.wx.set(func(p *platform) { p.refuse = false })
		pass(5 * time.Minute)
		if err := deliver(t.Context(), s, f.wx.send); err != nil {
			t.Errorf("after the storm: %v", err)
		}
	})
}

func TestTok10NormalFetchPrecedesForcedRefresh(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s := f.store()
		old := mustToken(t, s)
		pass(10 * time.Minute)
		f.wx.kill() // rolled: a normal fetch brings another token
		mustInvalidate(t, s, old)
		mustToken(t, s)
		if st := mustState(t, s); st.ForcedToday != 0 || st.FetchesToday != 2 {
			t.Errorf("forced %d, fetches %d: want 0 and 2", st.ForcedToday, st.FetchesToday)
		}
	})
}

func TestTok11ExpiredLeaseIsTakenOver(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		dead := make(chan struct{})
		f.wx.before = func(context.Context) error { <-dead; return nil }
		a, b := f.store(), f.store()
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := a.Token(ctx); left <- err }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that leaves gets %v, want its context's error", err)
		}
		f.wx.set(func(p *platform) { p.before = nil })
		begun := time.Now()
		mine := mustToken(t, b)
		if took := time.Since(begun); took > 11*time.Second {
			t.Errorf("took over after %v, want the lease of 10s", took)
		}
		lease := "wxn:{" + appID + "}:token:lease"
		must(t, f.rdb.Set(t.Context(), lease, "other/7:9", time.Minute).Err())
		close(dead) // the first holder resumes and must not release the lease of another
		synctest.Wait()
		if got := f.rdb.Get(t.Context(), lease).Val(); got != "other/7:9" {
			t.Errorf("lease = %q: released by a process that did not hold it", got)
		}
		if got := mustToken(t, b); got.Generation != mine.Generation {
			t.Error("the dead holder's token replaced the newer one")
		}
	})
}

func TestTok11WaitingForALeaseIsBounded(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		lease := "wxn:{" + appID + "}:token:lease"
		must(t, f.rdb.Set(t.Context(), lease, "other/7:9", time.Hour).Err())
		begun := time.Now()
		down := unavailable(t, f.store())
		if !errors.Is(down, tokenstore.ErrWaited) || time.Since(begun) > 19*time.Second {
			t.Errorf("%v after %v, want ErrWaited after 18s", down, time.Since(begun))
		}
	})
}

func TestTok12SendsNeverWaitWithRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped with -short: four virtual hours, looked at every 20 s")
	}
	for _, mode := range []tokenstore.Mode{tokenstore.Stable, tokenstore.Classic} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, mode, func(t *testing.T, f *fleet) {
				stores := []*tokenstore.Store{f.store(), f.store(), f.store()}
				send := func() {
					for _, s := range stores {
						asked := time.Now()
						if token := mustToken(t, s); !time.Now().Before(token.ExpiresAt) {
							t.Error("an expired token was handed out")
						}
						if waited := time.Since(asked); waited != 0 {
							t.Errorf("a send waited %v for the token", waited)
						}
					}
				}
				var begun atomic.Bool
				f.wx.before = func(context.Context) error {
					pass(time.Second)
					if begun.Load() {
						send() // during the fetch
					}
					pass(time.Second)
					return nil
				}
				for _, s := range stores {
					f.run(s)
					mustToken(t, s)
				}
				begun.Store(true)
				for range 4 * 60 * 3 {
					pass(20 * time.Second)
					send()
				}
				if n := f.wx.fetches(); n != 3 {
					t.Errorf("%d fetches in four hours of three processes, want 3", n)
				}
			})
		})
	}
}

func TestTok15TokenWarIsReported(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		for range 6 { // another environment fetches every ten minutes
			mustToken(t, s)
			pass(10 * time.Minute)
			f.wx.kill()
			must(t, deliver(t.Context(), s, f.wx.send))
			if st := mustState(t, s); st.War != (st.Refusals > 3) {
				t.Errorf("war = %v at %d refusals", st.War, st.Refusals)
			}
		}
		st := mustState(t, s)
		if !st.War || st.Refusals < 4 {
			t.Fatalf("state = %+v, want a war", st)
		}
		wars := f.notes.of(tokenstore.EventWar)
		if len(wars) == 0 || !errors.Is(wars[0].Err, tokenstore.ErrWar) || !contains(wars[0].Remedy, "stable_token") ||
			!contains(st.WarRemedy, "stable_token") {
			t.Errorf("the alarm does not suggest stable_token: %+v", wars)
		}
		pass(2 * time.Hour)
		if st := mustState(t, s); st.War {
			t.Error("the war is over and still reported")
		}
	})
}

func TestTok15NoWarWithoutAnotherSystem(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		f.run(s)
		for range 10 { // two refreshes
			pass(30 * time.Minute)
			must(t, deliver(t.Context(), s, f.wx.send))
		}
		if st := mustState(t, s); st.War || st.Refusals != 0 {
			t.Errorf("state = %+v, want no war", st)
		}
	})
}
