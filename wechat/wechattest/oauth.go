package wechattest

import (
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Times of web authorization (docs: 网页授权).
const (
	codeLife    = 5 * time.Minute
	refreshLife = 30 * 24 * time.Hour
)

// grant belongs to a code, a user's access token or a refresh token.
type grant struct {
	account *Account
	openid  string
	scope   string
	expires time.Time
	used    bool   // of a code
	access  string // of a refresh token: the access token that it renews
}

// oauth holds the grants of all accounts, by their text.
type oauth struct {
	codes, access, refresh map[string]*grant
}

func newOAuth() oauth {
	return oauth{codes: map[string]*grant{}, access: map[string]*grant{}, refresh: map[string]*grant{}}
}

// OAuthCode makes a code as the authorization page does after consent: for one
// use within five minutes.
func (a *Account) OAuthCode(openid, scope string) string {
	defer a.p.locked()()
	now, o := time.Now(), &a.p.oauth
	for text, g := range o.codes { // an hour after its expiry a code is unknown (40029)
		if now.Sub(g.expires) > time.Hour {
			delete(o.codes, text)
		}
	}
	text := "0" + randomText(31)
	o.codes[text] = &grant{account: a, openid: openid, scope: scope, expires: now.Add(codeLife)}
	return text
}

// SetSnapshot makes openid the virtual user of a page in snapshot mode: the OAuth
// answer has is_snapshotuser 1, and the openid must not be bound.
func (a *Account) SetSnapshot(openid string) {
	a.change([]string{openid}, func(f *follower) { f.snapshot = true })
}

// snsToken is the answer to a code or a refresh token.
type snsToken struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	OpenID       string `json:"openid"`
	Scope        string `json:"scope"`
	Snapshot     int    `json:"is_snapshotuser,omitempty"`
	UnionID      string `json:"unionid,omitempty"`
}

// serveOAuthToken is GET /sns/oauth2/access_token.
func serveOAuthToken(c *call) answer {
	q := c.query()
	defer c.p.locked()()
	a, bad := c.credentials(q.Get("appid"), q.Get("secret"))
	if bad.code != 0 {
		return bad
	}
	if q.Get("grant_type") != "authorization_code" {
		return refuse(40002)
	}
	if q.Get("code") == "" {
		return refuse(41008)
	}
	g := c.p.oauth.codes[q.Get("code")]
	switch {
	case g == nil || g.account != a:
		return refuse(40029)
	case g.used:
		return refuse(40163)
	case !c.now.Before(g.expires):
		return refuse(42003)
	}
	g.used = true
	return object(c.grantTokens(a, g))
}

// grantTokens makes the tokens of a user. The lock is held.
func (c *call) grantTokens(a *Account, g *grant) snsToken {
	access, refresh := newTokenText(), newTokenText()
	o := &c.p.oauth
	for text, old := range o.access {
		if len(o.access) > 4096 && c.now.Sub(old.expires) > tokenLife {
			delete(o.access, text)
		}
	}
	o.access[access] = &grant{account: a, openid: g.openid, scope: g.scope, expires: c.now.Add(tokenLife)}
	o.refresh[refresh] = &grant{account: a, openid: g.openid, scope: g.scope, expires: c.now.Add(refreshLife), access: access}
	out := snsToken{
		AccessToken: access, ExpiresIn: int64(tokenLife / time.Second), RefreshToken: refresh,
		OpenID: g.openid, Scope: g.scope,
	}
	if f := a.followers[g.openid]; f != nil && f.snapshot {
		out.Snapshot = 1
	}
	if g.scope == wechat.ScopeUserInfo {
		out.UnionID = a.unionID(g.openid)
	}
	return out
}

// serveOAuthRefresh is GET /sns/oauth2/refresh_token. It extends the access token,
// or makes a new one when it has expired.
func serveOAuthRefresh(c *call) answer {
	q := c.query()
	defer c.p.locked()()
	a := c.p.accounts[q.Get("appid")]
	switch {
	case a == nil:
		return refuse(40013)
	case q.Get("grant_type") != "refresh_token":
		return refuse(40002)
	}
	c.account = a
	refresh := q.Get("refresh_token")
	g := c.p.oauth.refresh[refresh]
	switch {
	case g == nil || g.account != a:
		return refuse(40030)
	case !c.now.Before(g.expires):
		return refuse(42002)
	}
	access := c.p.oauth.access[g.access]
	if access == nil || !c.now.Before(access.expires) {
		g.access = newTokenText()
		access = &grant{account: a, openid: g.openid, scope: g.scope}
		c.p.oauth.access[g.access] = access
	}
	access.expires = c.now.Add(tokenLife)
	return object(snsToken{
		AccessToken: g.access, ExpiresIn: int64(tokenLife / time.Second), RefreshToken: refresh,
		OpenID: g.openid, Scope: g.scope,
	})
}

// userGrant checks a user's access token and openid. The lock is held.
func (c *call) userGrant() (*grant, wechat.Code) {
	q := c.query()
	g := c.p.oauth.access[q.Get("access_token")]
	switch {
	case q.Get("access_token") == "":
		return nil, 41001
	case q.Get("openid") == "":
		return nil, 41009
	case g == nil:
		return nil, 40001
	case !c.now.Before(g.expires):
		return nil, 42001
	case g.openid != q.Get("openid"):
		return nil, 40003
	}
	return g, 0
}

// serveOAuthCheck is GET /sns/auth.
func serveOAuthCheck(c *call) answer {
	defer c.p.locked()()
	_, code := c.userGrant()
	return refuse(code)
}

// serveOAuthUser is GET /sns/userinfo. Sex and region have been empty since 2021-10.
func serveOAuthUser(c *call) answer {
	defer c.p.locked()()
	g, code := c.userGrant()
	if code != 0 {
		return refuse(code)
	}
	f := g.account.followers[g.openid]
	if g.scope != wechat.ScopeUserInfo || f != nil && f.snapshot {
		return refuse(48001)
	}
	return object(struct {
		OpenID    string   `json:"openid"`
		Nickname  string   `json:"nickname"`
		Sex       int      `json:"sex"`
		Province  string   `json:"province"`
		City      string   `json:"city"`
		Country   string   `json:"country"`
		Picture   string   `json:"headimgurl"`
		Privilege []string `json:"privilege"`
		UnionID   string   `json:"unionid,omitempty"`
	}{
		OpenID: g.openid, Nickname: "微信用户", Picture: "https://thirdwx.qlogo.cn/mmopen/vi_32/0/132",
		Privilege: []string{}, UnionID: g.account.unionID(g.openid),
	})
}
