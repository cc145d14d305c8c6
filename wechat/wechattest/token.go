package wechattest

import (
	"crypto/subtle"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Times of access tokens (docs: 获取接口调用凭据, 获取稳定版接口调用凭据).
const (
	tokenLife  = 7200 * time.Second
	tokenGrace = 5 * time.Minute // a superseded token stays valid for this time

	forcePerDay = 20
	forceGap    = 30 * time.Second
)

// accessToken is one token of an account.
type accessToken struct {
	value      string
	account    *Account
	expires    time.Time // 42001 from then on
	superseded time.Time // 40001 from then on; zero: not superseded
	refused    bool      // 40001 although stable_token still returns it
}

func (t *accessToken) check(now time.Time) wechat.Code {
	switch {
	case t.refused, !t.superseded.IsZero() && !now.Before(t.superseded):
		return 40001
	case !now.Before(t.expires):
		return 42001
	}
	return 0
}

type forceCount struct {
	day    int64
	n      int
	last   time.Time
	before *accessToken // the token that the last one replaced
}

// issue makes a new token of the account. The lock is held.
func (a *Account) issue(now time.Time) *accessToken {
	for value, t := range a.p.tokens { // drop tokens that expired long ago
		if len(a.p.tokens) > 4096 && now.Sub(t.expires) > tokenLife {
			delete(a.p.tokens, value)
		}
	}
	t := &accessToken{value: newTokenText(), account: a, expires: now.Add(tokenLife)}
	a.p.tokens[t.value] = t
	return t
}

// newTokenText is as long as WeChat's tokens.
func newTokenText() string { return "91_" + randomText(128) }

// classicToken makes a new token. The one before stays valid for tokenGrace.
func (a *Account) classicToken(now time.Time) *accessToken {
	a.classic.endAt(now.Add(tokenGrace))
	a.classic = a.issue(now)
	return a.classic
}

// stableToken returns the same token until tokenGrace before its expiry.
func (a *Account) stableToken(now time.Time) *accessToken {
	t := a.stable
	if t == nil || !t.superseded.IsZero() || t.expires.Sub(now) <= tokenGrace {
		a.stable = a.issue(now)
	}
	return a.stable
}

// forceToken replaces the stable token, at most forcePerDay times a day. Within
// forceGap of the last time it replaces nothing and returns the current token. The
// token before stays valid for tokenGrace, or until the next forced refresh: WeChat's
// pages say that two of them, forceGap apart, end a leaked token (docs: 获取稳定版接口
// 调用凭据 of sibling products). WeChat does not document which errcode refuses the
// 21st; 45009 is in the page's list of errors.
func (a *Account) forceToken(now time.Time) (*accessToken, wechat.Code) {
	if day := a.p.day(now); day != a.forced.day {
		a.forced.day, a.forced.n = day, 0
	}
	if !a.forced.last.IsZero() && now.Sub(a.forced.last) < forceGap {
		return a.stableToken(now), 0
	}
	if a.forced.n >= forcePerDay {
		return nil, 45009
	}
	a.forced.n++
	a.forced.last = now
	grace := tokenGrace
	if a.p.cfg.ForceEndsToken {
		grace = 0
	}
	a.forced.before.endAt(now)
	a.stable.endAt(now.Add(grace))
	a.forced.before, a.stable = a.stable, a.issue(now)
	return a.stable, 0
}

// endAt makes the token invalid from at on, unless it ends sooner.
func (t *accessToken) endAt(at time.Time) {
	if t != nil && (t.superseded.IsZero() || at.Before(t.superseded)) {
		t.superseded = at
	}
}

// killTokens invalidates every token of the account. The lock is held.
func (a *Account) killTokens() {
	now := time.Now()
	for _, t := range a.p.tokens {
		if t.account == a {
			t.endAt(now)
		}
	}
}

// KillTokens invalidates every token of every account at once (40001), as a reset
// of the AppSecret or another program's fetch does. The next fetch returns a new
// one.
func (p *Platform) KillTokens() {
	for _, a := range p.order {
		a.KillTokens()
	}
}

// KillTokens invalidates every token of the account at once (40001).
func (a *Account) KillTokens() {
	defer a.p.locked()()
	a.killTokens()
}

// RefuseStableToken refuses the current stable token (40001) while stable_token
// still returns it. Only force_refresh replaces it.
func (a *Account) RefuseStableToken() {
	defer a.p.locked()()
	if a.stable != nil {
		a.stable.refused = true
	}
}

// FetchToken fetches a classic token, which supersedes the one before, as another
// program that uses the account does.
func (a *Account) FetchToken() wechat.Secret {
	defer a.p.locked()()
	return wechat.NewSecret(a.classicToken(time.Now()).value)
}

// TokenFetches counts the tokens that both token endpoints returned.
func (p *Platform) TokenFetches() int {
	defer p.locked()()
	return p.fetches
}

// serveToken is GET /cgi-bin/token.
func serveToken(c *call) answer {
	q := c.query()
	return c.tokenFetch(q.Get("grant_type"), q.Get("appid"), q.Get("secret"), func(a *Account) (*accessToken, wechat.Code) {
		return a.classicToken(c.now), 0
	})
}

// serveStableToken is POST /cgi-bin/stable_token.
func serveStableToken(c *call) answer {
	var in struct {
		GrantType    string `json:"grant_type"`
		AppID        string `json:"appid"`
		Secret       string `json:"secret"`
		ForceRefresh bool   `json:"force_refresh"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	return c.tokenFetch(in.GrantType, in.AppID, in.Secret, func(a *Account) (*accessToken, wechat.Code) {
		if in.ForceRefresh {
			return a.forceToken(c.now)
		}
		return a.stableToken(c.now), 0
	})
}

// tokenFetch checks the caller, in WeChat's order, and returns a token.
func (c *call) tokenFetch(grant, appid, secret string, fetch func(*Account) (*accessToken, wechat.Code)) answer {
	defer c.p.locked()()
	a, bad := c.credentials(appid, secret)
	if bad.code != 0 {
		return bad
	}
	if grant != "client_credential" {
		return refuse(40002)
	}
	if bad := c.checkIP(); bad.code != 0 {
		return bad
	}
	if a.tokensFrozen != 0 {
		return refuse(a.tokensFrozen)
	}
	if code := a.spend(c.path(), c.now); code != 0 {
		return refuse(code)
	}
	t, code := fetch(a)
	if code != 0 {
		return refuse(code)
	}
	c.p.fetches++
	left := int64(t.expires.Sub(c.now) / time.Second)
	return answer{body: []byte(`{"access_token":"` + t.value + `","expires_in":` + strconv.FormatInt(left, 10) + `}`)}
}

// credentials finds the account by appid and secret. The lock is held.
func (c *call) credentials(appid, secret string) (*Account, answer) {
	switch {
	case appid == "":
		return nil, refuse(41002)
	case secret == "":
		return nil, refuse(41004)
	}
	a := c.p.accounts[appid]
	if a == nil {
		return nil, refuse(40013)
	}
	c.account = a
	if subtle.ConstantTimeCompare([]byte(secret), []byte(a.cfg.AppSecret.Reveal())) == 0 {
		return nil, refuse(wechat.CodeInvalidSecret) // WeChat may also answer 40001
	}
	return a, answer{}
}
