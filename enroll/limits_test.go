package enroll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/wechat"
)

// from asks h as the client at remote, behind a proxy when forwarded is set.
func from(h http.Handler, method, path, remote, forwarded string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, body)
	r.RemoteAddr = remote
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	out := httptest.NewRecorder()
	h.ServeHTTP(out, r)
	return out
}

func TestRequestsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, settings{change: func(c *enroll.Config) {
			c.RequestsPerMinute = 5
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
		}})
		for _, path := range []string{"/", "/healthz", "/enroll/" + appID, "/enroll/" + appID + "/callback", "/callback/unknown"} {
			if resp := from(w.handler, http.MethodGet, path, "203.0.113.7:1", "", nil); resp.Code == http.StatusTooManyRequests {
				t.Fatalf("%s: limited at once", path)
			}
		}
		for _, path := range []string{"/", "/healthz", "/enroll/" + appID, "/callback/unknown", "/callback/" + appID} {
			resp := from(w.handler, http.MethodGet, path, "203.0.113.7:2", "", nil)
			if resp.Code != http.StatusTooManyRequests || resp.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %d %q", path, resp.Code, resp.Body)
			}
		}
		for remote, forwarded := range map[string]string{"203.0.113.8:1": "", "10.0.0.1:1": "203.0.113.9"} {
			if resp := from(w.handler, http.MethodGet, "/healthz", remote, forwarded, nil); resp.Code != http.StatusOK {
				t.Errorf("another client, %s %s: %d", remote, forwarded, resp.Code)
			}
		}
		if n := w.count(enroll.KindLimited, ""); n != 5 {
			t.Errorf("counted %d times", n)
		}
		time.Sleep(2 * time.Minute) // virtual
		if resp := from(w.handler, http.MethodGet, "/healthz", "203.0.113.7:3", "", nil); resp.Code != http.StatusOK {
			t.Errorf("after two minutes: %d", resp.Code)
		}
	})
}

// A platform pushes thousands a second from a few addresses, and an attacker may
// share one with it behind a proxy that is not named.
func TestSignedPushesAreNeverLimited(t *testing.T) {
	t.Parallel()
	for _, mode := range []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackSecure} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			story(t, settings{mode: mode, change: func(c *enroll.Config) { c.RequestsPerMinute = 10 }, run: true}, func(t *testing.T, w *world) {
				handler := w.handler
				w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					r.RemoteAddr = "203.0.113.7:1"
					handler.ServeHTTP(rw, r)
				})
				w.listen(mode)
				for range 30 {
					q := w.signed()
					q.Set("signature", strings.Repeat("0", 40))
					q.Set("msg_signature", strings.Repeat("0", 40))
					post(w.handler, q, strings.NewReader(text("forged")))
				}
				const pushes = 100
				for range pushes { // in turn: Redis clients of parallel bubbles must not wait for connections
					w.p.Account(appID).Say(openID, "hello")
					synctest.Wait()
				}
				must(t, w.p.Account(appID).VerifyCallback(t.Context()))
				settle()
				if resp := w.get("/healthz", ""); resp.Code != http.StatusTooManyRequests {
					t.Errorf("the address is not spent: %d", resp.Code)
				}
				taken := 0
				for _, p := range w.p.Pushes() {
					if p.Taken && p.Tries == 1 {
						taken++
					}
				}
				if taken != pushes {
					t.Errorf("%d of %d pushes were taken at once", taken, pushes)
				}
			})
		})
	}
}

// Who guesses a Token gets the answers a second late after a hundred, and the
// operator is told.
func TestGuessingATokenIsSlowedAndTold(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		guess := func() {
			q := w.signed()
			q.Set("signature", strings.Repeat("0", 40))
			if resp := post(w.handler, q, strings.NewReader(text("forged"))); resp.Code != http.StatusForbidden {
				t.Errorf("%d %q", resp.Code, resp.Body)
			}
		}
		began := time.Now()
		for range 100 {
			guess()
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the first hundred took %s", took)
		}
		began = time.Now()
		for range 10 {
			guess()
		}
		if took := time.Since(began); took < 10*time.Second {
			t.Errorf("ten more took %s", took)
		}
		began = time.Now()
		var all sync.WaitGroup
		for range 500 { // at once: those that would wait are bounded
			all.Go(guess)
		}
		all.Wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("500 at once took %s", took)
		}
		if n := w.count(enroll.KindRefused, "signature"); n != 610 {
			t.Errorf("counted %d guesses", n)
		}
		if lines := w.logs.FilterMessageSnippet("a Token is being guessed").All(); len(lines) != 1 {
			t.Errorf("%d lines tell of the guesses", len(lines))
		}
	})
}

func TestProxyThatIsNotTrustedIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, settings{change: func(c *enroll.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
		}})
		from(w.handler, http.MethodGet, "/healthz", "10.0.0.1:1", "203.0.113.7", nil)
		if lines := w.logs.FilterMessageSnippet("WXNOTIFY_TRUSTED_PROXIES").All(); len(lines) != 0 {
			t.Errorf("of a trusted proxy: %v", lines)
		}
		for range 3 {
			from(w.handler, http.MethodGet, "/healthz", "10.0.0.2:1", "203.0.113.7", nil)
		}
		if lines := w.logs.FilterMessageSnippet("WXNOTIFY_TRUSTED_PROXIES").All(); len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0].ContextMap()), "10.0.0.2") {
			t.Errorf("%v", lines)
		}
	})
}

// untouched is a body that must not be read before the call is refused.
type untouched struct{ refused func() bool }

func (u untouched) Read([]byte) (int, error) {
	if !u.refused() {
		return 0, errors.New("the body of an unsigned call was read")
	}
	return 0, io.EOF
}

func TestUnsignedBodiesAreNotReadBeforeTheRefusal(t *testing.T) {
	t.Parallel()
	for _, mode := range []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackCompat, wechat.CallbackSecure} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			story(t, settings{mode: mode}, func(t *testing.T, w *world) {
				stale := w.callback.Sign(openID, time.Now().Add(-11*time.Minute))
				stale.Set("msg_signature", stale.Get("signature"))
				unsigned := w.signed()
				unsigned.Del("signature")
				for name, q := range map[string]map[string][]string{"no query": nil, "stale": stale, "unsigned": unsigned} {
					before := w.refusals()
					body := untouched{func() bool { return w.refusals() > before }}
					if resp := post(w.handler, q, body); resp.Code != http.StatusForbidden {
						t.Errorf("%s: %d %q", name, resp.Code, resp.Body)
					}
				}
				q := w.signed()
				q.Set("msg_signature", q.Get("signature"))
				q.Set("encrypt_type", "aes")
				if mode == wechat.CallbackPlain {
					q = w.signed()
				}
				before := w.refusals()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/callback/"+appID+"?"+q.Encode(),
					untouched{func() bool { return w.refusals() > before }})
				r.ContentLength = 64<<10 + 1
				out := httptest.NewRecorder()
				w.handler.ServeHTTP(out, r)
				if out.Code != http.StatusRequestEntityTooLarge {
					t.Errorf("too long by its Content-Length: %d %q", out.Code, out.Body)
				}
				if resp := post(w.handler, q, io.LimitReader(endless{}, 1<<30)); resp.Code != http.StatusRequestEntityTooLarge {
					t.Errorf("without an end: %d %q", resp.Code, resp.Body)
				}
			})
		})
	}
}

// refusals counts the refused calls.
func (w *world) refusals() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if e.Kind == enroll.KindRefused {
			n++
		}
	}
	return n
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
