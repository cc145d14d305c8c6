package wechat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// fetches counts the fetches of a ReuseTokenSource and answers them.
type fetches struct {
	mu     sync.Mutex
	forced []bool
	answer func(n int, force bool) (string, time.Duration, error)
}

func (f *fetches) fetch(_ context.Context, force bool) (wechat.Token, error) {
	f.mu.Lock()
	n := len(f.forced)
	f.forced = append(f.forced, force)
	f.mu.Unlock()
	value, life, err := f.answer(n, force)
	return wechat.Token{Value: wechat.NewSecret(value), ExpiresAt: time.Now().Add(life)}, err
}

func (f *fetches) count() (all, forced int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, force := range f.forced {
		if force {
			forced++
		}
	}
	return len(f.forced), forced
}

func reveal(t *testing.T, s wechat.TokenSource) string {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return token.Value.Reveal()
}

func TestReuseSharesOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fetches{answer: func(n int, _ bool) (string, time.Duration, error) {
			time.Sleep(20 * time.Millisecond)
			return fmt.Sprintf("T%d", n), 2 * time.Hour, nil
		}}
		s := wechat.ReuseTokenSource(f.fetch)
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if got := reveal(t, s); got != "T0" {
					t.Errorf("got %s", got)
				}
			})
		}
		callers.Wait()
		if all, _ := f.count(); all != 1 {
			t.Errorf("%d fetches for 50 callers", all)
		}
		time.Sleep(115*time.Minute - time.Second)
		if got := reveal(t, s); got != "T0" {
			t.Errorf("refreshed too early: %s", got)
		}
		time.Sleep(time.Second)
		if got := reveal(t, s); got != "T1" {
			t.Errorf("five minutes before its end the token is %s", got)
		}
	})
}

func TestReuseWaiterCanGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := wechat.ReuseTokenSource(func(context.Context, bool) (wechat.Token, error) {
			<-release
			return wechat.Token{Value: wechat.NewSecret("T"), ExpiresAt: time.Now().Add(time.Hour)}, nil
		})
		var first sync.WaitGroup
		first.Go(func() { _ = reveal(t, s) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Token: %v", err)
		}
		if err := s.Invalidate(ctx, wechat.Token{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Invalidate: %v", err)
		}
		close(release)
		first.Wait()
	})
}

func TestTok05InvalidateDropsTheStaleTokenOnly(t *testing.T) {
	t.Parallel()
	f := &fetches{answer: func(n int, _ bool) (string, time.Duration, error) { return fmt.Sprintf("T%d", n), time.Hour, nil }}
	s := wechat.ReuseTokenSource(f.fetch)
	stale, err := s.Token(t.Context())
	must(t, err)
	for range 10 {
		must(t, s.Invalidate(t.Context(), stale))
		if got := reveal(t, s); got != "T1" {
			t.Fatalf("got %s", got)
		}
	}
	if all, _ := f.count(); all != 2 {
		t.Errorf("%d fetches: ten refusals of one token are one refresh", all)
	}
}

// WeChat returns the refused token again, so the source forces a refresh: at least
// 30 s apart, at most 20 a day.
func TestTok10ForcedRefreshesKeepWeChatsLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		generation := 0
		f := &fetches{answer: func(_ int, force bool) (string, time.Duration, error) {
			if force {
				generation++
			}
			return fmt.Sprintf("T%d", generation), 2 * time.Hour, nil
		}}
		s := wechat.ReuseTokenSource(f.fetch)
		refuse := func() string {
			stale, err := s.Token(t.Context())
			must(t, err)
			must(t, s.Invalidate(t.Context(), stale))
			return reveal(t, s)
		}
		if got := refuse(); got != "T1" {
			t.Fatalf("after the first refusal: %s", got)
		}
		for range 1000 {
			if got := refuse(); got != "T1" {
				t.Fatalf("forced again at once: %s", got)
			}
			time.Sleep(10 * time.Millisecond)
		}
		for range 3000 { // 25 hours
			refuse()
			time.Sleep(30 * time.Second)
		}
		if _, forced := f.count(); forced < 20 || forced > 40 {
			t.Errorf("%d forced refreshes in 25 hours, want 20 for each of two days", forced)
		}
		if generation > 40 {
			t.Errorf("generation %d", generation)
		}
	})
}

// With a wrong secret there is one fetch for each backoff step, for any number of
// callers.
func TestTok06FailedFetchIsNotRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wrong := &wechat.Error{Op: "/cgi-bin/stable_token", Code: 40125}
		var broken atomic.Bool
		broken.Store(true)
		f := &fetches{answer: func(n int, _ bool) (string, time.Duration, error) {
			if broken.Load() {
				return "", 0, wrong
			}
			return fmt.Sprintf("T%d", n), 2 * time.Hour, nil
		}}
		s := wechat.ReuseTokenSource(f.fetch)
		for range 600 { // one minute
			if _, err := s.Token(t.Context()); !errors.Is(err, wrong) {
				t.Fatalf("got %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if all, _ := f.count(); all != 6 { // at 0, 1, 3, 7, 15, 31 s
			t.Errorf("%d fetches in a minute, want 6", all)
		}
		broken.Store(false)
		time.Sleep(time.Minute)
		before := reveal(t, s)
		// A failed refresh keeps a token that is still valid.
		broken.Store(true)
		time.Sleep(2*time.Hour - time.Minute)
		if got := reveal(t, s); got != before {
			t.Errorf("got %s, want %s until its end", got, before)
		}
		time.Sleep(time.Minute)
		if _, err := s.Token(t.Context()); !errors.Is(err, wrong) {
			t.Errorf("after its end: %v", err)
		}
		// After a success the backoff starts at one second again.
		asked, _ := f.count()
		time.Sleep(3 * time.Second)
		_, _ = s.Token(t.Context())
		if all, _ := f.count(); all != asked+1 {
			t.Errorf("%d fetches in three seconds, want 1", all-asked)
		}
	})
}

func TestReuseKeepsATokenThatExpiresSoonFor30s(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fetches{answer: func(n int, _ bool) (string, time.Duration, error) {
			return fmt.Sprintf("T%d", n), 45 * time.Second, nil
		}}
		s := wechat.ReuseTokenSource(f.fetch)
		for range 29 {
			reveal(t, s)
			time.Sleep(time.Second)
		}
		if all, _ := f.count(); all != 1 {
			t.Errorf("%d fetches in 29 s for a token of 45 s", all)
		}
	})
}

func TestReuseCancelledFetchIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := wechat.ReuseTokenSource(func(asked context.Context, _ bool) (wechat.Token, error) {
		if asked == ctx {
			cancel()
			return wechat.Token{}, asked.Err()
		}
		return wechat.Token{Value: wechat.NewSecret("T"), ExpiresAt: time.Now().Add(time.Hour)}, nil
	})
	if _, err := s.Token(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := reveal(t, s); got != "T" {
		t.Errorf("the next caller got %q", got)
	}
	if _, err := wechat.ReuseTokenSource(nil).Token(t.Context()); err == nil {
		t.Error("no fetch function, no error")
	}
}

func TestStaticTokenNeverChanges(t *testing.T) {
	t.Parallel()
	s := wechat.StaticToken("T")
	token, err := s.Token(t.Context())
	if err != nil || token.Value.Reveal() != "T" || s.Invalidate(t.Context(), token) != nil || reveal(t, s) != "T" {
		t.Errorf("got %v, %v", token, err)
	}
}

func TestFetchersReturnTokenAndExpiry(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"`+canaryToken+`","expires_in":"7200"}`)
	})
	f := newFetcher(t, p)
	source := wechat.ReuseTokenSource(f.FetchStable)
	for range 3 {
		if got := reveal(t, source); got != canaryToken {
			t.Errorf("got %s", got)
		}
	}
	if _, err := f.FetchClassic(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls := p.calls()
	if len(calls) != 2 {
		t.Fatalf("%d calls", len(calls))
	}
	want := `{"grant_type":"client_credential","appid":"wx0123456789abcdef","secret":"` + canarySecret + `","force_refresh":false}`
	if calls[0].body != want || calls[0].method != http.MethodPost {
		t.Errorf("stable: %s %s", calls[0].method, calls[0].body)
	}
	if q := calls[1].query; calls[1].method != http.MethodGet || q["secret"][0] != canarySecret || q["grant_type"][0] != "client_credential" || q["appid"][0] != "wx0123456789abcdef" {
		t.Errorf("classic: %s %v", calls[1].method, q)
	}
	huge := newFetcher(t, answers(t, `{"access_token":"T","expires_in":9223372036854775807}`))
	token, err := huge.FetchStable(t.Context(), false)
	if left := time.Until(token.ExpiresAt); err != nil || left > 24*time.Hour || left < 23*time.Hour {
		t.Errorf("a life beyond reason: %s, %v", left, err)
	}
}
