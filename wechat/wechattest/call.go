package wechattest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// maxBody bounds a request's body; WeChat answers 45002 beyond its own limit.
const maxBody = 1 << 20

// route is one API path: its verb, whether it takes an access token, and what
// it does.
type route struct {
	method string
	token  bool
	handle func(*call) answer
}

func routes() map[string]route {
	get := func(handle func(*call) answer) route { return route{http.MethodGet, true, handle} }
	post := func(handle func(*call) answer) route { return route{http.MethodPost, true, handle} }
	return map[string]route{
		TokenPath:                   {http.MethodGet, false, serveToken},
		StableTokenPath:             {http.MethodPost, false, serveStableToken},
		OAuthTokenPath:              {http.MethodGet, false, serveOAuthToken},
		"/sns/oauth2/refresh_token": {http.MethodGet, false, serveOAuthRefresh},
		"/sns/userinfo":             {http.MethodGet, false, serveOAuthUser},
		"/sns/auth":                 {http.MethodGet, false, serveOAuthCheck},
		"/cgi-bin/clear_quota/v2":   {http.MethodPost, false, serveClearQuotaV2},

		SendPath:                                     post(serveSend),
		"/cgi-bin/template/api_add_template":         post(serveTemplateAdd),
		"/cgi-bin/template/del_private_template":     post(serveTemplateDelete),
		"/cgi-bin/template/get_all_private_template": get(serveTemplateList),
		"/cgi-bin/template/api_set_industry":         post(serveIndustrySet),
		"/cgi-bin/template/get_industry":             get(serveIndustryGet),
		"/wxa/sec/queryblocktmplmsg":                 post(serveBlockedMessages),

		QuotaGetPath:                   post(serveQuotaGet),
		"/cgi-bin/openapi/quota/clear": post(serveQuotaClear),
		"/cgi-bin/openapi/rid/get":     post(serveRIDGet),
		"/cgi-bin/clear_quota":         post(serveClearQuota),
		"/cgi-bin/get_api_domain_ip":   get(serveIPList),
		"/cgi-bin/getcallbackip":       get(serveIPList),

		"/cgi-bin/user/info":          get(serveUserInfo),
		"/cgi-bin/user/info/batchget": post(serveUserBatch),
		"/cgi-bin/user/get":           get(serveUserGet),
		"/cgi-bin/qrcode/create":      post(serveQRCode),
	}
}

// call is one API call on its way through the platform.
type call struct {
	p        *Platform
	ctx      context.Context //nolint:containedctx // lives as long as the request
	path     string
	rawQuery string
	method   string
	remote   string
	body     []byte
	now      time.Time
	account  *Account // known once the token or the secret is checked

	params url.Values
	parsed bool
	msg    message
	bad    wechat.Code // of parsing msg
	early  func()      // runs before the answer leaves
}

// answer is what the API says: an errcode with WeChat's wording, or a body.
type answer struct {
	code wechat.Code
	text string // replaces the wording of code
	body []byte // a success's JSON; nil with code 0 is {"errcode":0,"errmsg":"ok"}
}

func refuse(code wechat.Code) answer { return answer{code: code} }

// ServeHTTP serves the API, the control API under /_sim/ and the page. A reply
// that cuts the connection panics with http.ErrAbortHandler, as net/http wants it.
func (p *Platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rt, ok := p.routes[r.URL.Path]
	if !ok {
		p.others.ServeHTTP(w, r)
		return
	}
	c := &call{
		p: p, ctx: r.Context(), path: r.URL.Path, rawQuery: r.URL.RawQuery,
		method: r.Method, remote: r.RemoteAddr,
	}
	body, err := readBody(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		rt = route{r.Method, false, func(*call) answer { return refuse(45002) }}
	case err != nil:
		p.count(c.path, 0, true)
		return // the caller went away in the middle of its request
	}
	c.body, c.now = body, time.Now()
	p.serve(w, c, rt)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	if n := r.ContentLength; n > 0 && n <= maxBody {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err //nolint:wrapcheck // looked at by ServeHTTP only
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)) //nolint:wrapcheck // looked at by ServeHTTP only
}

// serve plays the call's part of the script around the API's own answer.
func (p *Platform) serve(w http.ResponseWriter, c *call, rt route) {
	var reply Reply
	if p.armed.Load() {
		p.mu.Lock()
		reply = p.script.next(c)
		p.mu.Unlock()
	}
	if reply.kind != replyNormal && !reply.effect {
		c.bookScripted(reply)
		p.fault(w, c, reply, nil)
		return
	}
	a := c.answer(rt)
	if c.early != nil {
		c.early()
	}
	if !c.wait(p.cfg.Latency) || reply.kind == replyNormal && !c.wait(reply.delay) {
		p.count(c.path, 0, true)
		panic(http.ErrAbortHandler)
	}
	text := c.encode(a)
	if reply.kind != replyNormal {
		p.fault(w, c, reply, text)
		return
	}
	p.count(c.path, a.code, false)
	p.write(w, http.StatusOK, text)
}

// bookScripted counts a scripted errcode against the quota, as WeChat would
// have counted the call.
func (c *call) bookScripted(reply Reply) {
	if reply.kind != replyErrcode {
		return
	}
	defer c.p.locked()()
	if c.checkToken() == 0 {
		c.account.spend(c.path, c.now)
	}
}

// fault carries out a reply that is not the API's own; own is the API's answer
// when the call took effect.
func (p *Platform) fault(w http.ResponseWriter, c *call, reply Reply, own []byte) {
	if reply.kind == replyErrcode {
		if !c.wait(p.cfg.Latency) {
			p.count(c.path, 0, true)
			panic(http.ErrAbortHandler)
		}
		p.count(c.path, reply.code, false)
		p.write(w, http.StatusOK, c.encode(answer{code: reply.code, text: reply.text}))
		return
	}
	p.count(c.path, 0, true)
	switch reply.kind {
	case replyHang:
		c.wait(reply.delay)
	case replyCutMid:
		cutMid(w, own)
	case replyStatus, replyGarbage:
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", strconv.Itoa(len(reply.text)))
		w.WriteHeader(reply.status)
		io.WriteString(w, reply.text) //nolint:errcheck // the caller may have gone
		return
	case replyNormal, replyErrcode, replyCut:
	}
	panic(http.ErrAbortHandler) // the server closes the connection without an answer
}

// cutMid promises the whole answer and sends half of it.
func cutMid(w http.ResponseWriter, own []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(own)))
	w.WriteHeader(http.StatusOK)
	w.Write(own[:len(own)/2])             //nolint:errcheck // the caller may have gone
	http.NewResponseController(w).Flush() //nolint:errcheck // not every writer can
}

// wait passes d, and reports false when the caller or the platform goes first.
func (c *call) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
	case <-c.p.ctx.Done():
	}
	return false
}

func (p *Platform) write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	if p.cfg.TextPlain {
		h.Set("Content-Type", "text/plain")
	} else {
		h.Set("Content-Type", "application/json; encoding=utf-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the caller may have gone
}

// answer runs the checks that all API paths share, then the path's own.
func (c *call) answer(rt route) answer {
	if c.method != rt.method {
		if rt.method == http.MethodGet {
			return refuse(43001)
		}
		return refuse(43002)
	}
	if rt.token {
		if code := c.admit(); code != 0 {
			return refuse(code)
		}
	}
	return rt.handle(c)
}

// admit checks the token and the account's state and books the call.
func (c *call) admit() wechat.Code {
	defer c.p.locked()()
	if code := c.checkToken(); code != 0 {
		return code
	}
	if c.account.frozen != 0 {
		return c.account.frozen
	}
	return c.account.spend(c.path, c.now)
}

// checkToken finds the account by the access token. The lock is held.
func (c *call) checkToken() wechat.Code {
	value := c.token()
	if value == "" {
		return 41001
	}
	t := c.p.tokens[value]
	if t == nil {
		return 40014
	}
	c.account = t.account
	return t.check(c.now)
}

// token reads the access token without a map where it is the only parameter.
func (c *call) token() string {
	if value, ok := strings.CutPrefix(c.rawQuery, "access_token="); ok && !strings.ContainsAny(value, "&%+") {
		return value
	}
	return c.query().Get("access_token")
}

func (c *call) query() url.Values {
	if c.params == nil {
		c.params, _ = url.ParseQuery(c.rawQuery) // what can be read, as servers do
	}
	return c.params
}

// message reads the body once, as a template message.
func (c *call) message() (*message, wechat.Code) {
	if !c.parsed {
		c.msg, c.bad = parseMessage(c.body)
		c.parsed = true
	}
	return &c.msg, c.bad
}

// matches reports whether a scripted reply is meant for this call. The lock is held.
func (c *call) matches(r Reply) bool {
	if r.openid != "" {
		if m, bad := c.message(); bad != 0 || m.toUser != r.openid {
			return false
		}
	}
	return r.appid == "" || r.appid == c.scriptAppID()
}

func (c *call) scriptAppID() string {
	if t := c.p.tokens[c.token()]; t != nil {
		return t.account.cfg.AppID
	}
	if c.path == StableTokenPath { // the only call that names it in the body
		var in struct {
			AppID string `json:"appid"`
		}
		_ = json.Unmarshal(c.body, &in) // empty when it cannot be read
		return in.AppID
	}
	return c.query().Get("appid")
}
