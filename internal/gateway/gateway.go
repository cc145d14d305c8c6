// Package gateway serves WeChat's own paths, so that a program that uses an SDK of
// WeChat's changes its base URL and its secret and nothing else: template messages
// are queued, every other call is passed on with the fleet's access token.
package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/rawjson"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// WeChat's paths that are not passed on.
const (
	tokenPath  = "/cgi-bin/token"
	stablePath = "/cgi-bin/stable_token"
)

const (
	// webAuthorisation has the calls of WeChat that take the AppSecret in their query.
	webAuthorisation = "/sns/"
	// messagePaths has the calls that write to followers.
	messagePaths = "/cgi-bin/message/"
)

const (
	// tokenLife is how long a token of ours is good, WeChat's own 7 200 s.
	tokenLife = 2 * time.Hour
	// maxMessage is what the body of a template send or a token call may have.
	maxMessage = 64 << 10
)

// Account is what the gateway uses of one account.
type Account struct {
	AppID     string
	AppSecret wechat.Secret // for WeChat's calls that need it themselves, such as /sns/oauth2/access_token
	BaseURL   string        // WeChat's API host
	Producer  *producer.Producer
	Tokens    wechat.TokenSource
	// Gate tells the quota that a key's share is a part of. It is not asked for keys without one.
	Gate apikey.Gate
	// Transport makes the calls that are passed on. Nil: net/http's default.
	Transport http.RoundTripper
}

// Config of the gateway.
type Config struct {
	Accounts []Account
	Keys     *apikey.Keyring
	// ClientIP returns the caller's address, by which wrong secrets are slowed.
	ClientIP func(*http.Request) string
	// OnCall is told of each call that was answered. Nil: nothing is.
	OnCall func(Call)
	Logger *zap.Logger
}

// Call is one call that was answered.
type Call struct {
	Account string // empty: the caller is not known
	// Route is token, send or other.
	Route   string
	Errcode wechat.Code // of the answer; 0 also where the answer has none
	Took    time.Duration
}

// Gateway is the handler of WeChat's paths.
type Gateway struct {
	accounts map[string]*upstream
	keys     *apikey.Keyring
	cfg      Config
	log      *zap.Logger
}

// New checks cfg. It makes no connection.
func New(cfg Config) (*Gateway, error) {
	if cfg.Keys == nil || len(cfg.Accounts) == 0 || cfg.ClientIP == nil {
		return nil, errors.New("gateway: keys, an account and ClientIP are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.OnCall == nil {
		cfg.OnCall = func(Call) {}
	}
	g := &Gateway{accounts: map[string]*upstream{}, keys: cfg.Keys, cfg: cfg, log: cfg.Logger}
	for _, a := range cfg.Accounts {
		u, err := newUpstream(a)
		if err != nil {
			return nil, err
		}
		g.accounts[a.AppID] = u
	}
	return g, nil
}

// Paths are the subtrees that the gateway serves.
func Paths() []string { return []string{"/cgi-bin/", "/sns/", "/wxa/"} }

// request is one call with what was found out about it.
type request struct {
	g       *Gateway
	w       http.ResponseWriter
	r       *http.Request
	path    string
	query   url.Values
	key     *apikey.Key
	up      *upstream
	started time.Time
	errcode wechat.Code // of the answer, when it is known
}

// refusal is an answer in WeChat's form.
type refusal struct {
	code wechat.Code
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code wechat.Code, text string) error { return &refusal{code, text} }

// ServeHTTP answers one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := &request{g: g, w: w, r: r, started: time.Now()}
	w.Header().Set("Cache-Control", "no-store")
	if err := req.serve(); err != nil {
		req.refused(err)
	}
	took := time.Since(req.started)
	fields := []zap.Field{
		zap.String("path", req.path), zap.Int("errcode", int(req.errcode)),
		zap.Float64("latency_ms", float64(took.Microseconds())/1000),
	}
	done := Call{Route: route(req.path), Errcode: req.errcode, Took: took}
	if req.key != nil {
		done.Account = req.key.Account
		fields = append(fields, zap.String("account", req.key.Account), zap.String("key", req.key.ID))
	}
	g.cfg.OnCall(done)
	g.log.Info("gateway", fields...)
}

func route(path string) string {
	switch path {
	case tokenPath, stablePath:
		return "token"
	case wechat.SendPath:
		return "send"
	}
	return "other"
}

func (q *request) serve() error {
	if err := q.checkPath(); err != nil {
		return err
	}
	switch q.path {
	case tokenPath, stablePath:
		return q.serveToken()
	case wechat.SendPath:
		return q.serveSend()
	}
	return q.pass()
}

// checkPath refuses a path that another server might read as a different one.
func (q *request) checkPath() error {
	u := q.r.URL
	raw, _, _ := strings.Cut(q.r.RequestURI, "?")
	if u.Host != "" || u.Opaque != "" || raw != "" && raw != u.Path || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") ||
		strings.ContainsAny(u.Path, "\\%;") || strings.ContainsFunc(u.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return refuse(codeInvalidURL, "invalid url: write the path plainly, without encoded or doubled slashes and dots")
	}
	for _, own := range []string{tokenPath, stablePath, wechat.SendPath} {
		if u.Path != own && strings.EqualFold(strings.TrimSuffix(u.Path, "/"), own) {
			return refuse(codeInvalidURL, "invalid url: write "+own+", without capitals and a slash at its end")
		}
	}
	q.path = u.Path
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || strings.ContainsAny(u.RawQuery, ";#") {
		return refuse(codeInvalidURL, "invalid url: the query cannot be read: percent-encode the values, and separate parameters by &")
	}
	for _, name := range []string{"access_token", "secret", "appid"} {
		if len(query[name]) > 1 {
			return refuse(codeInvalidURL, "invalid url: the query has "+name+" twice: give it once")
		}
	}
	q.query = query
	return nil
}

// codeInvalidURL is WeChat's answer to a path that it does not have.
const codeInvalidURL wechat.Code = 40066

// authorize takes the caller by its token of ours, or by the API key itself.
func (q *request) authorize() error {
	token := q.query.Get("access_token")
	if token == "" {
		return refuse(wechat.CodeMissingToken, "access_token missing: fetch one from "+tokenPath+" with an API key as the secret")
	}
	key, err := q.g.keys.VerifyToken(q.r.Context(), token)
	if errors.Is(err, apikey.ErrUnknown) {
		return refuse(wechat.CodeInvalidCredential, "invalid credential, access_token is invalid or not latest: its key was revoked, or it is none of this gateway's, "+
			"such as WeChat's own, which a key of the scope token gets: that is for WeChat's host")
	}
	if err != nil {
		return err
	}
	return q.admit(key)
}

// admit notes the key, which must have the scope gateway and calls left in its rate.
func (q *request) admit(key *apikey.Key) error {
	if !key.May(apikey.Gateway) {
		return refuse(wechat.CodeUnauthorized, "api unauthorized: the API key has not the scope gateway")
	}
	q.key, q.up = key, q.g.accounts[key.Account]
	if q.up == nil {
		return refuse(wechat.CodeInvalidAppID, "invalid appid: this gateway does not serve the account of the key")
	}
	if wait, limit, _ := q.g.keys.Allow(key); wait > 0 {
		q.w.Header().Set("Retry-After", "1")
		return refuse(wechat.CodeRate, fmt.Sprintf("api minute-quota reach limit: the API key may make %d calls a second", limit))
	}
	return nil
}

// refused answers err in WeChat's form: always 200, as WeChat does.
func (q *request) refused(err error) {
	var r *refusal
	if !errors.As(err, &r) {
		q.g.log.Error("a gateway call failed", zap.String("path", q.path), zap.NamedError("cause", err))
		r = &refusal{wechat.CodeBusy, "system error: repeat the call"}
	}
	q.errcode = r.code
	q.answer(map[string]any{"errcode": r.code, "errmsg": r.text})
}

// answer writes v as WeChat does: JSON without escapes for HTML and without a line
// break at its end, which co-wechat-api cannot read.
func (q *request) answer(v any) {
	text, _ := rawjson.Marshal(v) // texts and numbers only: it cannot fail
	q.w.Header().Set("Content-Type", "application/json; encoding=utf-8")
	_, _ = q.w.Write(text) // the caller is gone: nothing to tell it
}

// body reads a small body whole.
func (q *request) body() ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, maxMessage))
	if err != nil {
		return nil, refuse(45001, "the body is too large, or ended early")
	}
	return body, nil
}
