package wechat

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
)

// The scopes of web authorization.
const (
	ScopeBase     = "snsapi_base"     // without a question to the user: the openid only
	ScopeUserInfo = "snsapi_userinfo" // with the user's consent: name and picture too
)

const defaultAuthorizeURL = "https://open.weixin.qq.com/connect/oauth2/authorize"

// stateLimit is the length of the longest state, in bytes.
const stateLimit = 128

// The calls of web authorization.
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

// ErrNoCode is returned by Exchange for an empty or impossible code, without a
// call. A user who refuses consent may return without a code.
var ErrNoCode = errors.New("wechat: no code: start the authorization again")

// Authorize describes the page that a user's browser opens to identify the user
// (docs: 网页授权).
type Authorize struct {
	// URL is the page. Empty: https://open.weixin.qq.com/connect/oauth2/authorize.
	URL string
	// AppID is the account's appid. Required.
	AppID string
	// RedirectURI is where WeChat redirects the browser: an absolute URL on the
	// account's 网页授权域名. Required.
	RedirectURI string
	// Scope is ScopeBase or ScopeUserInfo. Empty: ScopeBase.
	Scope string
	// State is returned with the code: up to 128 of [A-Za-z0-9]. Required, since
	// it ties the redirect to the browser that started.
	State string
}

// Link returns the page's address with its parameters in the order that WeChat
// requires: appid, redirect_uri, response_type, scope, state, #wechat_redirect.
// It reports all faults at once and quotes no value.
func (a Authorize) Link() (string, error) {
	if a.URL == "" {
		a.URL = defaultAuthorizeURL
	}
	if a.Scope == "" {
		a.Scope = ScopeBase
	}
	if err := a.validate(); err != nil {
		return "", err
	}
	// url.Values would sort the parameters.
	return a.URL + "?appid=" + url.QueryEscape(a.AppID) +
		"&redirect_uri=" + url.QueryEscape(a.RedirectURI) +
		"&response_type=code&scope=" + a.Scope + "&state=" + a.State + "#wechat_redirect", nil
}

func (a Authorize) validate() error {
	var faults configFaults
	page, err := url.Parse(a.URL)
	faults.check(err == nil && isWebURL(a.URL) && page.RawQuery == "" && !strings.Contains(a.URL, "#") && !strings.HasSuffix(a.URL, "?"),
		"Authorize.URL is not an absolute address without a query: leave it empty for WeChat's own")
	faults.check(isToken(a.AppID, 64), "Authorize.AppID is not an appid: copy it from 开发信息 on developers.weixin.qq.com/platform, such as wx0123456789abcdef")
	back, err := url.Parse(a.RedirectURI)
	faults.check(err == nil && isWebURL(a.RedirectURI) && back.User == nil && !strings.Contains(a.RedirectURI, "#"),
		"Authorize.RedirectURI is not an absolute http(s) address without user and fragment: use an address on the account's 网页授权域名")
	faults.check(a.Scope == ScopeBase || a.Scope == ScopeUserInfo, "Authorize.Scope is neither snsapi_base nor snsapi_userinfo")
	switch {
	case a.State == "":
		faults.check(false, "Authorize.State is empty: use a new random one")
	case len(a.State) > stateLimit:
		faults.check(false, "Authorize.State has %d bytes, and WeChat accepts %d: shorten it", len(a.State), stateLimit)
	case !isToken(a.State, stateLimit) || strings.ContainsAny(a.State, "-_"):
		faults.check(false, "Authorize.State has characters other than letters and digits, which WeChat refuses: encode it as hex")
	}
	return errors.Join(faults...)
}

// UserToken is the result of an exchange: the user's openid, and a token for the
// user's profile. It is not the account's access token.
type UserToken struct {
	AccessToken  Secret
	RefreshToken Secret
	ExpiresAt    time.Time // of AccessToken; WeChat documents two hours
	// RefreshBefore is when RefreshToken expires, 30 days after the exchange. Zero
	// after a Refresh that returned the same RefreshToken: the earlier value
	// stays valid.
	RefreshBefore time.Time
	OpenID        string // under this account
	UnionID       string // often empty, see Profile
	Scope         string
	// Snapshot marks the virtual user of a page in snapshot mode. OpenID and
	// UnionID belong to no real user: never bind them, never send to them.
	Snapshot bool
}

// Profile is a user's public profile. It has no sex and region: WeChat has not
// returned them since 2021-10.
type Profile struct {
	OpenID     string
	UnionID    string // empty unless the account is bound to an Open Platform account
	Nickname   string
	PictureURL string // may be empty, and changes
}

// OAuth makes the server's calls of web authorization for one account. Safe for
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

// CloseIdleConnections closes the idle connections of the HTTP client.
func (o *OAuth) CloseIdleConnections() { o.caller.client.CloseIdleConnections() }

// Exchange calls GET /sns/oauth2/access_token (docs: 通过code换取网页授权access_token)
// with the code of the redirect. A code is valid once, for five minutes, so the
// call is never repeated, not even by net/http. After any error start the
// authorization again: WeChat may have used up the code. Errors are ErrNoCode,
// *Error and *TransportError.
func (o *OAuth) Exchange(ctx context.Context, code Secret) (UserToken, error) {
	text := code.Reveal()
	if text == "" || len(text) > codeLimit || hasControl(text, false) {
		return UserToken{}, ErrNoCode
	}
	return o.token(ctx, call{op: oauthExchangePath, once: true, query: url.Values{
		"appid": {o.appID}, "secret": {o.secret.Reveal()}, "code": {text}, "grant_type": {"authorization_code"},
	}, secrets: []string{text}})
}

// Refresh calls GET /sns/oauth2/refresh_token (docs: 刷新access_token) and
// returns the token with a new expiry. Scope and Snapshot are as WeChat answers
// this call. Errors are *Error and *TransportError.
func (o *OAuth) Refresh(ctx context.Context, refresh Secret) (UserToken, error) {
	text := refresh.Reveal()
	t, err := o.token(ctx, call{op: oauthRefreshPath, query: url.Values{
		"appid": {o.appID}, "grant_type": {"refresh_token"}, "refresh_token": {text},
	}, secrets: []string{text}})
	if t.RefreshToken == refresh {
		t.RefreshBefore = time.Time{}
	}
	return t, err
}

func (o *OAuth) token(ctx context.Context, k call) (UserToken, error) {
	var answer struct {
		status
		AccessToken  looseString `json:"access_token"`
		ExpiresIn    *looseInt   `json:"expires_in"`
		RefreshToken looseString `json:"refresh_token"`
		OpenID       looseString `json:"openid"`
		UnionID      looseString `json:"unionid"`
		Scope        looseString `json:"scope"`
		Snapshot     looseInt    `json:"is_snapshotuser"`
	}
	asked := time.Now() // expires_in counts from WeChat's answer at the earliest
	if err := o.get(ctx, k, &answer); err != nil {
		return UserToken{}, err
	}
	if answer.AccessToken == "" || answer.ExpiresIn == nil || *answer.ExpiresIn < 0 || !isToken(string(answer.OpenID), openIDLimit) {
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
// ScopeUserInfo that is no Snapshot: WeChat answers 48001 otherwise. Errors are
// *Error and *TransportError.
func (o *OAuth) Profile(ctx context.Context, t UserToken) (Profile, error) {
	var answer struct {
		status
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
		return Profile{}, unreadable(k.op, "the answer is about another user or has no openid")
	}
	return Profile{
		OpenID: t.OpenID, UnionID: string(answer.UnionID),
		Nickname: string(answer.Nickname), PictureURL: string(answer.Picture),
	}, nil
}

// Check calls GET /sns/auth (docs: 检验授权凭证是否有效). It returns nil when the
// token is valid for its user. Errors are *Error and *TransportError.
func (o *OAuth) Check(ctx context.Context, t UserToken) error {
	return o.get(ctx, userCall(oauthCheckPath, t), new(status))
}

func userCall(op string, t UserToken) call {
	text := t.AccessToken.Reveal()
	return call{op: op, query: url.Values{"access_token": {text}, "openid": {t.OpenID}}, secrets: []string{text}}
}

func (o *OAuth) get(ctx context.Context, k call, a answer) error {
	k.appSecret = o.secret
	return o.caller.do(ctx, k, a)
}

func isOAuth(op string) bool { return strings.HasPrefix(op, "/sns/") }

// oauthKind is the kind of an errcode of these calls: it concerns one user, except
// when it is about the account's credentials or permissions.
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

// oauthRemedy reports false where the code's own remedy applies.
func oauthRemedy(op string, code Code) (remedy words, special bool) {
	switch withCredentials := op == oauthExchangePath || op == oauthRefreshPath; {
	case !isOAuth(op):
		return words{}, false
	case withCredentials && code == CodeInvalidCredential:
		return CodeInvalidSecret.row().remedy, true
	case withCredentials && code == CodeInvalidAppID:
		return wrongAppID(), true
	case withCredentials && code == CodeUnauthorized:
		return words{
			"Check under 接口权限 on mp.weixin.qq.com that the account may use 网页授权: it must be a verified service account.",
			"在 mp.weixin.qq.com 的“接口权限”中确认账号可使用网页授权：须为已认证的服务号。",
		}, true
	case code == CodeUnauthorized:
		return words{
			"Request scope snsapi_userinfo, and do not request the profile of a snapshot user.",
			"使用 scope snsapi_userinfo，并且不要获取快照页用户的资料。",
		}, true
	case code.Kind() == KindToken:
		return words{
			"Start the authorization again, or refresh the token: the user's access token has expired.",
			"重新授权，或刷新 token：用户的 access token 已过期。",
		}, true
	case code == CodeInvalidOpenID:
		return words{
			"Start the authorization again: the token belongs to another user.",
			"重新授权：token 属于另一个用户。",
		}, true
	}
	return words{}, false
}
