package tokenstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := tokenstore.New(nil, nil, tokenstore.Config{
		Mode: 7, Lease: time.Second, FetchTimeout: 2 * time.Second, Margin: -1, WarThreshold: -1,
	})
	if err == nil {
		t.Fatal("New accepted it")
	}
	for _, part := range []string{"AppID", "Mode 7", "Margin", "FetchTimeout 2s", "WarThreshold", "redis client", "fetcher"} {
		if !contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	if _, err := tokenstore.New(nil, nil, tokenstore.Config{AppID: "wx{1}"}); !contains(err.Error(), "braces") {
		t.Errorf("an appid with braces would leave the hash tag: %v", err)
	}
}

func TestStateShowsTokenLeaseAndCounts(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		f.cfg.Owner = "worker-1"
		s := f.store()
		if st := mustState(t, s); st.Fingerprint != "" || !st.ExpiresAt.IsZero() || st.Mode != "stable" {
			t.Errorf("before any fetch: %+v", st)
		}
		hold := make(chan struct{})
		f.wx.before = func(context.Context) error { <-hold; return nil }
		got := make(chan wechat.Token)
		go func() { token, _ := s.Token(t.Context()); got <- token }()
		synctest.Wait()
		if st := mustState(t, s); st.Refreshing != "worker-1" {
			t.Errorf("refreshing = %q, want the lease's owner", st.Refreshing)
		}
		close(hold)
		token := <-got
		pass(10 * time.Minute)
		st := mustState(t, s)
		if st.Fingerprint != token.Value.Fingerprint() || st.Generation != token.Generation || st.Age != 10*time.Minute ||
			!st.ExpiresAt.Equal(token.ExpiresAt) || st.ExpiresAt.Sub(st.RefreshAt) != 4*time.Minute ||
			st.FetchesToday != 1 || st.ForcedToday != 0 || st.Refused || st.Refreshing != "" {
			t.Errorf("state = %+v", st)
		}
		mustInvalidate(t, s, token)
		if st := mustState(t, s); !st.Refused {
			t.Error("state hides the refusal")
		}
		pass(24 * time.Hour)
		if st := mustState(t, s); st.FetchesToday != 0 {
			t.Errorf("fetches today = %d on the next day", st.FetchesToday)
		}
		f.mini.SetError("LOADING the dataset")
		if _, err := s.State(t.Context()); !errors.Is(err, tokenstore.ErrRedis) {
			t.Errorf("State = %v, want ErrRedis", err)
		}
	})
}

func TestRefreshIgnoresTheBackOff(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		a, b := f.store(), f.store()
		f.run(b)
		f.wx.set(func(p *platform) { p.fail = answer(89506, "refused") })
		unavailable(t, a)
		if _, err := a.Refresh(t.Context()); err == nil || f.wx.fetches() != 2 {
			t.Errorf("Refresh = %v after %d fetches, want WeChat's answer to the second", err, f.wx.fetches())
		}
		f.wx.set(func(p *platform) { p.fail = nil })
		token, err := a.Refresh(t.Context())
		must(t, err)
		synctest.Wait()
		if got := mustToken(t, b); got.Generation != token.Generation || f.wx.fetches() != 3 {
			t.Errorf("b did not hear of the refresh (%d fetches)", f.wx.fetches())
		}
	})
}

func TestRefreshWaitsForAFetchInProgress(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		a, b := f.store(), f.store()
		f.wx.before = func(context.Context) error { pass(3 * time.Second); return nil }
		got := make(chan wechat.Token)
		go func() { token, _ := a.Token(t.Context()); got <- token }()
		synctest.Wait()
		token, err := b.Refresh(t.Context())
		if err != nil || token.Generation != (<-got).Generation || f.wx.fetches() != 1 {
			t.Errorf("Refresh = %v, %d fetches: want the one under way", err, f.wx.fetches())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _, _ = a.Refresh(t.Context()) }()
		synctest.Wait()
		if _, err := b.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Refresh = %v, want its context's end", err)
		}
		pass(10 * time.Second)
	})
}

func TestDropReachesEveryProcess(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		a, quiet, b := f.store(), f.store(), f.store()
		f.run(b)
		old := mustToken(t, a)
		mustToken(t, quiet)
		mustToken(t, b)
		f.wx.set(func(p *platform) { p.fail = answer(-1, "system error") }) // so that Run gets no new one
		pass(time.Second)
		must(t, a.Drop(t.Context()))
		synctest.Wait()
		unavailable(t, a)
		unavailable(t, b) // by the notice
		if f.mini.HGet("wxn:{"+appID+"}:token", "v") != "" {
			t.Error("the dropped token still lies in Redis")
		}
		f.wx.set(func(p *platform) { p.fail = nil })
		pass(4 * time.Second)
		_, _ = quiet.Token(t.Context()) // reads Redis in the background
		synctest.Wait()
		for _, s := range []*tokenstore.Store{a, quiet, b} {
			if got := mustToken(t, s); got.Generation <= old.Generation {
				t.Error("a dropped token is in use")
			}
		}
		f.mini.SetError("LOADING the dataset")
		if err := a.Drop(t.Context()); !errors.Is(err, tokenstore.ErrRedis) {
			t.Errorf("Drop = %v, want ErrRedis", err)
		}
	})
}

func TestShortLivedTokenIsUsedForHalfAMinute(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{0, time.Second, 29 * time.Second} {
		bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
			s := newStore(t, f.rdb, &shortLived{life: life}, f.cfg)
			first := mustToken(t, s)
			if left := time.Until(first.ExpiresAt); left != 30*time.Second {
				t.Errorf("life %v is kept for %v, want 30s", life, left)
			}
			pass(29 * time.Second)
			if mustToken(t, s).Generation != first.Generation {
				t.Error("fetched too early")
			}
		})
	}
}

func TestStableTokenNearItsEndIsRefreshedEarly(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s := newStore(t, f.rdb, &shortLived{life: 345 * time.Second}, f.cfg) // the documentation's example
		token := mustToken(t, s)
		st := mustState(t, s)
		if time.Until(token.ExpiresAt) != 345*time.Second || st.RefreshAt.Sub(st.FetchedAt) != 105*time.Second {
			t.Errorf("served for %v, refreshed after %v", time.Until(token.ExpiresAt), st.RefreshAt.Sub(st.FetchedAt))
		}
	})
}

type shortLived struct{ life time.Duration }

func (s *shortLived) FetchClassic(ctx context.Context) (wechat.Token, error) {
	return s.FetchStable(ctx, false)
}

func (s *shortLived) FetchStable(context.Context, bool) (wechat.Token, error) {
	return wechat.Token{Value: wechat.NewSecret("TOKEN-CANARY"), ExpiresAt: time.Now().Add(s.life)}, nil
}

func TestForcedRefreshThatFailsKeepsThePlainToken(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s := f.store()
		old := mustToken(t, s)
		pass(10 * time.Minute)
		mustInvalidate(t, s, old)
		calls := 0
		f.wx.before = func(context.Context) error {
			if calls++; calls == 2 {
				return answer(45009, "reach max api daily quota limit")
			}
			return nil
		}
		token := mustToken(t, s)
		if token.Value != old.Value || token.Generation <= old.Generation {
			t.Errorf("want the plain token once more, in a new generation")
		}
		if st := mustState(t, s); st.ForcedToday != 1 || st.FetchesToday != 3 {
			t.Errorf("forced %d, fetches %d: a failed call counts too", st.ForcedToday, st.FetchesToday)
		}
		if n := len(f.notes.of(tokenstore.EventFailed)); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
	})
}
