package wechattest_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// try sends a fresh message with this token and returns the errcode.
func (b *bench) try(token string) wechat.Code {
	b.Helper()
	b.token = token
	return b.send(order(openid, "")).code()
}

func TestClassicTokenSupersedesThePreviousAfterFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		first := b.fetchClassic()
		if first.num("expires_in") != 7200 {
			t.Fatalf("expires_in = %v, want 7200", first["expires_in"])
		}
		old := first.str("access_token")
		time.Sleep(time.Hour)
		next := b.fetchClassic().str("access_token")
		if next == old {
			t.Fatal("a second fetch gave the same token")
		}
		time.Sleep(5*time.Minute - time.Second)
		if code := b.try(old); code != 0 {
			t.Errorf("old token inside the five minutes: %d, want 0", code)
		}
		time.Sleep(time.Second)
		if code := b.try(old); code != 40001 {
			t.Errorf("old token after five minutes: %d, want 40001", code)
		}
		time.Sleep(2*time.Hour - 5*time.Minute - time.Second)
		if code := b.try(next); code != 0 {
			t.Errorf("token a second before its end: %d, want 0", code)
		}
		time.Sleep(time.Second)
		if code := b.try(next); code != 42001 {
			t.Errorf("token after 7200 s: %d, want 42001", code)
		}
	})
}

func TestStableTokenIsReplacedFiveMinutesBeforeExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		old := b.token
		time.Sleep(7200*time.Second - 5*time.Minute - time.Second)
		r := b.fetchStable(false)
		if r.str("access_token") != old || r.num("expires_in") != 301 {
			t.Fatalf("five minutes and a second before the end: another token, or expires_in %d, want 301", r.num("expires_in"))
		}
		time.Sleep(time.Second)
		next := b.fetchStable(false)
		if next.str("access_token") == old || next.num("expires_in") != 7200 {
			t.Fatalf("five minutes before the end: want a new token for 7200 s, got %d", next.num("expires_in"))
		}
		if code := b.try(old); code != 0 {
			t.Errorf("old token during the change-over: %d, want 0", code)
		}
		time.Sleep(5 * time.Minute)
		if code := b.try(old); code != 42001 {
			t.Errorf("old token after its end: %d, want 42001", code)
		}
	})
}

func TestStableAndClassicTokensAreIndependent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		stable, classic := b.token, b.fetchClassic().str("access_token")
		b.fetchClassic()
		b.fetchStable(true)
		if code := b.try(stable); code != 0 {
			t.Errorf("stable token right after a forced refresh: %d, want 0", code)
		}
		time.Sleep(5 * time.Minute)
		if code := b.try(stable); code != 40001 {
			t.Errorf("stable token after a forced refresh: %d, want 40001", code)
		}
		if code := b.try(b.fetchStable(false).str("access_token")); code != 0 {
			t.Errorf("new stable token: %d, want 0", code)
		}
		if code := b.try(classic); code != 40001 {
			t.Errorf("superseded classic token: %d, want 40001", code)
		}
	})
}

func TestForceRefreshIsLimitedTo20ADay30sApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		for i := range 20 {
			before := b.fetchStable(false).str("access_token")
			r := b.fetchStable(true)
			if r.code() != 0 || r.str("access_token") == before {
				t.Fatalf("force %d: %v, want another token", i, r)
			}
			time.Sleep(29 * time.Second)
			if again := b.fetchStable(true); again.code() != 0 || again.str("access_token") != r.str("access_token") {
				t.Fatalf("force %d, again after 29 s: %v, want the same token", i, again)
			}
			time.Sleep(time.Second)
		}
		if r := b.fetchStable(true); r.code() != 45009 {
			t.Fatalf("21st force of the day: %v, want 45009", r)
		}
		time.Sleep(16 * time.Hour) // bubbles start at 08:00 in China
		if r := b.fetchStable(true); r.code() != 0 {
			t.Fatalf("after midnight in China: %v, want a token", r)
		}
	})
}

func TestTwoForcedRefreshesEndALeakedToken(t *testing.T) {
	t.Parallel()
	for name, endsAtOnce := range map[string]bool{"one leaves it alive": false, "one ends it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, wechattest.Config{ForceEndsToken: endsAtOnce})
				leaked := b.token
				b.fetchStable(true)
				if code := b.try(leaked); code != map[bool]wechat.Code{false: 0, true: 40001}[endsAtOnce] {
					t.Errorf("after one forced refresh: %d", code)
				}
				time.Sleep(29 * time.Second)
				b.fetchStable(true) // too soon: does nothing
				if code := b.try(leaked); !endsAtOnce && code != 0 {
					t.Errorf("after a second one within 30 s: %d, want 0", code)
				}
				time.Sleep(time.Second)
				now := b.fetchStable(true).str("access_token")
				if code := b.try(leaked); code != 40001 {
					t.Errorf("after two of them 30 s apart: %d, want 40001", code)
				}
				if code := b.try(now); code != 0 {
					t.Errorf("the newest token: %d, want 0", code)
				}
			})
		})
	}
}

// WeChat's tokens have 300 s left at least.
func TestTokensHaveFiveMinutesLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		for range 1000 {
			time.Sleep(7*time.Second + 300*time.Millisecond)
			for _, r := range []reply{b.fetchStable(false), b.fetchStable(true), b.fetchClassic()} {
				if r.code() == 0 && r.num("expires_in") < 300 {
					t.Fatalf("expires_in %d", r.num("expires_in"))
				}
			}
		}
	})
}

func TestKilledAndRefusedTokensAnswer40001(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		old := b.token
		b.p.KillTokens()
		if code := b.try(old); code != 40001 {
			t.Errorf("killed token: %d, want 40001", code)
		}
		fresh := b.fetchStable(false).str("access_token")
		if code := b.try(fresh); code != 0 {
			t.Errorf("token fetched after the kill: %d, want 0", code)
		}
		b.a.RefuseStableToken()
		if same := b.fetchStable(false).str("access_token"); same != fresh {
			t.Error("a refused token must still be handed out")
		}
		if code := b.try(fresh); code != 40001 {
			t.Errorf("refused token: %d, want 40001", code)
		}
		if code := b.try(b.fetchStable(true).str("access_token")); code != 0 {
			t.Errorf("after a forced refresh: %d, want 0", code)
		}
	})
}

func TestTokenEndpointsRefuse(t *testing.T) {
	t.Parallel()
	const stable = wechattest.StableTokenPath
	ok := url.Values{"grant_type": {"client_credential"}, "appid": {wechattest.AppID}, "secret": {wechattest.AppSecret}}
	with := func(key, value string) url.Values {
		q := url.Values{}
		maps.Copy(q, ok)
		q.Set(key, value)
		return q
	}
	tests := []struct {
		name, method, path string
		query              url.Values
		body               string
		prepare            func(*wechattest.Account)
		want               wechat.Code
		text               string
	}{
		{name: "appid missing", method: "GET", query: with("appid", ""), want: 41002},
		{name: "secret missing", method: "GET", query: with("secret", ""), want: 41004},
		{name: "unknown appid", method: "GET", query: with("appid", "wx0"), want: 40013, text: "invalid appid"},
		{name: "wrong secret", method: "GET", query: with("secret", "no"), want: 40125},
		{name: "grant type", method: "GET", query: with("grant_type", "x"), want: 40002},
		{name: "post", method: "POST", query: ok, want: 43001},
		{name: "stable by get", method: "GET", path: stable, want: 43002},
		{name: "stable without body", method: "POST", path: stable, want: 44002},
		{name: "stable bad json", method: "POST", path: stable, body: "{", want: 47001},
		{name: "secret changed", method: "GET", query: ok, want: 40125, prepare: func(a *wechattest.Account) {
			a.SetSecret(wechat.NewSecret("another"))
		}},
		{
			name: "ip", method: "GET", query: ok, want: 40164, text: "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: ",
			prepare: func(a *wechattest.Account) { a.SetAllowedIPs("114.221.21.30") },
		},
		{name: "frozen secret", method: "GET", query: ok, want: 40243, prepare: func(a *wechattest.Account) { a.FreezeTokens(40243) }},
		{name: "2000 a day", method: "GET", query: ok, want: 45009, prepare: func(a *wechattest.Account) {
			a.SetPathQuota(wechattest.TokenPath, 0)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, wechattest.Config{})
			if tt.prepare != nil {
				tt.prepare(b.a)
			}
			if tt.path == "" {
				tt.path = wechattest.TokenPath
			}
			r := b.call(tt.method, tt.path, tt.query, tt.body)
			if r.code() != tt.want || !strings.Contains(r.msg(), tt.text) || r.str("access_token") != "" {
				t.Fatalf("answer = %v, want errcode %d and %q", r, tt.want, tt.text)
			}
		})
	}
}

func TestTokenChecksAreInWeChatsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for _, tt := range []struct {
		method, token string
		want          wechat.Code
	}{
		{"GET", "", 43002},
		{"POST", "", 41001},
		{"POST", "made-up", 40014},
	} {
		q := url.Values{}
		if tt.token != "" {
			q.Set("access_token", tt.token)
		}
		if r := b.call(tt.method, wechattest.SendPath, q, order(openid, "")); r.code() != tt.want {
			t.Errorf("%s with token %q: %v, want %d", tt.method, tt.token, r, tt.want)
		}
	}
	if n := b.a.Used(); n != 0 {
		t.Errorf("used = %d after calls that failed the token check, want 0", n)
	}
}

func TestTokenFetchesCountsReturnedTokens(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.fetchClassic()
	b.fetchStable(false)
	b.p.Script(wechattest.Errcode(-1).On(wechattest.StableTokenPath))
	b.fetchStable(false)
	if n, calls := b.p.TokenFetches(), b.p.Calls(wechattest.StableTokenPath); n != 3 || calls.Total != 3 || calls.ByCode[-1] != 1 {
		t.Fatalf("fetches = %d, stable calls = %+v; want 3 fetches and 3 calls, one of them -1", n, calls)
	}
}
