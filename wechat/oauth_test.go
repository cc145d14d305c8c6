package wechat_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// More texts that must appear in no error.
const (
	canaryCode      = "0canaryCode0123456789AAAA+/=&x"
	canaryRefresh   = "76_canaryRefreshToken0123456789+/="
	canaryUserToken = "76_canaryUserToken0123456789+/="
	canaryScene     = "canary-one-time-scene-0123456789"
)

func newOAuth(t *testing.T, p *platform) *wechat.OAuth {
	t.Helper()
	o, err := wechat.NewOAuth(wechat.Config{
		AppID: "wx0123456789abcdef", AppSecret: wechat.NewSecret(canarySecret), BaseURL: p.URL,
	})
	must(t, err)
	t.Cleanup(o.CloseIdleConnections)
	return o
}

func authorize(change ...func(*wechat.Authorize)) wechat.Authorize {
	a := wechat.Authorize{
		AppID: "wx0123456789abcdef", RedirectURI: "https://h5.example.com/enroll/wx0123456789abcdef/callback?a=1&b=红",
		Scope: wechat.ScopeUserInfo, State: "f00dF00D123",
	}
	for _, f := range change {
		f(&a)
	}
	return a
}

func TestOau10LinkHasTheParametersInWeChatsOrder(t *testing.T) {
	t.Parallel()
	got, err := authorize().Link()
	want := "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx0123456789abcdef" +
		"&redirect_uri=https%3A%2F%2Fh5.example.com%2Fenroll%2Fwx0123456789abcdef%2Fcallback%3Fa%3D1%26b%3D%E7%BA%A2" +
		"&response_type=code&scope=snsapi_userinfo&state=f00dF00D123#wechat_redirect"
	if err != nil || got != want {
		t.Errorf("link %s, %v\nwant %s", got, err, want)
	}
	order := regexp.MustCompile(`^\?appid=[^&]+&redirect_uri=[^&]+&response_type=code&scope=(snsapi_base|snsapi_userinfo)(&state=[A-Za-z0-9]{0,128})?#wechat_redirect$`)
	for _, a := range []wechat.Authorize{
		authorize(),
		authorize(func(a *wechat.Authorize) { a.Scope = "" }),
		authorize(func(a *wechat.Authorize) { a.RedirectURI = "http://127.0.0.1:8080/#"[:22] }),
		authorize(func(a *wechat.Authorize) { a.State = strings.Repeat("Z", 128) }),
	} {
		link, err := a.Link()
		if err != nil || !order.MatchString(strings.TrimPrefix(link, "https://open.weixin.qq.com/connect/oauth2/authorize")) {
			t.Errorf("link %s, %v", link, err)
		}
	}
	if link, err := authorize(func(a *wechat.Authorize) { a.Scope, a.URL = "", "http://127.0.0.1:8090/connect/oauth2/authorize" }).Link(); err != nil ||
		!strings.HasPrefix(link, "http://127.0.0.1:8090/connect/oauth2/authorize?appid=") || !strings.Contains(link, "scope=snsapi_base&") {
		t.Errorf("link %s, %v", link, err)
	}
}

func TestOau04StateIsLettersAndDigits(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 64, 127, 128} {
		if _, err := authorize(func(a *wechat.Authorize) { a.State = strings.Repeat("a", n) }).Link(); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for name, state := range map[string]string{
		"129 bytes": strings.Repeat("a", 129), "empty": "", "base64url": "a-b_c", "base64": "a+b/c=", "a space": "a b",
		"Chinese": "红", "another parameter": "a&scope=x", "the end": "a#", "a line": "a\n", "NUL": "a\x00",
	} {
		link, err := authorize(func(a *wechat.Authorize) { a.State = state }).Link()
		if err == nil || link != "" || !strings.Contains(err.Error(), "Authorize.State") {
			t.Errorf("%s: %q, %v", name, link, err)
		}
	}
}

func TestLinkReportsAllFaults(t *testing.T) {
	t.Parallel()
	a := wechat.Authorize{URL: "/page", AppID: "no appid", RedirectURI: "/callback", Scope: "snsapi_canary", State: "canary!"}
	_, err := a.Link()
	for _, want := range []string{"Authorize.URL", "Authorize.AppID", "Authorize.RedirectURI", "Authorize.Scope", "Authorize.State"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
	noCanary(t, err)
	for _, redirect := range []string{
		"", "//h5.example.com/x", "h5.example.com", "ftp://h5.example.com/", "javascript:alert(1)", "https://", "https:///x",
		"https://user:canary@h5.example.com/", "https://h5.example.com/#canary", "https://h5.example.com/a b", "https://h5.example.com/\n",
	} {
		if link, err := authorize(func(a *wechat.Authorize) { a.RedirectURI = redirect }).Link(); err == nil {
			t.Errorf("redirect %q: %s", redirect, link)
		} else {
			noCanary(t, err)
		}
	}
	for _, page := range []string{"https://x.example/a?b=c", "https://x.example/a?", "https://x.example/a#b", "x", "https://x.example/a#"} {
		if link, err := authorize(func(a *wechat.Authorize) { a.URL = page }).Link(); err == nil {
			t.Errorf("page %q: %s", page, link)
		}
	}
}

// The test makes a user's whole authorization on the simulator.
func TestAuthorizationAgainstTheSimulator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := wechattest.New(wechattest.Config{UnionIDs: true})
		defer p.Close()
		o, err := wechat.NewOAuth(wechat.Config{
			AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: p.BaseURL(), HTTPClient: p.Client(),
		})
		must(t, err)
		link, err := wechat.Authorize{
			URL: p.BaseURL() + "/connect/oauth2/authorize", AppID: wechattest.AppID,
			RedirectURI: "https://h5.example.com/back", State: "f00d",
		}.Link()
		must(t, err)
		back := visit(t, p, link)
		if back.Get("state") != "f00d" || back.Get("code") == "" {
			t.Fatalf("the redirect has %v", back)
		}
		user, err := o.Exchange(t.Context(), wechat.NewSecret(back.Get("code")))
		if err != nil || user.OpenID == "" || user.Snapshot || user.Scope != wechat.ScopeBase || user.UnionID != "" {
			t.Fatalf("exchanged for %+v, %v", user, err)
		}
		if left, kept := time.Until(user.ExpiresAt), time.Until(user.RefreshBefore); left != 2*time.Hour || kept != 30*24*time.Hour {
			t.Errorf("lives of %v and %v", left, kept)
		}
		again, err := o.Exchange(t.Context(), wechat.NewSecret(back.Get("code")))
		if code, _ := wechat.CodeOf(err); code != wechat.CodeUsedCode || again != (wechat.UserToken{}) {
			t.Errorf("the second exchange: %+v, %v; want 40163", again, err)
		}
		_, err = o.Profile(t.Context(), user)
		var refusal *wechat.Error
		if !errors.As(err, &refusal) || refusal.Code != wechat.CodeUnauthorized || refusal.Kind() != wechat.KindManagement || !strings.Contains(refusal.Remedy(), "snsapi_userinfo") {
			t.Errorf("profile with snsapi_base: %v", err)
		}

		a := p.Account(wechattest.AppID)
		user, err = o.Exchange(t.Context(), wechat.NewSecret(a.OAuthCode("oUser", wechat.ScopeUserInfo)))
		if err != nil || user.OpenID != "oUser" || user.UnionID == "" {
			t.Fatalf("exchanged for %+v, %v", user, err)
		}
		if profile, err := o.Profile(t.Context(), user); err != nil || profile.OpenID != "oUser" || profile.UnionID != user.UnionID || profile.Nickname == "" || profile.PictureURL == "" {
			t.Errorf("profile %+v, %v", profile, err)
		}
		if err := o.Check(t.Context(), user); err != nil {
			t.Errorf("check: %v", err)
		}
		time.Sleep(2 * time.Hour)
		err = o.Check(t.Context(), user)
		if !errors.As(err, &refusal) || refusal.Code != wechat.CodeExpiredToken || refusal.Kind() != wechat.KindManagement {
			t.Errorf("check after two hours: %v", err)
		}
		fresh, err := o.Refresh(t.Context(), user.RefreshToken)
		if err != nil || fresh.OpenID != "oUser" || fresh.RefreshToken != user.RefreshToken || !fresh.RefreshBefore.IsZero() || time.Until(fresh.ExpiresAt) != 2*time.Hour {
			t.Errorf("refreshed to %+v, %v", fresh, err)
		}
		if err := o.Check(t.Context(), fresh); err != nil {
			t.Errorf("check of the refreshed: %v", err)
		}
		a.SetSnapshot("oNobody")
		if u, err := o.Exchange(t.Context(), wechat.NewSecret(a.OAuthCode("oNobody", wechat.ScopeBase))); err != nil || !u.Snapshot {
			t.Errorf("a snapshot user is %+v, %v", u, err)
		}
		late := a.OAuthCode("oUser", wechat.ScopeBase)
		time.Sleep(5 * time.Minute)
		if _, err := o.Exchange(t.Context(), wechat.NewSecret(late)); err == nil || wechat.KindOf(err) != wechat.KindManagement {
			t.Errorf("a code of five minutes: %v", err)
		}
	})
}

// visit opens a link as a browser does and returns the query of the redirect.
func visit(t *testing.T, p *wechattest.Platform, link string) url.Values {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	must(t, err)
	browser := *p.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := browser.Do(req)
	must(t, err)
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return to.Query()
}

// cutter serves HTTP without net/http's server: it answers the first request of a
// connection and cuts the connection after it has read the second.
func cutter(t *testing.T, seen *atomic.Int64) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for n := range 2 {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if req.URL.Path == "/sns/oauth2/access_token" {
						seen.Add(1)
					}
					if n == 1 {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"errcode\":0}")
				}
			}()
		}
	}()
	return l
}

// net/http repeats a GET when its kept connection breaks. A repeated code would be
// a used code.
func TestExchangeIsNeverRepeated(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	l := cutter(t, &seen)
	o, err := wechat.NewOAuth(wechat.Config{AppID: "wx1", AppSecret: wechat.NewSecret(canarySecret), BaseURL: "http://" + l.Addr().String()})
	must(t, err)
	defer o.CloseIdleConnections()
	if err := o.Check(t.Context(), wechat.UserToken{}); err != nil { // leaves a kept connection
		t.Fatal(err)
	}
	_, err = o.Exchange(t.Context(), wechat.NewSecret(canaryCode))
	var failure *wechat.TransportError
	if !errors.As(err, &failure) || !failure.Ambiguous || !strings.Contains(err.Error(), "connection was lost") || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an ambiguous failure", err)
	}
	noCanary(t, err)
	if n := seen.Load(); n != 1 {
		t.Errorf("the code was sent %d times", n)
	}
}

func TestExchangeWithoutACodeMakesNoCall(t *testing.T) {
	t.Parallel()
	p := answers(t, `{}`)
	o := newOAuth(t, p)
	for _, code := range []string{"", strings.Repeat("x", 513), "a\r\nb"} {
		if _, err := o.Exchange(t.Context(), wechat.NewSecret(code)); !errors.Is(err, wechat.ErrNoCode) {
			t.Errorf("code %q: %v", code, err)
		}
	}
	if len(p.calls()) != 0 {
		t.Error("WeChat was asked")
	}
}

func TestOAuthAnswersAreChecked(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{}`, `{"access_token":"A","expires_in":7200}`, `{"access_token":"A","openid":"o1"}`, `{"expires_in":7200,"openid":"o1"}`,
		`{"access_token":"A","expires_in":-1,"openid":"o1"}`, `{"access_token":"A","expires_in":7200,"openid":"o 1<script>"}`,
		`{"access_token":"A","expires_in":7200,"openid":"` + strings.Repeat("o", 65) + `"}`, `[]`, `<html>`,
	} {
		u, err := newOAuth(t, answers(t, body)).Exchange(t.Context(), wechat.NewSecret("CODE"))
		var failure *wechat.TransportError
		if !errors.As(err, &failure) || u != (wechat.UserToken{}) {
			t.Errorf("%s: %+v, %v", body, u, err)
		}
	}
	o := newOAuth(t, answers(t, `{"access_token":"A","expires_in":"7200","openid":"o1","is_snapshotuser":"1","scope":"snsapi_base"}`))
	if u, err := o.Exchange(t.Context(), wechat.NewSecret("CODE")); err != nil || !u.Snapshot || time.Until(u.ExpiresAt) < time.Hour {
		t.Errorf("numbers in quotes: %+v, %v", u, err)
	}
	if _, err := newOAuth(t, answers(t, `{"openid":"oOther","nickname":"x"}`)).Profile(t.Context(), wechat.UserToken{OpenID: "o1"}); err == nil {
		t.Error("the profile of another user was accepted")
	}
	if _, err := wechat.NewOAuth(wechat.Config{AppID: "wx1"}); err == nil || !strings.Contains(err.Error(), "AppSecret") {
		t.Errorf("without a secret: %v", err)
	}
}

// An error about one user's code must not have the kind of an account error, and
// the reverse.
func TestKindsOfOAuthErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		op     string
		code   wechat.Code
		kind   wechat.Kind
		remedy string
	}{
		{"/sns/oauth2/access_token", wechat.CodeInvalidCode, wechat.KindManagement, "Start the authorization again"},
		{"/sns/oauth2/access_token", wechat.CodeUsedCode, wechat.KindManagement, "Start the authorization again"},
		{"/sns/oauth2/access_token", wechat.CodeExpiredCode, wechat.KindManagement, "Start the authorization again"},
		{"/sns/oauth2/access_token", wechat.CodeMissingCode, wechat.KindManagement, "Start the authorization again"},
		{"/sns/oauth2/access_token", wechat.CodeInvalidCredential, wechat.KindAccount, "AppSecret"},
		{"/sns/oauth2/access_token", wechat.CodeInvalidSecret, wechat.KindAccount, "AppSecret"},
		{"/sns/oauth2/access_token", wechat.CodeInvalidAppID, wechat.KindAccount, "appid"},
		{"/sns/oauth2/access_token", wechat.CodeUnauthorized, wechat.KindAccount, "网页授权"},
		{"/sns/oauth2/access_token", wechat.CodeBusy, wechat.KindBusy, ""},
		{"/sns/oauth2/access_token", wechat.CodeRate, wechat.KindRate, ""},
		{"/sns/oauth2/access_token", 77777, wechat.KindUnknown, ""},
		{"/sns/oauth2/refresh_token", wechat.CodeInvalidRefresh, wechat.KindManagement, "Start the authorization again"},
		{"/sns/oauth2/refresh_token", wechat.CodeExpiredRefresh, wechat.KindManagement, "Start the authorization again"},
		{"/sns/userinfo", wechat.CodeInvalidCredential, wechat.KindManagement, "Start the authorization again"},
		{"/sns/userinfo", wechat.CodeExpiredToken, wechat.KindManagement, "Start the authorization again"},
		{"/sns/userinfo", wechat.CodeUnauthorized, wechat.KindManagement, "snsapi_userinfo"},
		{"/sns/userinfo", wechat.CodePunished, wechat.KindAccount, "punishment"},
		{"/sns/auth", wechat.CodeInvalidOpenID, wechat.KindManagement, "Start the authorization again"},
		{wechat.SendPath, wechat.CodeInvalidCredential, wechat.KindToken, "token"},
		{wechat.SendPath, wechat.CodeUnauthorized, wechat.KindAccount, "service account"},
	} {
		e := &wechat.Error{Op: tt.op, Code: tt.code}
		if e.Kind() != tt.kind || !strings.Contains(e.Remedy(), tt.remedy) {
			t.Errorf("%s %d: %v, %q; want %v, %q", tt.op, tt.code, e.Kind(), e.Remedy(), tt.kind, tt.remedy)
		}
	}
}

// The secrets of a call are too short and plain for the patterns of scrub.
func TestSecretsOfACallAreHiddenInAnyForm(t *testing.T) {
	t.Parallel()
	const short = "canary&scene/1"
	for _, text := range []string{short, url.QueryEscape(short)} {
		p := answers(t, `{"errcode":40029,"errmsg":"it was `+text+`, not so","openid":"x"}`)
		o, secret := newOAuth(t, p), wechat.NewSecret(short)
		user := wechat.UserToken{AccessToken: secret, OpenID: short}
		_, exchange := o.Exchange(t.Context(), secret)
		_, refresh := o.Refresh(t.Context(), secret)
		_, profile := o.Profile(t.Context(), user)
		for name, err := range map[string]error{"exchange": exchange, "refresh": refresh, "profile": profile, "check": o.Check(t.Context(), user)} {
			if code, _ := wechat.CodeOf(err); code != wechat.CodeInvalidCode || !strings.Contains(err.Error(), "not so") {
				t.Errorf("%s: %v", name, err)
			}
			noCanary(t, err)
		}
	}
	_, err := newClient(t, answers(t, `{"errcode":40035,"errmsg":"it was `+short+`, not so"}`), newSource()).CreateQR(t.Context(), short, time.Minute)
	if err == nil {
		t.Error("no error")
	}
	noCanary(t, err)
}
