package wechat

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The scopes of web authorisation.
const (
	ScopeBase     = "snsapi_base"     // silent: the openid alone
	ScopeUserInfo = "snsapi_userinfo" // asks the user: name and picture too
)

// DefaultAuthorizeURL is the page that a user's browser is sent to.
const DefaultAuthorizeURL = "https://open.weixin.qq.com/connect/oauth2/authorize"

// StateLimit is the length of the longest state, in bytes.
const StateLimit = 128

// The calls of web authorisation.
const (
	oauthExchangePath = "/sns/oauth2/access_token"
	oauthRefreshPath  = "/sns/oauth2/refresh_token"
	oauthProfilePath  = "/sns/userinfo"
	oauthCheckPath    = "/sns/auth"
)

const (
	refreshLife = 30 * 24 * time.Hour
	codeLimit   = 512 // bytes of a code; a real one has 32
)

// ErrNoCode is an Exchange without a code, or with a text that is none: WeChat
// was not asked. A user who refuses may come back so.
var ErrNoCode = errors.New("wechat: the browser came back without a code: start the authorisation again")

// Authorize is where a user's browser is sent to say who the user is (docs:
// 网页授权).
type Authorize struct {
	// URL is the page. Default https://open.weixin.qq.com/connect/oauth2/authorize.
	URL string
	// AppID is the account's appid. Required.
	AppID string
	// RedirectURI is where the browser comes back to: an absolute URL on the
	// account's 网页授权域名. Required.
	RedirectURI string
	// Scope is ScopeBase or ScopeUserInfo. Empty: ScopeBase.
	Scope string
	// State comes back with the code: up to StateLimit of [A-Za-z0-9]. Required,
	// since it is what ties the answer to the browser that asked.
	State string
}

// Link is the page's address with its parameters in the one order that WeChat
// takes: appid, redirect_uri, response_type, scope, state, #wechat_redirect. It
// names all faults at once, and quotes nothing.
func (a Authorize) Link() (string, error) {
	if a.URL == "" {
		a.URL = DefaultAuthorizeURL
	}
	if a.Scope == "" {
		a.Scope = ScopeBase
	}
	if err := a.validate(); err != nil {
		return "", err
	}
	// By hand: url.Values would sort.
	return a.URL + "?appid=" + url.QueryEscape(a.AppID) +
		"&redirect_uri=" + url.QueryEscape(a.RedirectURI) +
		"&response_type=code&scope=" + a.Scope + "&state=" + a.State + "#wechat_redirect", nil
}

func (a Authorize) validate() error {
	var faults []error
	fault := func(text string) { faults = append(faults, errors.New("wechat: Authorize."+text)) }
	if u, err := url.Parse(a.URL); err != nil || !isWebURL(a.URL) || u.RawQuery != "" || strings.Contains(a.URL, "#") || strings.HasSuffix(a.URL, "?") {
		fault("URL is not an absolute address without query: leave it empty for WeChat's own")
	}
	if !isToken(a.AppID, 64) {
		fault("AppID is not an appid: copy it from mp.weixin.qq.com, such as wx0123456789abcdef")
	}
	if u, err := url.Parse(a.RedirectURI); err != nil || !isWebURL(a.RedirectURI) || u.User != nil || strings.Contains(a.RedirectURI, "#") {
		fault("RedirectURI is not an absolute http(s) address without user and fragment: give the address on the account's 网页授权域名")
	}
	if a.Scope != ScopeBase && a.Scope != ScopeUserInfo {
		fault("Scope is neither snsapi_base nor snsapi_userinfo")
	}
	switch {
	case a.State == "":
		fault("State is empty: give a fresh one that cannot be guessed")
	case len(a.State) > StateLimit:
		fault(fmt.Sprintf("State has %d bytes, and WeChat takes %d: shorten it", len(a.State), StateLimit))
	case !isToken(a.State, StateLimit) || strings.ContainsAny(a.State, "-_"):
		fault("State holds other characters than letters and digits, which WeChat refuses: encode it as hex")
	}
	return errors.Join(faults...)
}

// UserToken is what a code is exchanged for: who the user is, and a token for
// that user's profile. It is another token than the account's, and each user
// has one.
type UserToken struct {
	AccessToken  Secret
	RefreshToken Secret
	ExpiresAt    time.Time // of AccessToken, two hours by the documentation
	// RefreshBefore ends RefreshToken, 30 days after the exchange. Zero after a
	// Refresh that brought the same RefreshToken: the earlier moment stands.
	RefreshBefore time.Time
	OpenID        string // under this account
	UnionID       string // often empty, see Profile
	Scope         string
	// Snapshot is the virtual user of a page in quick look: OpenID and UnionID
	// are nobody's. Never bind them, never write to them.
	Snapshot bool
}

// Profile is what a user shows. Sex and region are left out: WeChat has not
// told them since 2021-10.
type Profile struct {
	OpenID     string
	UnionID    string // empty unless the account is bound to an Open Platform account
	Nickname   string
	PictureURL string // may be empty, and changes
}

// OAuth makes the server's calls of web authorisation for one account. Safe for
// concurrent use.
type OAuth struct {
	caller *caller
	appID  string
	secret Secret
}

// NewOAuth checks cfg as NewClient does; AppSecret is required.
func NewOAuth(cfg Config) (*OAuth, error) {
	if err := cfg.validate(true); err != nil {
		return nil, err
	}
	caller, err := newCaller(cfg)
	if err != nil {
		return nil, err
	}
	return &OAuth{caller: caller, appID: cfg.AppID, secret: cfg.AppSecret}, nil
}

// CloseIdleConnections closes the kept connections of the HTTP client.
func (o *OAuth) CloseIdleConnections() { o.caller.http.CloseIdleConnections() }

// Exchange calls GET /sns/oauth2/access_token (docs: 通过code换取网页授权access_token)
// with the code that the browser brought. A code is good once, for five minutes,
// so the call is made once and repeated by nobody, not even by net/http: after
// any error start the authorisation again, for WeChat may have used the code up.
// Errors are ErrNoCode, *Error and *TransportError.
func (o *OAuth) Exchange(ctx context.Context, code Secret) (UserToken, error) {
	text := code.Reveal()
	if text == "" || len(text) > codeLimit || hasControl(text, false) {
		return UserToken{}, ErrNoCode
	}
	return o.token(ctx, call{op: oauthExchangePath, once: true, query: url.Values{
		"appid": {o.appID}, "secret": {o.secret.Reveal()}, "code": {text}, "grant_type": {"authorization_code"},
	}, known: quoting(text)})
}

// Refresh calls GET /sns/oauth2/refresh_token (docs: 刷新access_token) and
// returns the token with a new life. Scope and Snapshot are as WeChat tells
// them now. Errors are *Error and *TransportError.
func (o *OAuth) Refresh(ctx context.Context, refresh Secret) (UserToken, error) {
	text := refresh.Reveal()
	t, err := o.token(ctx, call{op: oauthRefreshPath, query: url.Values{
		"appid": {o.appID}, "grant_type": {"refresh_token"}, "refresh_token": {text},
	}, known: quoting(text)})
	if t.RefreshToken == refresh {
		t.RefreshBefore = time.Time{}
	}
	return t, err
}

func (o *OAuth) token(ctx context.Context, k call) (UserToken, error) {
	var answer struct {
		AccessToken  looseString `json:"access_token"`
		ExpiresIn    *looseInt   `json:"expires_in"`
		RefreshToken looseString `json:"refresh_token"`
		OpenID       looseString `json:"openid"`
		UnionID      looseString `json:"unionid"`
		Scope        looseString `json:"scope"`
		Snapshot     looseInt    `json:"is_snapshotuser"`
	}
	asked := time.Now() // the life counts from before the answer travelled
	if err := o.get(ctx, k, &answer); err != nil {
		return UserToken{}, err
	}
	if answer.AccessToken == "" || answer.ExpiresIn == nil || *answer.ExpiresIn < 0 || !isToken(string(answer.OpenID), OpenIDLimit) {
		return UserToken{}, unreadable(k.op, "the answer has no access_token, no expires_in or no openid")
	}
	life := min(time.Duration(min(*answer.ExpiresIn, 1<<30))*time.Second, longestLife)
	return UserToken{
		AccessToken: NewSecret(string(answer.AccessToken)), RefreshToken: NewSecret(string(answer.RefreshToken)),
		ExpiresAt: asked.Add(life), RefreshBefore: asked.Add(refreshLife),
		OpenID: string(answer.OpenID), UnionID: string(answer.UnionID),
		Scope: string(answer.Scope), Snapshot: answer.Snapshot != 0,
	}, nil
}

// Profile calls GET /sns/userinfo (docs: 拉取用户信息). It needs a token of
// ScopeUserInfo, and no Snapshot: WeChat answers 48001 otherwise. Errors are
// *Error and *TransportError.
func (o *OAuth) Profile(ctx context.Context, t UserToken) (Profile, error) {
	var answer struct {
		OpenID   looseString `json:"openid"`
		UnionID  looseString `json:"unionid"`
		Nickname looseString `json:"nickname"`
		Picture  looseString `json:"headimgurl"`
	}
	k := userCall(oauthProfilePath, t)
	k.query.Set("lang", "zh_CN")
	if err := o.get(ctx, k, &answer); err != nil {
		return Profile{}, err
	}
	if strings.TrimSpace(string(answer.OpenID)) != t.OpenID {
		return Profile{}, unreadable(k.op, "the answer is about another user, or about none")
	}
	return Profile{
		OpenID: t.OpenID, UnionID: string(answer.UnionID),
		Nickname: string(answer.Nickname), PictureURL: string(answer.Picture),
	}, nil
}

// Check calls GET /sns/auth (docs: 检验授权凭证是否有效): nil when the token is
// good for its user. Errors are *Error and *TransportError.
func (o *OAuth) Check(ctx context.Context, t UserToken) error {
	return o.get(ctx, userCall(oauthCheckPath, t), nil)
}

func userCall(op string, t UserToken) call {
	text := t.AccessToken.Reveal()
	return call{
		op: op, query: url.Values{"access_token": {text}, "openid": {t.OpenID}},
		known: quoting(text, t.OpenID),
	}
}

func (o *OAuth) get(ctx context.Context, k call, result any) error {
	k.known = k.alsoKnown(quoting(o.secret.Reveal()))
	data, err := o.caller.do(ctx, k)
	if err != nil {
		return err
	}
	return decodeAnswer(k, data, result)
}

func isOAuth(op string) bool { return strings.HasPrefix(op, "/sns/") }

// oauthKind: what these calls refuse concerns the one user, unless it concerns
// the account's own credentials or standing.
func oauthKind(op string, code Code) Kind {
	kind := code.Kind()
	withCredentials := op == oauthExchangePath || op == oauthRefreshPath
	switch {
	case kind == KindOK, kind == KindUnknown, kind == KindBusy, kind == KindRate, kind == KindQuota:
		return kind
	case kind == KindAccount && code != CodeUnauthorized,
		withCredentials && (code == CodeInvalidCredential || code == CodeInvalidAppID || code == CodeUnauthorized):
		return KindAccount
	}
	return KindManagement
}

// oauthRemedy is empty where the code's own remedy holds.
func oauthRemedy(op string, code Code) string {
	switch withCredentials := op == oauthExchangePath || op == oauthRefreshPath; {
	case !isOAuth(op):
		return ""
	case withCredentials && code == CodeInvalidCredential:
		return CodeInvalidSecret.Remedy()
	case withCredentials && code == CodeInvalidAppID:
		return "Correct the account's appid in the configuration: WeChat knows no such account."
	case withCredentials && code == CodeUnauthorized:
		return "Check under 接口权限 on mp.weixin.qq.com that the account may use 网页授权: it must be a verified service account."
	case code == CodeUnauthorized:
		return "Ask for scope snsapi_userinfo, and do not ask for the profile of a snapshot user."
	case code.Kind() == KindToken:
		return "Start the authorisation again: the user's access token is over, and a refresh may bring another."
	case code == CodeInvalidOpenID:
		return "Start the authorisation again: the token is another user's."
	}
	return ""
}
