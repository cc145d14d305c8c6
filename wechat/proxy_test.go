package wechat_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestProxyIsChecked(t *testing.T) {
	t.Parallel()
	for text, words := range map[string]string{
		"":                                   "",
		"http://proxy:3128":                  "",
		"https://u:p%40ss@proxy":             "",
		"socks5://u:p@ss@proxy:1080/":        "",
		"proxy:3128":                         "not a URL",
		"ftp://proxy":                        "unknown scheme",
		"http://u:canary@":                   "no host",
		"http://u:canary@proxy:70000":        "port",
		"http://u:canary@proxy:port":         "not a URL",
		"http://u:can%ary@proxy":             "not a URL",
		"http://canary/x@proxy:1":            "percent-encode",
		"http://u:canary#x@proxy:1":          "percent-encode",
		"http://canary?x@proxy:1":            "percent-encode",
		"http://u:canary@proxy:1/path":       "only",
		"http://u:canary@proxy:1?x=1":        "only",
		"http://u:canary@proxy:1/#fragment1": "only",
	} {
		_, err := wechat.NewTokenFetcher(wechat.Config{AppID: "wxa", AppSecret: wechat.NewSecret("s"), Proxy: wechat.NewSecret(text)})
		if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%q: error = %v, want one with %q", text, err, words)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: the error shows the password: %v", text, err)
		}
	}
	both := wechat.Config{AppID: "wxa", Proxy: wechat.NewSecret("http://proxy"), HTTPClient: &http.Client{}}
	if _, err := wechat.NewOAuth(both); err == nil || !strings.Contains(err.Error(), "both set") {
		t.Errorf("proxy and HTTPClient: %v", err)
	}
}

func TestBaseURLWithACutPasswordIsRefused(t *testing.T) {
	t.Parallel()
	_, err := wechat.NewClient(wechat.Config{AppID: "wxa", BaseURL: "https://canary/x@host"}, wechat.StaticToken("t"))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error = %v", err)
	}
}

// proxy passes requests on, and notes their paths and logins.
type proxy struct {
	*httptest.Server
	mu     sync.Mutex
	paths  []string
	logins map[string]bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{logins: map[string]bool{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.paths, p.logins[r.Header.Get("Proxy-Authorization")] = append(p.paths, r.URL.Path), true
		p.mu.Unlock()
		if r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(p.Close)
	return p
}

func TestEveryCallOfTheAccountGoesThroughItsProxy(t *testing.T) {
	t.Parallel()
	platform := wechattest.New(wechattest.Config{})
	server := httptest.NewServer(platform)
	t.Cleanup(server.Close)
	p := newProxy(t)
	cfg := wechat.Config{
		AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: server.URL,
		Proxy: wechat.NewSecret("http://user:" + url.PathEscape("ca/n#ry") + "@" + strings.TrimPrefix(p.URL, "http://")),
	}
	fetcher, err := wechat.NewTokenFetcher(cfg)
	must(t, err)
	token, err := fetcher.FetchStable(t.Context(), false)
	must(t, err)
	client, err := wechat.NewClient(cfg, wechat.StaticToken(token.Value.Reveal()))
	must(t, err)
	oauth, err := wechat.NewOAuth(cfg)
	must(t, err)
	_, _ = client.SendTemplate(t.Context(), &wechat.TemplateMessage{ToUser: "o", TemplateID: "t"}) // refused, but it came there
	_, _ = client.Quota(t.Context(), wechat.SendPath)
	_, _ = oauth.Exchange(t.Context(), wechat.NewSecret("code"))
	p.mu.Lock()
	defer p.mu.Unlock()
	got := strings.Join(p.paths, " ")
	if want := "/cgi-bin/stable_token /cgi-bin/message/template/send /cgi-bin/openapi/quota/get /sns/oauth2/access_token"; got != want {
		t.Errorf("the proxy saw %s, want %s", got, want)
	}
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:ca/n#ry"))
	if len(p.logins) != 1 || !p.logins[login] {
		t.Errorf("the proxy saw the logins %v, want %q only", p.logins, login)
	}
}

func TestProxyFaultsShowNoPassword(t *testing.T) {
	t.Parallel()
	refusing := newProxy(t)
	for _, address := range []string{"http://user:canary@127.0.0.1:1", "socks5://user:canary@127.0.0.1:1", refusing.URL} {
		fetcher, err := wechat.NewTokenFetcher(wechat.Config{
			AppID: wechattest.AppID, AppSecret: wechat.NewSecret("s"), BaseURL: "http://127.0.0.1:1", Proxy: wechat.NewSecret(address),
		})
		must(t, err)
		_, err = fetcher.FetchStable(t.Context(), false)
		if err == nil || strings.Contains(err.Error(), "canary") || address != refusing.URL && !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("%s: error = %v", address, err)
		}
		if err != nil && address == refusing.URL && !strings.Contains(err.Error(), "407") {
			t.Errorf("the proxy wants a login: error = %v, want 407 in it", err)
		}
	}
}
