package wechattest

import (
	"bytes"
	"embed"
	htmltemplate "html/template"
	"net/http"
	"net/url"
	"regexp"
	"sync"

	"github.com/wxnotify/wxnotify/wechat"
)

// authorizePath is the page on open.weixin.qq.com that a user's browser opens.
const authorizePath = "/connect/oauth2/authorize"

// PersonCookie is the cookie with the openid of the visitor of the authorization
// page. A visitor without it gets a new openid and the cookie.
const PersonCookie = "wxsim_openid"

//go:embed page
var pageFiles embed.FS

// pages are the consent page and the error page. Their style sheet is served by
// internal/simserver; without it they have no style.
//
//nolint:gochecknoglobals // parsed once, at first use
var pages = sync.OnceValue(func() *htmltemplate.Template {
	return htmltemplate.Must(htmltemplate.ParseFS(pageFiles, "page/*.html"))
})

// authorizeOrder is the order of parameters that WeChat's page requires. Only the
// listed ones may follow.
var authorizeOrder = regexp.MustCompile(`^appid=([^&]+)&redirect_uri=([^&]+)&response_type=code` +
	`&scope=(snsapi_base|snsapi_userinfo)(?:&state=([A-Za-z0-9]{0,128}))?` +
	`(?:&(?:forcePopup|forceSnapShot|connect_redirect|component_appid)=[^&]*)*$`)

// authorization is a checked request for a code.
type authorization struct {
	account  *Account
	redirect *url.URL
	scope    string
	state    string
	hasState bool
}

// pageError is a numbered error of WeChat's authorization page.
type pageError struct {
	Number int
	Text   string
}

// parseAuthorize checks the query of the authorization page as WeChat does.
func (p *Platform) parseAuthorize(rawQuery string) (authorization, *pageError) {
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return authorization{}, &pageError{10016, "the query cannot be parsed"}
	}
	for _, need := range []struct {
		name   string
		number int
	}{{"appid", 10012}, {"redirect_uri", 10011}, {"scope", 10010}} {
		if q.Get(need.name) == "" {
			return authorization{}, &pageError{need.number, need.name + " is empty"}
		}
	}
	m := authorizeOrder.FindStringSubmatch(rawQuery)
	if m == nil {
		return authorization{}, &pageError{10016, "the parameters must be in this order: appid, redirect_uri, " +
			"response_type=code, scope, state (letters and digits, at most 128), then #wechat_redirect"}
	}
	a := p.accounts[q.Get("appid")]
	if a == nil {
		return authorization{}, &pageError{10012, "no account has this appid"}
	}
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || back.Host == "" || back.Scheme != "http" && back.Scheme != "https" {
		return authorization{}, &pageError{10003, "redirect_uri is not an absolute address"}
	}
	if domain := a.cfg.OAuthDomain; domain != "" && back.Hostname() != domain {
		return authorization{}, &pageError{10003, "redirect_uri is not on the account's web authorization domain"}
	}
	return authorization{a, back, m[3], m[4], q.Has("state")}, nil
}

// serveAuthorize redirects at once for snsapi_base, and asks for consent otherwise.
func (p *Platform) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	req, bad := p.parseAuthorize(r.URL.RawQuery)
	if bad != nil {
		render(w, http.StatusBadRequest, "refused.html", bad)
		return
	}
	openid := req.account.visitor(w, r)
	switch {
	case r.Method == http.MethodPost:
		answerConsent(w, r, req, openid)
	case req.scope == wechat.ScopeBase:
		req.redirectWith(w, r, req.account.OAuthCode(openid, req.scope))
	default:
		render(w, http.StatusOK, "consent.html", map[string]string{
			"Account": req.account.cfg.Name, "OpenID": openid, "Host": req.redirect.Host,
		})
	}
}

// render writes a page under a policy that allows no script.
func render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pages().ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// Without form-action, since the consent form redirects to the account's site.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(page.Bytes()) //nolint:errcheck // the visitor may have gone
}

// answerConsent redirects with a code after Allow, without one after Deny.
func answerConsent(w http.ResponseWriter, r *http.Request, req authorization, openid string) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<12)
	if other := r.PostFormValue("openid"); validOpenID(other) {
		openid = other
	}
	if r.PostFormValue("allow") == "" {
		req.redirectWith(w, r, "")
		return
	}
	setVisitor(w, openid)
	req.redirectWith(w, r, req.account.OAuthCode(openid, req.scope))
}

// redirectWith redirects the visitor to redirect_uri with code, unless it is
// empty, and with state.
func (req authorization) redirectWith(w http.ResponseWriter, r *http.Request, code string) {
	back := *req.redirect
	add := func(parameter string) {
		if back.RawQuery != "" {
			back.RawQuery += "&"
		}
		back.RawQuery += parameter
	}
	if code != "" {
		add("code=" + code)
	}
	if req.hasState {
		add("state=" + req.state)
	}
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// visitor returns the visitor's openid under this account.
func (a *Account) visitor(w http.ResponseWriter, r *http.Request) string {
	if cookie, err := r.Cookie(PersonCookie); err == nil && validOpenID(cookie.Value) {
		return a.openidOf(cookie.Value)
	}
	openid := "oSIM6t" + randomText(22) // 28 characters, as WeChat's usually are
	setVisitor(w, openid)
	return a.openidOf(openid)
}

// openidOf returns the openid under this account of the person who has openid
// under another one.
func (a *Account) openidOf(openid string) string {
	if a.owns(openid) {
		return openid
	}
	prefix := a.cfg.OpenIDPrefix
	return prefix + openid[min(len(prefix), len(openid)):]
}

func setVisitor(w http.ResponseWriter, openid string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // the simulator has no https
		Name: PersonCookie, Value: openid, Path: "/connect/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
