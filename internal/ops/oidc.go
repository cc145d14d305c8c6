package ops

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/wechat"
)

// OIDC logs operators in by OpenID Connect, in addition to the passwords of Config.Logins.
// All fields but Client are required.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret wechat.Secret
	// RedirectURL is /oidc/callback of the listener as browsers see it: https://, or
	// http:// on the loopback.
	RedirectURL string
	// Admit returns the name and the role of a person by the claims of the ID token, whose
	// signature, issuer, audience and expiry are verified. Without a role the login is
	// refused.
	Admit func(claims map[string]any) (name, role string)
	// Client calls the issuer. Default: one with a timeout of 10 s.
	Client *http.Client
}

const (
	oidcLogin     = "/oidc/login"
	oidcCallback  = "/oidc/callback"
	oidcLogout    = "/oidc/logout"
	oidcPassword  = "/oidc/password" //nolint:gosec // a path
	sessionCookie = "wxnotify_session"
	attemptCookie = "wxnotify_login"
	// sessionLife is when an operator logs in again.
	sessionLife = 8 * time.Hour
	// attemptLife is how long the issuer's page may take.
	attemptLife = 10 * time.Minute
	maxSessions = 10_000
	issuerLimit = 10 * time.Second
	// maxName bounds the name of a person, in bytes: it stands in each line of the audit.
	maxName = 256
)

func (o *OIDC) validate(prefix string) error {
	if o == nil {
		return nil
	}
	if o.Issuer == "" || o.ClientID == "" || o.ClientSecret.Reveal() == "" || o.RedirectURL == "" || o.Admit == nil {
		return errors.New("config.OIDC: issuer, client id, client secret and redirect URL are required together")
	}
	u, err := url.Parse(o.RedirectURL)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && (u.Scheme != "http" || !clientaddr.Loopback(u.Host)) ||
		o.RedirectURL != u.Scheme+"://"+u.Host+prefix+oidcCallback { // below another path browsers do not send our cookies
		return fmt.Errorf("config.OIDC: the redirect URL must be https://, a host and %s", prefix+oidcCallback)
	}
	return nil
}

// session is an operator who logged in by OIDC.
type session struct {
	name, role, subject string
	until               time.Time
}

type sessionKey struct{}

// oidcLogins serves the logins by OIDC. Sessions are lost when the process stops. Safe for
// concurrent use.
type oidcLogins struct {
	cfg    OIDC
	prefix string
	auth   *authenticator
	log    *zap.Logger

	mu       sync.Mutex
	provider *oidc.Provider // nil: the issuer was not reached yet
	sessions map[string]session
}

func newOIDCLogins(cfg OIDC, prefix string, auth *authenticator, log *zap.Logger) *oidcLogins {
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: issuerLimit}
	}
	return &oidcLogins{cfg: cfg, prefix: prefix, auth: auth, log: log, sessions: map[string]session{}}
}

func (o *oidcLogins) routes(mux *http.ServeMux, auth *authenticator, protect func(http.Handler) http.Handler) {
	mux.Handle("GET "+oidcLogin, auth.checkHost(http.HandlerFunc(o.begin)))
	mux.Handle("GET "+oidcCallback, auth.checkHost(http.HandlerFunc(o.finish)))
	mux.Handle("POST "+oidcLogout, auth.checkHost(protect(http.HandlerFunc(o.logOut))))
}

// of returns the session of a request.
func (o *oidcLogins) of(r *http.Request) (session, bool) {
	if o == nil {
		return session{}, false
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return session{}, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.sessions[cookie.Value]
	return s, ok && time.Now().Before(s.until)
}

// config asks the issuer for its addresses once.
func (o *oidcLogins) config(ctx context.Context) (*oauth2.Config, *oidc.Provider, error) {
	o.mu.Lock()
	p := o.provider
	o.mu.Unlock()
	if p == nil {
		var err error
		// The provider fetches keys with this context later.
		if p, err = oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), o.cfg.Client), o.cfg.Issuer); err != nil {
			return nil, nil, fmt.Errorf("ask the OIDC issuer: %w", err)
		}
		o.mu.Lock()
		o.provider = p
		o.mu.Unlock()
	}
	return &oauth2.Config{
		ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret.Reveal(), Endpoint: p.Endpoint(), RedirectURL: o.cfg.RedirectURL,
		Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
	}, p, nil
}

func (o *oidcLogins) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure on the loopback only, see validate
		Name: name, Value: value, Path: o.prefix + "/", MaxAge: int(life.Seconds()), HttpOnly: true, Secure: strings.HasPrefix(o.cfg.RedirectURL, "https:"),
		SameSite: http.SameSiteLaxMode, // Strict would not come with the issuer's redirect
	})
}

// begin leads to the issuer. The cookie binds its answer to this browser.
func (o *oidcLogins) begin(w http.ResponseWriter, r *http.Request) {
	c, _, err := o.config(r.Context())
	if err != nil {
		o.log.Warn("OIDC issuer not reached", zap.Error(err))
		writeText(w, http.StatusServiceUnavailable, "The OIDC issuer cannot be reached: see the log. Try again, or log in with a password at "+o.prefix+oidcPassword+".")
		return
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	next := base64.RawURLEncoding.EncodeToString([]byte(o.within(r.URL.Query().Get("next"))))
	o.setCookie(w, attemptCookie, strings.Join([]string{state, nonce, verifier, next}, "."), attemptLife)
	http.Redirect(w, r, c.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusFound)
}

// within is a path of this listener; the console where it is none. url.Parse refuses tabs
// and line breaks, which browsers remove: /\t/host would be //host.
func (o *oidcLogins) within(path string) string {
	if _, err := url.Parse(path); err != nil || !strings.HasPrefix(path, o.prefix+"/") || strings.HasPrefix(path, "//") || strings.Contains(path, "\\") {
		return o.prefix + consoleRoot + "/"
	}
	return path
}

// finish takes the issuer's answer and begins a session.
func (o *oidcLogins) finish(w http.ResponseWriter, r *http.Request) {
	a, began := attemptOf(r)
	if !began { // not counted as a failure: pages of other sites can have a browser ask for this path
		writeText(w, http.StatusUnauthorized, "This browser did not begin the login, or not within the last 10 minutes: begin at "+o.prefix+consoleRoot+"/.")
		return
	}
	from := o.auth.clientAddr(r)
	if o.auth.throttled(from) {
		writeText(w, http.StatusTooManyRequests, "Too many failed logins. Wait a minute and try again.")
		return
	}
	o.setCookie(w, attemptCookie, "", -time.Second)
	s, err := o.exchange(r, a)
	switch {
	case err != nil:
		o.auth.countFailure(from)
		o.log.Warn("login failed", zap.String("remote", from), zap.Error(err))
		writeText(w, http.StatusUnauthorized, "The login was not accepted: begin again at "+o.prefix+consoleRoot+"/.")
		return
	case len(s.name) > maxName || strings.ContainsFunc(s.name, func(r rune) bool { return !unicode.IsPrint(r) }):
		o.log.Warn("login refused: the name of the OIDC issuer is too long or cannot be printed", zap.String("remote", from))
		writeText(w, http.StatusForbidden, "Your name at the OIDC issuer is too long or has characters that cannot be printed: ask an admin.")
		return
	case s.role == "" || s.name == "":
		o.log.Warn("login without a role", zap.String("remote", from), zap.String("operator", s.name))
		writeText(w, http.StatusForbidden, "You are logged in, but no role is assigned to you: ask an admin.")
		return
	}
	id := rand.Text()
	s.until = time.Now().Add(sessionLife)
	o.mu.Lock()
	for key, old := range o.sessions {
		if time.Now().After(old.until) || len(o.sessions) >= maxSessions {
			delete(o.sessions, key)
		}
	}
	o.sessions[id] = s
	o.mu.Unlock()
	o.auth.know(from)
	o.setCookie(w, sessionCookie, id, sessionLife)
	o.log.Info("operator logged in", zap.String("operator", s.name), zap.String("remote", from))
	http.Redirect(w, r, o.within(a.next), http.StatusFound)
}

// attempt is what the browser keeps of a login that it began.
type attempt struct{ nonce, verifier, next string }

// attemptOf returns the login that the issuer's answer belongs to, by its state; false:
// this browser did not begin it.
func attemptOf(r *http.Request) (attempt, bool) {
	cookie, err := r.Cookie(attemptCookie)
	if err != nil {
		return attempt{}, false
	}
	parts := strings.Split(cookie.Value, ".")
	if len(parts) != 4 || parts[0] == "" || subtle.ConstantTimeCompare([]byte(parts[0]), []byte(r.URL.Query().Get("state"))) != 1 {
		return attempt{}, false
	}
	next, _ := base64.RawURLEncoding.DecodeString(parts[3]) // a faulty one leads to the console
	return attempt{parts[1], parts[2], string(next)}, true
}

// exchange verifies the answer: the code with its verifier, the ID token, and its nonce.
func (o *oidcLogins) exchange(r *http.Request, a attempt) (s session, err error) {
	query := r.URL.Query()
	if code := query.Get("error"); code != "" {
		return s, fmt.Errorf("the issuer refused: %q", code[:min(len(code), 40)])
	}
	c, provider, err := o.config(r.Context())
	if err != nil {
		return s, err
	}
	ctx := oidc.ClientContext(r.Context(), o.cfg.Client)
	token, err := c.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(a.verifier))
	if failed := (*oauth2.RetrieveError)(nil); errors.As(err, &failed) {
		return s, fmt.Errorf("the issuer refused the code: %q", failed.ErrorCode) // its body may hold more
	} else if err != nil {
		return s, fmt.Errorf("exchange the code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: o.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return s, fmt.Errorf("the ID token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.nonce)) != 1 {
		return s, errors.New("the ID token is of another login")
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return s, fmt.Errorf("the claims: %w", err)
	}
	s.subject = id.Subject
	s.name, s.role = o.cfg.Admit(claims)
	return s, nil
}

// logOut ends the session.
func (o *oidcLogins) logOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		o.mu.Lock()
		delete(o.sessions, cookie.Value)
		o.mu.Unlock()
	}
	o.setCookie(w, sessionCookie, "", -time.Second)
	o.choose(w, r)
}

var choosePage = template.Must(template.New("").Parse(`<!doctype html><html lang="{{.Lang}}"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>wxnotify</title>` + //nolint:gochecknoglobals // never changed
	`<main><h1>wxnotify</h1><p><a href="{{.Login}}">{{.ByOIDC}}</a></p>{{with .Password}}<p><a href="{{.}}">{{$.ByPassword}}</a></p>{{end}}</main></html>`))

// choose shows the ways to log in.
func (o *oidcLogins) choose(w http.ResponseWriter, r *http.Request) {
	view := map[string]string{"Lang": "en", "ByOIDC": "Log in with single sign-on", "ByPassword": "Log in with a password"}
	if locale.FromHeader(r.Header.Get("Accept-Language")) == wechat.Chinese {
		view = map[string]string{"Lang": "zh", "ByOIDC": "单点登录", "ByPassword": "用密码登录"}
	}
	next := o.prefix + r.URL.RequestURI()
	if r.Method != http.MethodGet {
		next = ""
	}
	view["Login"] = o.prefix + oidcLogin + "?next=" + url.QueryEscape(next)
	if len(o.auth.logins) > 0 {
		view["Password"] = o.prefix + oidcPassword
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	_ = choosePage.Execute(w, view) // an error means that the client has disconnected
}

// wantsPage reports whether a browser opens a page and sent no password.
func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Authorization") == "" && strings.Contains(r.Header.Get("Accept"), "text/html") && r.URL.Path != oidcPassword
}
