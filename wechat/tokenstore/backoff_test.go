package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func answer(code wechat.Code, msg string) error {
	return &wechat.Error{Op: "/cgi-bin/stable_token", Code: code, Msg: msg, RID: "61725984-6126f6f9-040f19c4"}
}

// sendFor lets every store try to send each 50 ms for d. It returns the last error.
func sendFor(t *testing.T, d time.Duration, wx *platform, stores ...*tokenstore.Store) (last error) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < d; pass(50 * time.Millisecond) {
		for _, s := range stores {
			asked := time.Now()
			last = deliver(t.Context(), s, wx.send)
			if waited := time.Since(asked); waited > 100*time.Millisecond { // a fetch under way is waited for
				t.Fatalf("a send was held for %v", waited)
			}
		}
	}
	return last
}

func TestTok06WrongSecretStartsABackOff(t *testing.T) {
	t.Parallel()
	for _, code := range []wechat.Code{40001, 40125} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
				f.wx.fail = answer(code, "invalid appsecret")
				a, b, c := f.store(), f.store(), f.store()
				f.run(c) // its background refresh keeps to the same steps
				err := sendFor(t, time.Minute, f.wx, a, b, c)
				var down *tokenstore.UnavailableError
				var e *wechat.Error
				if !errors.As(err, &down) || !errors.As(err, &e) || e.Code != code {
					t.Fatalf("sends end with %v, want an *UnavailableError of %d", err, code)
				}
				if wechat.KindOf(err) != wechat.KindAccount || !contains(err.Error(), down.Remedy) || down.Remedy == "" {
					t.Errorf("%v: want an account error with its remedy", err)
				}
				at := f.wx.fetched
				if len(at) != 6 { // at 0, 1, 3, 7, 15 and 31 s
					t.Errorf("%d token requests in a minute, want 6: %v", len(at), at)
				}
				for i := range at[1:] {
					if gap := at[i+1].Sub(at[i]); gap < time.Second<<i {
						t.Errorf("step %d lasted %v", i+1, gap)
					}
				}
				f.wx.set(func(p *platform) { p.fail = nil })
				if err := sendFor(t, 5*time.Second, f.wx, a, b, c); err != nil {
					t.Errorf("the secret is right again, yet %v", err)
				}
				if st := mustState(t, a); st.LastError != nil || st.Error != "" {
					t.Errorf("state still says %v", st.LastError)
				}
			})
		})
	}
}

// A process that starts with another AppSecret does not wait for the failures of the
// secret before: it asks once, and a failure of its own starts its back-off.
func TestACorrectedSecretIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		with := func(fingerprint string) *tokenstore.Store {
			cfg := f.cfg
			cfg.SecretFingerprint = fingerprint
			return newStore(t, f.rdb, f.wx, cfg)
		}
		f.wx.fail = answer(40125, "invalid appsecret")
		before := with("old")
		_ = sendFor(t, time.Hour, f.wx, before) // the step is ten minutes now
		fetches := f.wx.fetches()
		unavailable(t, with("old"))
		if f.wx.fetches() != fetches {
			t.Error("a process with the same secret asks within the step")
		}
		wrong := with("wrong")
		for range 3 {
			unavailable(t, wrong)
			unavailable(t, before)
		}
		if n := f.wx.fetches() - fetches; n != 1 {
			t.Errorf("two wrong secrets cause %d fetches within the step, want 1", n)
		}
		f.wx.set(func(p *platform) { p.fail = nil })
		mustToken(t, with("right"))
		if e := f.notes.of(tokenstore.EventFetched); len(e) != 1 || !e[0].Recovered {
			t.Errorf("fetched: %+v, want one that tells the recovery", e)
		}
		pass(5 * time.Second) // before reads Redis again
		f.wx.set(func(p *platform) { p.roll() })
		mustInvalidate(t, before, mustToken(t, before))
		mustToken(t, before)
		if e := f.notes.of(tokenstore.EventFetched); len(e) != 2 || e[1].Recovered {
			t.Errorf("fetched: %+v, want a second that tells no recovery", e)
		}
	})
}

func TestTok07WhitelistErrorNamesTheAddress(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		f.wx.fail = answer(40164, "invalid ip 114.221.21.30 ipv6 ::ffff:114.221.21.30, not in whitelist")
		a, b := f.store(), f.store()
		unavailable(t, a)
		unavailable(t, b) // another process, perhaps of another address: it tries once
		err := sendFor(t, 16*time.Minute, f.wx, a, b)
		if err == nil || !contains(err.Error(), "114.221.21.30") {
			t.Errorf("error does not name the address: %v", err)
		}
		if n := f.wx.fetches(); n > 20 { // both at 0, then 10, 30, 70 s, and each minute
			t.Errorf("%d token requests in 16 minutes, want one a minute", n)
		}
		st := mustState(t, b)
		if !contains(st.Remedy, "114.221.21.30") || !contains(st.Error, "40164") || st.RetryAt.Before(time.Now()) {
			t.Errorf("state = %+v", st)
		}
		failed := f.notes.of(tokenstore.EventFailed)
		if len(failed) != f.wx.fetches() || !contains(failed[0].Remedy, "114.221.21.30") {
			t.Errorf("%d alarms, want one per request, with the address", len(failed))
		}
		f.wx.set(func(p *platform) { p.fail = nil })
		if err := sendFor(t, 5*time.Minute, f.wx, a, b); err != nil {
			t.Errorf("listed again, yet %v", err)
		}
	})
}

func TestBackOffStepsByCause(t *testing.T) {
	t.Parallel()
	transport := &wechat.TransportError{Op: "/cgi-bin/stable_token", HTTPStatus: 502, Ambiguous: true, Err: errors.New("HTTP 502")}
	for _, c := range []struct {
		cause       error
		first       time.Duration
		last        time.Duration
		explanation string
	}{
		{answer(-1, "system error"), time.Second, time.Minute, "busy: may end soon"},
		{transport, time.Second, time.Minute, "the network: as busy"},
		{answer(40125, "invalid appsecret"), time.Second, 10 * time.Minute, "an administrator must act"},
		{answer(40243, "appsecret is frozen"), time.Second, 10 * time.Minute, "an administrator must act"},
		{answer(50007, "account frozen"), time.Second, 10 * time.Minute, "an administrator must act"},
		{answer(40164, "invalid ip 1.2.3.4, not in whitelist"), 5 * time.Second, time.Minute, "the console needs some minutes"},
		{answer(61004, "access clientip is not registered"), 5 * time.Second, time.Minute, "as 40164"},
		{answer(45035, "access clientip is not registered"), 5 * time.Second, time.Minute, "as 40164"},
		{answer(89501, "pending"), 10 * time.Minute, 10 * time.Minute, "a person was asked"},
		{answer(89503, "confirm"), 10 * time.Minute, 10 * time.Minute, "a person was asked"},
		{answer(89506, "refused"), 24 * time.Hour, 24 * time.Hour, "documented: 24 h"},
		{answer(89507, "refused"), time.Hour, time.Hour, "documented: 1 h"},
		{answer(45009, "reach max api daily quota limit"), time.Hour, time.Hour, "one probe an hour"},
		{answer(45011, "api minute-quota reach limit"), time.Minute, time.Minute, "next minute"},
		{answer(99999, "new"), time.Second, 5 * time.Minute, "not in the table"},
		{errors.New("of another make"), time.Second, time.Minute, "unknown"},
		{context.DeadlineExceeded, time.Second, time.Minute, "no answer in time"},
	} {
		t.Run(c.cause.Error(), func(t *testing.T) {
			t.Parallel()
			bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
				f.wx.fail = c.cause
				s := f.store()
				for i := range 12 {
					before := f.wx.fetches()
					down := unavailable(t, s)
					if f.wx.fetches() != before+1 {
						t.Fatalf("try %d did not ask WeChat", i)
					}
					wait := time.Until(down.RetryAt)
					if i == 0 && wait != c.first {
						t.Errorf("first step %v, want %v: %s", wait, c.first, c.explanation)
					}
					if i == 11 && wait != c.last {
						t.Errorf("last step %v, want %v: %s", wait, c.last, c.explanation)
					}
					pass(wait - 10*time.Millisecond)
					unavailable(t, s)
					if f.wx.fetches() != before+1 {
						t.Fatalf("try %d asked WeChat again before the step of %v was over", i, wait)
					}
					pass(11 * time.Millisecond)
				}
			})
		})
	}
}

func TestEveryProcessReturnsTheSameCause(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{
		answer(40125, "invalid appsecret"),
		&wechat.TransportError{Op: "/cgi-bin/stable_token", HTTPStatus: 503, Ambiguous: true, Err: errors.New("HTTP 503")},
	} {
		bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
			f.wx.fail = cause
			mine, others := unavailable(t, f.store()), unavailable(t, f.store())
			if mine.Error() != others.Error() || mine.Cause.Error() != cause.Error() {
				t.Errorf("one says %q\nanother %q", mine, others)
			}
			if wechat.Ambiguous(others) != wechat.Ambiguous(cause) || wechat.KindOf(others) != wechat.KindOf(cause) {
				t.Error("the cause lost its meaning on the way through Redis")
			}
		})
	}
}

func TestTokenStaysInUseWhileItsRefreshFails(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		f.run(s)
		token := mustToken(t, s)
		f.wx.set(func(p *platform) { p.fail = answer(-1, "system error") })
		pass(time.Until(token.ExpiresAt) - time.Second)
		if err := deliver(t.Context(), s, f.wx.send); err != nil {
			t.Errorf("the old token is good until its expiry, yet %v", err)
		}
		if st := mustState(t, s); st.Error == "" || st.Fingerprint == "" {
			t.Errorf("state hides the failing refresh: %+v", st)
		}
		pass(2 * time.Second)
		unavailable(t, s)
		f.wx.set(func(p *platform) { p.fail = nil })
		pass(time.Minute + time.Second) // Run fetches again
		before := f.wx.fetches()
		mustToken(t, s)
		if f.wx.fetches() != before {
			t.Error("a send had to fetch although Run was there to recover")
		}
	})
}

func TestFetcherWithoutTokenIsAFailure(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s := newStore(t, f.rdb, emptyFetcher{}, f.cfg)
		for range 2 { // from the fetch, then from Redis
			if down := unavailable(t, s); !errors.Is(down, tokenstore.ErrEmpty) {
				t.Errorf("got %v, want ErrEmpty", down)
			}
		}
	})
}

type emptyFetcher struct{}

func (emptyFetcher) FetchClassic(context.Context) (wechat.Token, error) { return wechat.Token{}, nil }
func (emptyFetcher) FetchStable(context.Context, bool) (wechat.Token, error) {
	return wechat.Token{}, nil
}
