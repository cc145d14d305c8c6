package tokenstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// leak is the simulated platform with stores on one Redis.
type leak struct {
	*testing.T
	p   *wechattest.Platform
	rdb *redis.Client
	cfg wechat.Config
}

func leaked(t *testing.T) *leak {
	t.Helper()
	_, rdb := redistest.Mini(t)
	p := wechattest.New(wechattest.Config{})
	t.Cleanup(p.Close)
	return &leak{t, p, rdb, wechat.Config{
		AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: p.BaseURL(), HTTPClient: p.Client(),
	}}
}

func (l *leak) fetcher() *wechat.TokenFetcher {
	l.Helper()
	f, err := wechat.NewTokenFetcher(l.cfg)
	if err != nil {
		l.Fatal(err)
	}
	return f
}

func (l *leak) store(mode tokenstore.Mode) *tokenstore.Store {
	l.Helper()
	return newStore(l.T, l.rdb, l.fetcher(), tokenstore.Config{AppID: wechattest.AppID, Mode: mode})
}

// works reports whether WeChat accepts the token.
func (l *leak) works(token wechat.Token) bool {
	l.Helper()
	c, err := wechat.NewClient(l.cfg, wechat.StaticToken(token.Value.Reveal()))
	if err != nil {
		l.Fatal(err)
	}
	_, err = c.Quota(l.Context(), wechat.SendPath)
	return err == nil
}

func TestRevokeEndsALeakedTokenByTwoForcedRefreshes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := leaked(t)
		ours, other := l.store(tokenstore.Stable), l.store(tokenstore.Stable)
		stolen := mustToken(t, ours)
		mustToken(t, other)
		begun := time.Now()
		var steps []tokenstore.RevokeStep
		err := ours.Revoke(t.Context(), func(s tokenstore.RevokeStep) {
			steps = append(steps, s)
			if s.Refresh == 1 && !l.works(stolen) {
				t.Error("the simulator ends the token at the first forced refresh: the test proves nothing")
			}
		})
		must(t, err)
		if took := time.Since(begun); took < 30*time.Second || took > 35*time.Second {
			t.Errorf("took %v, want 31 s", took)
		}
		if l.works(stolen) {
			t.Error("the leaked token still works")
		}
		pass(4 * time.Second) // the other process reads Redis again
		mustToken(t, other)
		pass(time.Second)
		if token := mustToken(t, other); !l.works(token) || token.Value == stolen.Value {
			t.Error("the other process has no working token")
		}
		last := steps[len(steps)-1]
		if last.Refresh != 2 || last.Of != 2 || last.ForcedToday != 2 || last.ForcedLimit != 20 || last.Wait != 0 || last.Fingerprint == "" {
			t.Errorf("last step %+v", last)
		}
		if st := mustState(t, ours); st.ForcedToday != 2 || st.Refreshing != "" {
			t.Errorf("state %+v", st)
		}
	})
}

func TestRevokeKeepsWithinTwentyForcedRefreshesADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := leaked(t)
		s := l.store(tokenstore.Stable)
		for range 9 {
			must(t, s.Revoke(t.Context(), nil))
		}
		token := mustToken(t, s)
		mustInvalidate(t, s, token)
		l.p.Account(wechattest.AppID).RefuseStableToken()
		pass(time.Minute)
		mustToken(t, s) // the 19th, which a refusal caused
		before := l.p.Calls(wechattest.StableTokenPath).Total
		err := s.Revoke(t.Context(), nil)
		if !errors.Is(err, tokenstore.ErrForcedRefreshes) || !contains(err.Error(), "19 of 20") {
			t.Errorf("with one left: %v", err)
		}
		if n := l.p.Calls(wechattest.StableTokenPath).Total - before; n != 0 {
			t.Errorf("%d calls although two are not left", n)
		}
		pass(24 * time.Hour)
		if err := s.Revoke(t.Context(), nil); err != nil {
			t.Errorf("the next day: %v", err)
		}
	})
}

// Another process forced a refresh 10 s ago: WeChat would ignore ours until 30 s have
// passed.
func TestRevokeWaitsForTheGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := leaked(t)
		s := l.store(tokenstore.Stable)
		must(t, l.store(tokenstore.Stable).Revoke(t.Context(), nil))
		stolen := mustToken(t, s)
		pass(10 * time.Second)
		begun := time.Now()
		must(t, s.Revoke(t.Context(), nil))
		if took := time.Since(begun); took < 51*time.Second || took > 60*time.Second || l.works(stolen) {
			t.Errorf("took %v, want 21 s and 31 s; the leaked token works: %v", took, l.works(stolen))
		}
	})
}

// Another system forces refreshes, which our count does not know: WeChat ignores one of
// ours, and it is made again.
func TestRevokeMakesARefreshAgainThatWeChatIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := leaked(t)
		s := l.store(tokenstore.Stable)
		mustToken(t, s)
		if _, err := l.fetcher().FetchStable(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		stolen := mustToken(t, s)
		must(t, s.Revoke(t.Context(), nil))
		if l.works(stolen) || !l.works(mustToken(t, s)) {
			t.Error("the leaked token works, or the new one does not")
		}
		if st := mustState(t, s); st.ForcedToday != 3 {
			t.Errorf("%d forced refreshes, want 3: one was ignored", st.ForcedToday)
		}
	})
}

func TestRevokeFailsAndSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := leaked(t)
		if err := l.store(tokenstore.Classic).Revoke(t.Context(), nil); !errors.Is(err, tokenstore.ErrClassic) {
			t.Errorf("classic mode: %v", err)
		}
		s := l.store(tokenstore.Stable)
		l.p.Account(wechattest.AppID).FreezeTokens(40243)
		var down *tokenstore.UnavailableError
		if err := s.Revoke(t.Context(), nil); !errors.As(err, &down) || !contains(err.Error(), "40243") {
			t.Errorf("a frozen secret: %v", err)
		}
		l.p.Account(wechattest.AppID).FreezeTokens(0)
		pass(31 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Revoke(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled between the two: %v", err)
		}
		if st := mustState(t, s); st.Refreshing != "" {
			t.Errorf("the lease is still held by %q", st.Refreshing)
		}
	})
}
