package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
)

func TestEveryOperationNeedsAKeyWithItsScope(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, op := range []struct{ method, path, body, scope string }{
		{"POST", "/v1/messages", body, "send"},
		{"POST", "/v1/messages:validate", body, "send"},
		{"GET", "/v1/messages/x", "", "read"},
		{"DELETE", "/v1/messages/x", "", "send"},
		{"POST", "/v1/enroll-links", `{"user":"u"}`, "enroll"},
		{"GET", "/v1/users/u", "", "read"},
		{"POST", "/v1/users/u:unbind", "", "enroll"},
		{"DELETE", "/v1/users/u", "", "erase"},
		{"GET", "/v1/accounts/" + appid, "", "read"},
		{"GET", "/v1/templates", "", "read"},
		{"GET", "/v1/messages", "", "read"},
	} {
		none := want(t, s.call(t, op.method, op.path, "", op.body), http.StatusUnauthorized)
		if none.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: no WWW-Authenticate", op.method, op.path)
		}
		others := s.key(t, appid, func(k *apikey.Key) {
			k.Scopes = nil
			for _, scope := range apikey.Scopes() {
				if string(scope) != op.scope {
					k.Scopes = append(k.Scopes, scope)
				}
			}
		})
		if a := want(t, s.call(t, op.method, op.path, others, op.body), http.StatusForbidden); a.code(t) != "scope-missing" {
			t.Errorf("%s %s without %s: %s", op.method, op.path, op.scope, a.Body)
		}
		only := s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Scope(op.scope)} })
		if a := s.call(t, op.method, op.path, only, op.body); a.Status == 401 || a.Status == 403 {
			t.Errorf("%s %s with %s alone: %d", op.method, op.path, op.scope, a.Status)
		}
	}
}

func TestAKeyReachesItsAccountAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	mine, theirs := s.key(t, appid, nil), s.key(t, other, nil)
	want(t, s.call(t, "POST", "/v1/messages", mine, body), http.StatusAccepted)
	want(t, s.call(t, "GET", "/v1/messages/order-1", theirs, ""), http.StatusNotFound)
	want(t, s.call(t, "DELETE", "/v1/messages/order-1", theirs, ""), http.StatusNotFound)
	if a := want(t, s.call(t, "GET", "/v1/messages", theirs, ""), http.StatusOK); bytes.Contains(a.Body, []byte("order-1")) {
		t.Errorf("the list of another account: %s", a.Body)
	}
	if a := want(t, s.call(t, "GET", "/v1/accounts/"+appid, theirs, ""), http.StatusForbidden); a.code(t) != "account-forbidden" {
		t.Errorf("code %s", a.code(t))
	}
	named := strings.Replace(message("m2"), `{"id"`, `{"account":"`+appid+`","id"`, 1)
	want(t, s.call(t, "POST", "/v1/messages", theirs, named), http.StatusForbidden)
	want(t, s.call(t, "POST", "/v1/messages", mine, named), http.StatusAccepted)
	want(t, s.call(t, "POST", "/v1/enroll-links", theirs, `{"user":"u","account":"`+appid+`"}`), http.StatusForbidden)
}

func TestKeysAreInNoLogAndNoAnswer(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	wrong := secret[:len(secret)-2] + "AA"
	for _, call := range []struct{ method, path, secret, body string }{
		{"POST", "/v1/messages", secret, body},
		{"POST", "/v1/messages", wrong, body},
		{"GET", "/v1/messages/" + secret, secret, ""},
		{"POST", "/v1/messages", secret, `{"` + secret + `":1}`},
		{"GET", "/nope", secret, ""},
		{"PUT", "/v1/messages", secret, ""},
	} {
		a := s.call(t, call.method, call.path, call.secret, call.body)
		if bytes.Contains(a.Body, []byte(secret[9:])) {
			t.Errorf("%s %s answers with the key: %s", call.method, call.path, a.Body)
		}
	}
	if s.logs.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	for _, line := range s.logs.All() {
		text := fmt.Sprint(line.Message, line.ContextMap())
		for _, bad := range []string{secret[9:], wrong[9:], "oABCDEFGHIJKLMNOPQRSTUVWXYZ1"} {
			if strings.Contains(text, bad) {
				t.Errorf("the log has %s: %s", bad, text)
			}
		}
	}
}

func TestGuessingKeysIsSlowed(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret, working := s.key(t, appid, nil), s.key(t, appid, nil)
	want(t, s.call(t, "GET", "/v1/templates", working, ""), http.StatusOK)
	last := 0
	for i := range 25 {
		last = s.call(t, "GET", "/v1/templates", fmt.Sprintf("wxn_live_aaaaaaaaaa_%026d", i), "").Status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the 25th guess: %d", last)
	}
	if a := want(t, s.call(t, "GET", "/v1/templates", secret, ""), http.StatusTooManyRequests); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	want(t, s.call(t, "GET", "/v1/templates", working, ""), http.StatusOK) // of a program at the same address
}

func TestAKeyHasARate(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, func(k *apikey.Key) { k.Rate = 3 })
	limited := false
	for range 8 {
		a := s.call(t, "GET", "/v1/templates", secret, "")
		if a.Header.Get("RateLimit-Limit") != "3" {
			t.Errorf("RateLimit-Limit %q", a.Header.Get("RateLimit-Limit"))
		}
		limited = limited || a.Status == http.StatusTooManyRequests && a.Header.Get("Retry-After") != ""
	}
	if !limited {
		t.Error("8 calls at once passed a rate of 3 a second")
	}
}

func TestOddRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	large := `{"id":"` + strings.Repeat("x", 9<<20) + `"}`
	want(t, s.call(t, "POST", "/v1/messages", secret, large), http.StatusRequestEntityTooLarge)
	want(t, s.call(t, "POST", "/v1/messages", secret, body, header{"Content-Type": "text/plain"}), http.StatusUnsupportedMediaType)
	want(t, s.call(t, "POST", "/v1/messages", secret, body, header{"Authorization": "Basic " + secret}), http.StatusUnauthorized)
	want(t, s.call(t, "GET", "/v1/nothing", secret, ""), http.StatusNotFound)
	wrong := want(t, s.call(t, "PATCH", "/v1/messages/x", secret, ""), http.StatusMethodNotAllowed)
	if got := wrong.Header.Values("Allow"); len(got) != 2 {
		t.Errorf("Allow %v", got)
	}
	want(t, s.call(t, "POST", "/v1/messages", secret, body, header{"Idempotency-Key": strings.Repeat("k", 200)}), http.StatusBadRequest)
	a := s.call(t, "POST", "/v1/messages", secret, body, header{"X-Request-Id": "evil\r\nid"})
	if id := a.Header.Get("X-Request-Id"); id == "" || strings.Contains(id, "evil") {
		t.Errorf("request id %q", id)
	}
	if a := s.call(t, "POST", "/v1/messages", secret, body, header{"X-Request-Id": "trace-7"}); a.Header.Get("X-Request-Id") != "trace-7" {
		t.Errorf("request id %q", a.Header.Get("X-Request-Id"))
	}
}

func TestProblemsSpeakTheLanguageOfTheCaller(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for accept, title := range map[string]string{
		"": "The API key is missing or unknown", "zh-CN,zh;q=0.9,en;q=0.5": "缺少 API 密钥或密钥无效",
		"en-GB, zh": "The API key is missing or unknown", "fr, zh": "缺少 API 密钥或密钥无效", "zh;q=0.1, en": "The API key is missing or unknown",
	} {
		a := want(t, s.call(t, "GET", "/v1/templates", "", "", header{"Accept-Language": accept}), http.StatusUnauthorized)
		if got := a.get(t, "title"); got != title {
			t.Errorf("%q: %v", accept, got)
		}
		if a.Header.Get("Content-Type") != "application/problem+json" || a.get(t, "request_id") != a.Header.Get("X-Request-Id") {
			t.Errorf("%v %s", a.Header, a.Body)
		}
	}
}

func TestRedisAwayIsAProblemToRetry(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	want(t, s.call(t, "GET", "/v1/templates", secret, ""), http.StatusOK)
	_ = s.rdb.Close()
	a := want(t, s.call(t, "POST", "/v1/messages", secret, body), http.StatusServiceUnavailable)
	if a.code(t) != "redis-unavailable" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s", a.Body)
	}
	want(t, s.call(t, "GET", "/healthz", "", ""), http.StatusServiceUnavailable)
}

func TestASlowBodyEndsWithTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		secret := s.key(t, appid, nil)
		server, client := net.Pipe()
		ln := &oneConn{conn: server, done: make(chan struct{})}
		srv := &http.Server{Handler: s.handler, ReadTimeout: 10 * time.Second}
		go func() { _ = srv.Serve(ln) }()
		go func() {
			_, _ = fmt.Fprintf(client, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", secret)
		}()
		text, _ := io.ReadAll(client)
		if !bytes.Contains(text, []byte(" 400 ")) && !bytes.Contains(text, []byte(" 503 ")) {
			t.Errorf("answer: %s", text)
		}
		close(ln.done)
		_ = srv.Close()
	})
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func TestAPanicEndsTheCallAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/messages", io.NopCloser(panicBody{}))
	r.Header.Set("Authorization", "Bearer "+s.key(t, appid, nil))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type panicBody struct{}

func (panicBody) Read([]byte) (int, error) { panic("boom") }
