package ops_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"golang.org/x/oauth2"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/wechat"
)

// issuer is an OIDC issuer with one person, who is always logged in.
type issuer struct {
	*httptest.Server

	key    *ecdsa.PrivateKey
	claims map[string]any // further ones; nil as a value removes one
	// challenge and nonce are those of the last login.
	challenge, nonce atomic.Value
	down             atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	i := &issuer{key: key, claims: map[string]any{}}
	known := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k", Algorithm: oidc.ES256}}, Algorithms: []string{oidc.ES256}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		i.challenge.Store(q.Get("code_challenge"))
		i.nonce.Store(q.Get("nonce"))
		http.Redirect(w, r, q.Get("redirect_uri")+"?code=c&state="+url.QueryEscape(q.Get("state")), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if oauth2.S256ChallengeFromVerifier(r.PostFormValue("code_verifier")) != i.challenge.Load() || r.PostFormValue("code") != "c" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"canary"}`))
			return
		}
		claims := map[string]any{"iss": i.URL, "aud": "client", "sub": "7f3c", "nonce": i.nonce.Load(), "exp": time.Now().Add(time.Hour).Unix(), "role": "operate"}
		maps.Copy(claims, i.claims)
		text, _ := json.Marshal(claims)
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": oidctest.SignIDToken(i.key, "k", oidc.ES256, string(text))})
	})
	mux.Handle("/", known)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.Close)
	known.SetIssuer(i.URL)
	return i
}

// single is a listener below a prefix with logins by i and by a password, and a browser.
func (i *issuer) single(t *testing.T) *bundle {
	t.Helper()
	return i.singleAt(t, "/wx")
}

func (i *issuer) singleAt(t *testing.T, prefix string) *bundle {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	must(t, err)
	b := serve(t, unreachable(t), withConsole(func(c *ops.Config) {
		c.Prefix = prefix
		c.Logins = []ops.Login{{Name: "li", Password: wechat.NewSecret("pw")}}
		c.Console = func(w http.ResponseWriter, r *http.Request, who ops.Operator) {
			if r.URL.Path == "/console/subject" {
				_, _ = w.Write([]byte(who.Subject))
				return
			}
			_, _ = w.Write([]byte(r.Method + " " + r.URL.RequestURI() + " by " + who.Name + " as " + who.Role))
		}
		c.OIDC = &ops.OIDC{
			Issuer: i.URL, ClientID: "client", ClientSecret: wechat.NewSecret("secret"), RedirectURL: server.URL + prefix + "/oidc/callback",
			Admit: func(claims map[string]any) (string, string) {
				name, _ := claims["sub"].(string)
				role, _ := claims["role"].(string)
				return name, role
			},
		}
	}))
	handler = b.handler
	b.url = server.URL
	b.client = &http.Client{Transport: server.Client().Transport, Jar: jar}
	return b
}

// open asks for a page as a browser does.
func (b *bundle) open(t *testing.T, path string) reply {
	t.Helper()
	return b.get(t, path, "Accept", "text/html")
}

func TestOIDCLogsAnOperatorInAndOut(t *testing.T) {
	t.Parallel()
	b := newIssuer(t).single(t)
	page := b.open(t, "/wx/console/message?id=x")
	if page.status != http.StatusUnauthorized || page.header.Get("WWW-Authenticate") != "" || !strings.Contains(page.body, "/wx/oidc/login?next=%2Fwx%2Fconsole%2Fmessage%3Fid%3Dx") {
		t.Fatalf("without a login: %d %v %s", page.status, page.header, page.body)
	}
	if zh := b.get(t, "/wx/console/", "Accept", "text/html", "Accept-Language", "zh"); !strings.Contains(zh.body, "单点登录") {
		t.Errorf("in Chinese: %s", zh.body)
	}
	if r := b.open(t, "/wx/oidc/login?next=/wx/console/message?id=x"); r.status != http.StatusOK || r.body != "GET /console/message?id=x by 7f3c as operate" {
		t.Fatalf("after the login: %d %s", r.status, r.body)
	}
	at, err := url.Parse(b.url + "/wx/")
	must(t, err)
	if cookies := b.client.Jar.Cookies(at); len(cookies) != 1 || cookies[0].Name != "wxnotify_session" {
		t.Errorf("cookies %v", cookies)
	}
	if r := b.ask(t, http.MethodPost, "/wx/console/act", "", "Sec-Fetch-Site", "cross-site"); r.status != http.StatusForbidden {
		t.Errorf("a form of another site: %d", r.status)
	}
	if r := b.ask(t, http.MethodPost, "/wx/oidc/logout", "", "Sec-Fetch-Site", "cross-site"); r.status != http.StatusForbidden {
		t.Errorf("a log-out by another site: %d", r.status)
	}
	stolen := b.client.Jar.Cookies(at)
	if r := b.ask(t, http.MethodPost, "/wx/oidc/logout", "", "Sec-Fetch-Site", "same-origin"); r.status != http.StatusUnauthorized || !strings.Contains(r.body, "/wx/oidc/login") {
		t.Errorf("log-out: %d %s", r.status, r.body)
	}
	b.client.Jar.SetCookies(at, stolen)
	if r := b.open(t, "/wx/console/"); r.status != http.StatusUnauthorized {
		t.Errorf("the ended session still works: %d", r.status)
	}
}

func TestPasswordsWorkBesideOIDC(t *testing.T) {
	t.Parallel()
	b := newIssuer(t).single(t)
	if r := b.get(t, "/wx/console/", "Authorization", basic("li", "pw")); r.body != "GET /console/ by li as " {
		t.Errorf("a password: %d %s", r.status, r.body)
	}
	if r := b.open(t, "/wx/oidc/password"); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" {
		t.Errorf("the link to the password: %d", r.status)
	}
	if r := b.get(t, "/wx/metrics"); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" {
		t.Errorf("a program without a login: %d", r.status)
	}
	if r := b.get(t, "/wx/healthz"); r.status != http.StatusOK {
		t.Errorf("health: %d", r.status)
	}
}

func TestOIDCRefusesWhatItDidNotAskFor(t *testing.T) {
	t.Parallel()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for what, row := range map[string]struct {
		change func(*issuer)
		status int
	}{
		"the token of another login":    {func(i *issuer) { i.claims["nonce"] = "other" }, http.StatusUnauthorized},
		"a token for another program":   {func(i *issuer) { i.claims["aud"] = "other" }, http.StatusUnauthorized},
		"the token of another issuer":   {func(i *issuer) { i.claims["iss"] = "https://other" }, http.StatusUnauthorized},
		"an expired token":              {func(i *issuer) { i.claims["exp"] = time.Now().Add(-time.Hour).Unix() }, http.StatusUnauthorized},
		"a token of another key":        {func(i *issuer) { i.key = other }, http.StatusUnauthorized},
		"a person without a role":       {func(i *issuer) { i.claims["role"] = "" }, http.StatusForbidden},
		"a name that is too long":       {func(i *issuer) { i.claims["sub"] = strings.Repeat("x", 300) }, http.StatusForbidden},
		"a name for a terminal":         {func(i *issuer) { i.claims["sub"] = "li\x1b[2J" }, http.StatusForbidden},
		"a person without a name":       {func(i *issuer) { i.claims["sub"] = "" }, http.StatusForbidden},
		"an issuer that is not reached": {func(i *issuer) { i.down.Store(true) }, http.StatusServiceUnavailable},
	} {
		i := newIssuer(t)
		row.change(i)
		b := i.single(t)
		if r := b.open(t, "/wx/oidc/login"); r.status != row.status || strings.Contains(r.body, "canary") {
			t.Errorf("%s: %d %s, want %d", what, r.status, r.body, row.status)
		}
		if r := b.open(t, "/wx/console/"); r.status != http.StatusUnauthorized {
			t.Errorf("%s: then the console: %d", what, r.status)
		}
	}
	b := newIssuer(t).single(t)
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.open(t, "/wx/oidc/login") // sets the cookie of this browser
	for _, query := range []string{"", "?code=c&state=other", "?code=c", "?error=access_denied"} {
		if r := b.open(t, "/wx/oidc/callback"+query); r.status != http.StatusUnauthorized {
			t.Errorf("callback%s: %d", query, r.status)
		}
	}
}

func TestFailedLoginsByOIDCAreCounted(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.claims["nonce"] = "other"
	b := i.single(t)
	for n := range 5 {
		if r := b.open(t, "/wx/oidc/login"); r.status != http.StatusUnauthorized {
			t.Errorf("failure %d: %d", n+1, r.status)
		}
	}
	delete(i.claims, "nonce")
	if r := b.open(t, "/wx/oidc/login"); r.status != http.StatusTooManyRequests {
		t.Errorf("after five failures: %d", r.status)
	}
}

// Who guesses passwords behind the same gateway does not lock out operators who log in by
// OIDC.
func TestAnAddressOfALoginByOIDCIsKnown(t *testing.T) {
	t.Parallel()
	b := newIssuer(t).single(t)
	if r := b.open(t, "/wx/oidc/login"); r.status != http.StatusOK {
		t.Fatalf("the first login: %d", r.status)
	}
	b.client.Jar = nil // another browser of the same address
	for range 6 {
		b.get(t, "/wx/console/", "Authorization", "Basic bGk6d3Jvbmc=")
	}
	jar, err := cookiejar.New(nil)
	must(t, err)
	b.client.Jar = jar
	if r := b.open(t, "/wx/oidc/login"); r.status != http.StatusOK {
		t.Errorf("a login after guesses: %d %s", r.status, r.body)
	}
}

func TestOIDCLeadsToPagesOfTheListenerOnly(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"//evil.example/", "https://evil.example/", "/other/", `/wx/\evil`, "", "/wx"} {
		b := newIssuer(t).single(t)
		if r := b.open(t, "/wx/oidc/login?next="+url.QueryEscape(next)); r.status != http.StatusOK || r.body != "GET /console/ by 7f3c as operate" {
			t.Errorf("next %q: %d %s", next, r.status, r.body)
		}
	}
}

func TestCookiesOfOIDCAreForThisListenerOnly(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	b := serve(t, unreachable(t), withConsole(func(c *ops.Config) {
		c.OIDC = &ops.OIDC{
			Issuer: i.URL, ClientID: "client", ClientSecret: wechat.NewSecret("secret"), RedirectURL: "https://ops.example.com/oidc/callback",
			Admit: func(map[string]any) (string, string) { return "", "" },
		}
	}))
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r := b.open(t, "/oidc/login")
	cookie := r.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("no %s in %s", want, cookie)
		}
	}
	if to := r.header.Get("Location"); !strings.Contains(to, "code_challenge_method=S256") || !strings.Contains(to, "nonce=") {
		t.Errorf("leads to %s", to)
	}
	if r := b.open(t, "/console/"); r.status != http.StatusUnauthorized || strings.Contains(r.body, "password") {
		t.Errorf("without passwords: %d %s", r.status, r.body)
	}
}

func TestOIDCSettingsAreCheckedTogether(t *testing.T) {
	t.Parallel()
	whole := ops.OIDC{
		Issuer: "https://sso", ClientID: "c", ClientSecret: wechat.NewSecret("s"), RedirectURL: "https://ops/oidc/callback",
		Admit: func(map[string]any) (string, string) { return "", "" },
	}
	for what, change := range map[string]func(*ops.OIDC){
		"no issuer": func(o *ops.OIDC) { o.Issuer = "" }, "no client": func(o *ops.OIDC) { o.ClientID = "" }, "no secret": func(o *ops.OIDC) { o.ClientSecret = wechat.Secret{} },
		"no redirect": func(o *ops.OIDC) { o.RedirectURL = "" }, "another path": func(o *ops.OIDC) { o.RedirectURL = "https://ops/callback" },
		"http beyond the loopback": func(o *ops.OIDC) { o.RedirectURL = "http://ops/oidc/callback" },
	} {
		one := whole
		change(&one)
		if _, err := ops.New(ops.Config{Redis: unreachable(t), Addr: "127.0.0.1:9090", OIDC: &one}); err == nil || !strings.Contains(err.Error(), "config.OIDC") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ops.New(ops.Config{Redis: unreachable(t), Addr: ":9090", OIDC: &whole}); err != nil {
		t.Errorf("OIDC alone, beyond the loopback: %v", err)
	}
}
