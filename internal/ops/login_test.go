package ops_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"golang.org/x/crypto/bcrypt"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/wechat"
)

// hashOf is what `htpasswd -nB` prints.
func hashOf(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	must(t, err)
	return string(hash)
}

func TestLoginIsRequiredForEverythingButHealth(t *testing.T) {
	t.Parallel()
	hash := hashOf(t, "correct horse")
	rdb, _ := backlog(t, "one")
	b := serve(t, rdb, func(c *ops.Config) {
		c.Addr = "0.0.0.0:9090"
		c.Logins = []ops.Login{{Name: "li", Password: wechat.NewSecret(hash)}, {Name: "wang", Password: wechat.NewSecret("pa:ss 密码")}}
		c.Checks = []ops.Check{{Name: "redis", Run: func(context.Context) error { return lastError() }}}
	})
	login := func(name, password string) []string {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		req.SetBasicAuth(name, password)
		return []string{"Authorization", req.Header.Get("Authorization")}
	}
	table := []struct {
		explanation, path string
		header            []string
		status            int
	}{
		{"liveness without a login", "/healthz", nil, http.StatusOK},
		{"readiness without a login", "/readyz", nil, http.StatusServiceUnavailable},
		{"the page without a login", "/", nil, http.StatusUnauthorized},
		{"metrics without a login", "/metrics", nil, http.StatusUnauthorized},
		{"asynqmon without a login", "/asynqmon/", nil, http.StatusUnauthorized},
		{"asynqmon's API without a login", "/asynqmon/api/queues", nil, http.StatusUnauthorized},
		{"an unknown path without a login", "/nothing", nil, http.StatusUnauthorized},
		{"a hash", "/", login("li", "correct horse"), http.StatusOK},
		{"a hash again, remembered", "/asynqmon/api/queues", login("li", "correct horse"), http.StatusOK},
		{"a password with a colon", "/metrics", login("wang", "pa:ss 密码"), http.StatusOK},
		{"the hash itself", "/", login("li", hash), http.StatusUnauthorized},
		{"another's password", "/", login("li", "pa:ss 密码"), http.StatusUnauthorized},
		{"an unknown name", "/", login("zhao", "correct horse"), http.StatusUnauthorized},
		{"no password", "/", login("wang", ""), http.StatusUnauthorized},
		{"not basic", "/", []string{"Authorization", "Bearer x"}, http.StatusUnauthorized},
	}
	for _, row := range table {
		r := b.get(t, row.path, row.header...)
		if r.status != row.status {
			t.Errorf("%s: %d %s, want %d", row.explanation, r.status, r.body, row.status)
		}
		if row.status == http.StatusUnauthorized && !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: no challenge", row.explanation)
		}
	}
	if body := b.get(t, "/readyz").body; body != "redis: failed\nclock: ok\npersistence: warning\neviction: ok\nmemory: ok\nnot ready\n" {
		t.Errorf("readiness without a login: %q", body)
	}
	if body := b.get(t, "/readyz", login("wang", "pa:ss 密码")...).body; !strings.Contains(body, "40003") || leaks(body) != nil {
		t.Errorf("readiness with a login: %q", body)
	}
	status := 0
	for range 60 { // from an address that an admin uses
		status = b.get(t, "/", login("wang", "guess")...).status
	}
	if r := b.get(t, "/", login("li", "guess")...); status != http.StatusTooManyRequests || r.status != status || r.header.Get("Retry-After") == "" {
		t.Errorf("after 60 failures: %d, %d", status, r.status)
	}
	if r := b.get(t, "/", login("wang", "pa:ss 密码")...); r.status != http.StatusOK {
		t.Errorf("a verified login is refused after the failures of others: %d", r.status)
	}
}

func TestNewListsAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	good := []ops.Login{{Name: "li", Password: wechat.NewSecret("x")}}
	table := []struct {
		explanation string
		cfg         ops.Config
		says        []string
	}{
		{"everything missing", ops.Config{}, []string{"Redis: is required", "Addr: "}},
		{"all addresses, no login", ops.Config{Redis: rdb, Addr: ":9090"}, []string{"there is no login", "WXNOTIFY_OPS_LOGIN", "127.0.0.1"}},
		{"a public address, no login", ops.Config{Redis: rdb, Addr: "10.0.0.5:9090"}, []string{"there is no login"}},
		{"IPv6 of all addresses, no login", ops.Config{Redis: rdb, Addr: "[::]:9090"}, []string{"there is no login"}},
		{"bad logins", ops.Config{Redis: rdb, Addr: ":9090", Logins: []ops.Login{
			{Name: "a:b", Password: wechat.NewSecret("x")}, {Name: "c"}, {Name: "d", Password: wechat.NewSecret("$2a$CANARY")}, good[0], good[0],
		}}, []string{"has a colon", "c has no password", "bcrypt", "listed twice"}},
		{"bad hosts and checks", ops.Config{Redis: rdb, Addr: "127.0.0.1:1", Hosts: []string{"https://x/"}, Checks: []ops.Check{{}}}, []string{"Hosts[0]", "Checks[0]"}},
		{"a check's name that holds an appid", ops.Config{Redis: rdb, Addr: "127.0.0.1:1", Checks: []ops.Check{{Name: "worker " + account, Run: func(context.Context) error { return nil }}}}, []string{"Checks[0]", "Account"}},
		{"loopback", ops.Config{Redis: rdb, Addr: "127.0.0.1:9090"}, nil},
		{"loopback of IPv6", ops.Config{Redis: rdb, Addr: "[::1]:9090"}, nil},
		{"loopback by name", ops.Config{Redis: rdb, Addr: "localhost:0"}, nil},
		{"all addresses with a login", ops.Config{Redis: rdb, Addr: ":9090", Logins: good}, nil},
	}
	for _, row := range table {
		_, err := ops.New(row.cfg)
		if (err == nil) != (row.says == nil) {
			t.Errorf("%s: %v", row.explanation, err)
		}
		for _, want := range row.says {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: %v lacks %q", row.explanation, err, want)
			}
		}
		if strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: the error shows a password", row.explanation)
		}
	}
}

// DNS rebinding: a foreign name that resolves to the loopback is not answered.
func TestHostHeaderMustNameTheListener(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	login := []ops.Login{{Name: "li", Password: wechat.NewSecret("x")}}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	req.SetBasicAuth("li", "x")
	auth := req.Header.Get("Authorization")
	for _, row := range []struct {
		explanation, host string
		change            func(*ops.Config)
		status            int
	}{
		{"loopback", "127.0.0.1:9090", nil, http.StatusOK},
		{"loopback of IPv6", "[::1]:9090", nil, http.StatusOK},
		{"loopback by name", "LOCALHOST.:9090", nil, http.StatusOK},
		{"a foreign name", "evil.example", nil, http.StatusMisdirectedRequest},
		{"a name that begins like ours", "127.0.0.1.evil.example", nil, http.StatusMisdirectedRequest},
		{"a configured name", "ops.example.com", func(c *ops.Config) { c.Hosts = []string{"ops.example.com:443"} }, http.StatusOK},
		{"another name than the configured one", "evil.example", func(c *ops.Config) { c.Hosts = []string{"ops.example.com"} }, http.StatusMisdirectedRequest},
		{"any name with a login", "anything.example", func(c *ops.Config) { c.Logins = login }, http.StatusOK},
		{"another name than the configured one, with a login", "evil.example", func(c *ops.Config) {
			c.Logins, c.Hosts = login, []string{"ops.example.com"}
		}, http.StatusMisdirectedRequest},
	} {
		b := serve(t, rdb, row.change)
		for _, path := range []string{"/", "/metrics", "/asynqmon/", "/asynqmon/api/queues"} {
			if r := b.get(t, path, "Host", row.host, "Authorization", auth); r.status != row.status {
				t.Errorf("%s, %s: %d %.100s, want %d", row.explanation, path, r.status, r.body, row.status)
			}
		}
		if r := b.get(t, "/healthz", "Host", row.host); r.status != http.StatusOK {
			t.Errorf("%s: healthz is %d", row.explanation, r.status)
		}
	}
}

// The limit of failures holds for concurrent guesses too.
func TestConcurrentGuessesAreLimited(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	hash := hashOf(t, "correct horse")
	h, err := ops.New(ops.Config{Redis: rdb, Addr: ":9090", Logins: []ops.Login{{Name: "li", Password: wechat.NewSecret(hash)}}})
	must(t, err)
	const guesses = 40
	var verified, refused atomic.Int64
	var all sync.WaitGroup
	for range guesses {
		all.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/nothing", http.NoBody)
			r.SetBasicAuth("li", "guess")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch w.Code {
			case http.StatusUnauthorized:
				verified.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	// Five failures are allowed; a sixth guess may be verified beside the fifth.
	if verified.Load() > 6 || verified.Load()+refused.Load() != guesses {
		t.Errorf("%d of %d guesses were verified, %d refused; want at most 6 verified", verified.Load(), guesses, refused.Load())
	}
}
