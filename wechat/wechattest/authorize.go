package wechattest

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
)

// authorizePath is the page on open.weixin.qq.com that a user is sent to.
const authorizePath = "/connect/oauth2/authorize"

// PersonCookie names the cookie that says who the visitor of the authorize page
// is. A visitor without one is a new person, who gets one.
const PersonCookie = "wxsim_openid"

// authorizeOrder is the exact order of parameters that WeChat's page insists on;
// only the known tail may follow.
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

// pageError is WeChat's numbered error of the authorize page.
type pageError struct {
	Number int
	Text   string
}

// parseAuthorize checks the query of the authorize page as WeChat does.
func (p *Platform) parseAuthorize(rawQuery string) (authorization, *pageError) {
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return authorization{}, &pageError{10016, "the query cannot be read"}
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
		return authorization{}, &pageError{10016, "the parameters must stand in this order: appid, redirect_uri, " +
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

// serveAuthorize is the page: silent for snsapi_base, a question otherwise.
func (p *Platform) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	req, bad := p.parseAuthorize(r.URL.RawQuery)
	if bad != nil {
		p.render(w, r, http.StatusBadRequest, "refused", bad)
		return
	}
	person := req.account.person(w, r)
	switch {
	case r.Method == http.MethodPost:
		p.answerConsent(w, r, req, person)
	case req.scope == ScopeBase:
		req.redirectWith(w, r, req.account.OAuthCode(person, req.scope))
	default:
		p.render(w, r, http.StatusOK, "consent", map[string]any{
			"Account": req.account.cfg.Name, "Person": person, "Host": req.redirect.Host,
		})
	}
}

// answerConsent sends the visitor back: with a code after yes, without after no.
func (p *Platform) answerConsent(w http.ResponseWriter, r *http.Request, req authorization, person string) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<12)
	if other := r.PostFormValue("openid"); validOpenID(other) {
		person = other
	}
	if r.PostFormValue("allow") == "" {
		req.redirectWith(w, r, "")
		return
	}
	setPerson(w, person)
	req.redirectWith(w, r, req.account.OAuthCode(person, req.scope))
}

// redirectWith sends the visitor to redirect_uri; an empty code is left out.
func (req authorization) redirectWith(w http.ResponseWriter, r *http.Request, code string) {
	back := *req.redirect
	tail := ""
	if code != "" {
		tail = "code=" + code
	}
	if req.hasState {
		if tail != "" {
			tail += "&"
		}
		tail += "state=" + req.state
	}
	if back.RawQuery != "" && tail != "" {
		back.RawQuery += "&"
	}
	back.RawQuery += tail
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// person says which openid the visitor has under this account.
func (a *Account) person(w http.ResponseWriter, r *http.Request) string {
	if cookie, err := r.Cookie(PersonCookie); err == nil && validOpenID(cookie.Value) {
		return a.openidOf(cookie.Value)
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	openid := []byte("oSIM6t")
	for len(openid) < openidLength {
		openid = append(openid, letters[rand.IntN(len(letters))])
	}
	setPerson(w, string(openid))
	return a.openidOf(string(openid))
}

// openidLength is how long WeChat's openids are, typically.
const openidLength = 28

// openidOf gives a person of another account this account's prefix.
func (a *Account) openidOf(person string) string {
	if a.owns(person) {
		return person
	}
	prefix := a.cfg.OpenIDPrefix
	return prefix + person[min(len(prefix), len(person)):]
}

func setPerson(w http.ResponseWriter, openid string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // the simulator has no https
		Name: PersonCookie, Value: openid, Path: "/connect/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
