package wechat

import (
	"context"
	"net/url"
	"time"
)

// The calls that fetch a token.
const (
	classicPath = "/cgi-bin/token"
	stablePath  = "/cgi-bin/stable_token"
)

// longestLife limits the expires_in that is believed. WeChat documents two hours.
const longestLife = 24 * time.Hour

func fetchesToken(op string) bool { return op == classicPath || op == stablePath }

// TokenFetcher fetches access tokens. It keeps nothing: use it with
// ReuseTokenSource or package tokenstore. Safe for concurrent use.
type TokenFetcher struct {
	caller *caller
	appID  string
	secret Secret
}

// NewTokenFetcher checks cfg as NewClient does; AppSecret is required.
func NewTokenFetcher(cfg Config) (*TokenFetcher, error) {
	if err := cfg.validate(true); err != nil {
		return nil, err
	}
	caller, err := newCaller(cfg)
	if err != nil {
		return nil, err
	}
	return &TokenFetcher{caller: caller, appID: cfg.AppID, secret: cfg.AppSecret}, nil
}

// CloseIdleConnections closes the idle connections of the fetcher's HTTP client.
func (f *TokenFetcher) CloseIdleConnections() { f.caller.client.CloseIdleConnections() }

// FetchClassic calls GET /cgi-bin/token (docs: 获取接口调用凭据). Each call
// supersedes the previous token, which stays valid for five minutes. At most 2000
// calls a day. Errors are *Error of KindAccount, KindBusy or KindRate, and
// *TransportError.
func (f *TokenFetcher) FetchClassic(ctx context.Context) (Token, error) {
	return f.fetch(ctx, call{op: classicPath, query: url.Values{
		"grant_type": {"client_credential"},
		"appid":      {f.appID},
		"secret":     {f.secret.Reveal()},
	}})
}

// FetchStable calls POST /cgi-bin/stable_token (docs: 获取稳定版接口调用凭据).
// Without force it returns the current token, which may expire soon. With force
// WeChat replaces the current token at once: at most 20 calls a day, 30 s apart.
// Errors are those of FetchClassic.
func (f *TokenFetcher) FetchStable(ctx context.Context, force bool) (Token, error) {
	body, err := marshalRaw(struct {
		GrantType string `json:"grant_type"`
		AppID     string `json:"appid"`
		Secret    string `json:"secret"`
		Force     bool   `json:"force_refresh"`
	}{"client_credential", f.appID, f.secret.Reveal(), force})
	if err != nil {
		return Token{}, err
	}
	return f.fetch(ctx, call{op: stablePath, body: body})
}

func (f *TokenFetcher) fetch(ctx context.Context, k call) (Token, error) {
	k.appSecret = f.secret
	asked := time.Now() // expires_in counts from WeChat's answer at the earliest
	var answer struct {
		status
		Token     looseString `json:"access_token"`
		ExpiresIn *looseInt   `json:"expires_in"`
	}
	if err := f.caller.do(ctx, k, &answer); err != nil {
		return Token{}, err
	}
	if answer.Token == "" || answer.ExpiresIn == nil || *answer.ExpiresIn < 0 {
		return Token{}, unreadable(k.op, "the answer has no access_token or no expires_in")
	}
	life := min(time.Duration(min(*answer.ExpiresIn, 1<<30))*time.Second, longestLife)
	return Token{Value: NewSecret(string(answer.Token)), ExpiresAt: asked.Add(life)}, nil
}
