package wechattest_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	authorizePath = "/connect/oauth2/authorize?"
	back          = "redirect_uri=https%3A%2F%2Fshop.test%2Fback%3Fa%3D1"
	authorizeBase = "appid=" + wechattest.AppID + "&" + back + "&response_type=code&scope=snsapi_base&state=S1"
)

// visit opens the authorization page. It posts form unless it is nil.
func (b *bench) visit(query string, form url.Values, cookie *http.Cookie) (*http.Response, string) {
	b.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	req, err := http.NewRequestWithContext(b.Context(), method, b.p.BaseURL()+authorizePath+query, strings.NewReader(body))
	must(b, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != nil {
		req.AddCookie(cookie)
	}
	resp, err := b.p.Client().Do(req)
	must(b, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(b, err)
	return resp, string(text)
}

func (b *bench) exchange(code string) reply {
	b.Helper()
	return b.call(http.MethodGet, wechattest.OAuthTokenPath, url.Values{
		"appid": {wechattest.AppID}, "secret": {wechattest.AppSecret}, "code": {code}, "grant_type": {"authorization_code"},
	}, "")
}

func TestBaseScopeRedirectsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	resp, _ := b.visit(authorizeBase, nil, nil)
	to, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusFound || to.Host != "shop.test" || to.Query().Get("a") != "1" ||
		to.Query().Get("state") != "S1" {
		t.Fatalf("status %d to %v, want a redirect to the shop with state", resp.StatusCode, to)
	}
	first := b.exchange(to.Query().Get("code"))
	if !strings.HasPrefix(first.str("openid"), "o") || len(first.str("openid")) != 28 || first.str("scope") != "snsapi_base" {
		t.Fatalf("exchange: %v", first)
	}
	again, _ := b.visit(authorizeBase, nil, resp.Cookies()[0])
	to, _ = again.Location()
	if second := b.exchange(to.Query().Get("code")); second.str("openid") != first.str("openid") {
		t.Errorf("the same browser got another openid: %v", second)
	}
	chosen, _ := b.visit(authorizeBase, nil, &http.Cookie{Name: wechattest.PersonCookie, Value: openid})
	to, _ = chosen.Location()
	if r := b.exchange(to.Query().Get("code")); r.str("openid") != openid {
		t.Errorf("openid = %v, want the cookie's", r)
	}
}

func TestOau10AuthorizeRequiresWeChatsOrder(t *testing.T) {
	t.Parallel()
	id := "appid=" + wechattest.AppID
	accounts := []wechattest.AccountConfig{{AppID: wechattest.AppID, OAuthDomain: "shop.test"}}
	for _, tt := range []struct{ name, query, want string }{
		{"order", authorizeBase, ""},
		{"no state", id + "&" + back + "&response_type=code&scope=snsapi_base", ""},
		{"forcePopup at the end", authorizeBase + "&forcePopup=true", ""},
		{"128 of state", authorizeBase + strings.Repeat("x", 126), ""},
		{"129 of state", authorizeBase + strings.Repeat("x", 127), "10016"},
		{"state with a dash", authorizeBase + "-", "10016"},
		{"sorted otherwise", back + "&" + id + "&response_type=code&scope=snsapi_base", "10016"},
		{"forcePopup before redirect_uri", id + "&forcePopup=true&" + back + "&response_type=code&scope=snsapi_base", "10016"},
		{"unknown parameter", authorizeBase + "&x=1", "10016"},
		{"unknown scope", id + "&" + back + "&response_type=code&scope=login", "10016"},
		{"no appid", back + "&response_type=code&scope=snsapi_base", "10012"},
		{"no redirect_uri", id + "&response_type=code&scope=snsapi_base", "10011"},
		{"no scope", id + "&" + back + "&response_type=code", "10010"},
		{"unknown appid", strings.Replace(authorizeBase, wechattest.AppID, "wx0", 1), "10012"},
		{"another domain", strings.Replace(authorizeBase, "shop.test", "evil.test", 1), "10003"},
		{"a sub-domain", strings.Replace(authorizeBase, "shop.test", "www.shop.test", 1), "10003"},
		{"another port", strings.Replace(authorizeBase, "shop.test", "shop.test%3A8443", 1), ""},
		{"javascript", id + "&redirect_uri=javascript%3Aalert(1)&response_type=code&scope=snsapi_base", "10003"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, wechattest.Config{Accounts: accounts})
			resp, page := b.visit(tt.query, nil, nil)
			if tt.want == "" && resp.StatusCode != http.StatusFound {
				t.Errorf("status %d, want a redirect: %s", resp.StatusCode, page)
			}
			if tt.want != "" && (resp.StatusCode != http.StatusBadRequest || !strings.Contains(page, tt.want)) {
				t.Errorf("status %d, want 400 and the number %s: %s", resp.StatusCode, tt.want, page)
			}
		})
	}
}

func TestUserInfoScopeAsksForConsent(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{UnionIDs: true})
	query := strings.Replace(authorizeBase, "snsapi_base", "snsapi_userinfo", 1)
	resp, page := b.visit(query, nil, nil)
	if resp.StatusCode != http.StatusOK || !strings.Contains(page, "shop.test") || strings.Contains(page, "<script") {
		t.Fatalf("status %d: %s", resp.StatusCode, page)
	}
	denied, _ := b.visit(query, url.Values{"deny": {"1"}, "openid": {openid}}, nil)
	if to, _ := denied.Location(); to.Query().Has("code") || to.Query().Get("state") != "S1" {
		t.Errorf("denied: redirect to %v, want state and no code", to)
	}
	allowed, _ := b.visit(query, url.Values{"allow": {"1"}, "openid": {openid}}, nil)
	to, _ := allowed.Location()
	r := b.exchange(to.Query().Get("code"))
	if r.str("openid") != openid || r.str("scope") != "snsapi_userinfo" || r.str("unionid") == "" {
		t.Fatalf("exchange: %v", r)
	}
	user := b.call("GET", "/sns/userinfo", url.Values{"access_token": {r.str("access_token")}, "openid": {openid}}, "")
	if user.str("openid") != openid || user.str("nickname") == "" {
		t.Errorf("userinfo: %v", user)
	}
}

func TestOAuthCodesAreValidOnceForFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID}, {AppID: "wxB"}}})
		used, late, just := b.a.OAuthCode(openid, "snsapi_base"), b.a.OAuthCode(openid, "snsapi_base"), b.a.OAuthCode(openid, "snsapi_base")
		other := b.p.Account("wxB").OAuthCode(openid, "snsapi_base")
		expect := func(what, code string, want wechat.Code) {
			t.Helper()
			if r := b.exchange(code); r.code() != want {
				t.Errorf("%s: %v, want %d", what, r, want)
			}
		}
		expect("first use", used, 0)
		expect("second use", used, 40163)
		if r := b.exchange(used); !strings.HasPrefix(r.msg(), "code been used, rid: ") {
			t.Errorf("errmsg = %q", r.msg())
		}
		expect("unknown", "x", 40029)
		expect("missing", "", 41008)
		expect("another account's", other, 40029)
		time.Sleep(5*time.Minute - time.Second)
		expect("a second before its end", just, 0)
		time.Sleep(time.Second)
		expect("after five minutes", late, 42003)
		time.Sleep(2 * time.Hour)
		b.a.OAuthCode(openid, "snsapi_base")
		expect("long after", late, 40029)
	})
}

func TestUserTokensExpireAndRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		g := b.exchange(b.a.OAuthCode(openid, "snsapi_base"))
		ask := func(path, token, who string) wechat.Code {
			t.Helper()
			return b.call("GET", path, url.Values{"access_token": {token}, "openid": {who}}, "").code()
		}
		refresh := func(token string) reply {
			t.Helper()
			return b.call("GET", "/sns/oauth2/refresh_token", url.Values{
				"appid": {wechattest.AppID}, "grant_type": {"refresh_token"}, "refresh_token": {token},
			}, "")
		}
		access := g.str("access_token")
		for _, tt := range []struct {
			path, token, who string
			want             wechat.Code
		}{
			{"/sns/auth", access, openid, 0},
			{"/sns/auth", access, "oOther", 40003},
			{"/sns/auth", access, "", 41009},
			{"/sns/auth", "", openid, 41001},
			{"/sns/auth", b.token, openid, 40001},
			{"/sns/userinfo", access, openid, 48001},
		} {
			if got := ask(tt.path, tt.token, tt.who); got != tt.want {
				t.Errorf("%s of %q: %d, want %d", tt.path, tt.who, got, tt.want)
			}
		}
		if b.try(access) != 40014 {
			t.Error("a user's token was accepted in place of the account's")
		}
		time.Sleep(time.Hour)
		if r := refresh(g.str("refresh_token")); r.str("access_token") != access {
			t.Errorf("refresh of a living token: %v, want the same token", r)
		}
		time.Sleep(2*time.Hour - time.Second)
		if got := ask("/sns/auth", access, openid); got != 0 {
			t.Errorf("a refreshed token: %d, want it alive", got)
		}
		time.Sleep(time.Second)
		if got := ask("/sns/auth", access, openid); got != 42001 {
			t.Errorf("after 7200 s: %d, want 42001", got)
		}
		if r := refresh(g.str("refresh_token")); r.str("access_token") == access || r.code() != 0 {
			t.Errorf("refresh of a dead token: %v, want another", r)
		}
		if r := refresh("x"); r.code() != 40030 {
			t.Errorf("unknown refresh_token: %v, want 40030", r)
		}
		time.Sleep(30 * 24 * time.Hour)
		if r := refresh(g.str("refresh_token")); r.code() != 42002 {
			t.Errorf("after 30 days: %v, want 42002", r)
		}
	})
}

func TestOau06SnapshotUsersAreMarkedAndHaveNoProfile(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.a.SetSnapshot(openid)
	g := b.exchange(b.a.OAuthCode(openid, "snsapi_userinfo"))
	r := b.call("GET", "/sns/userinfo", url.Values{"access_token": {g.str("access_token")}, "openid": {openid}}, "")
	if g.num("is_snapshotuser") != 1 || r.code() != 48001 {
		t.Errorf("exchange %v, userinfo %v; want is_snapshotuser 1 and 48001", g, r)
	}
}
