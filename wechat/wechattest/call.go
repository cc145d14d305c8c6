package wechattest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// maxBody is the longest request body in bytes; a longer one is answered 45002.
const maxBody = 1 << 20

// route is one API path: its method, whether it takes an access token, and its
// handler.
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

		SendPath:                                     post(serveSend),
		"/cgi-bin/template/api_add_template":         post(serveTemplateAdd),
		"/cgi-bin/template/del_private_template":     post(serveTemplateDelete),
		"/cgi-bin/template/get_all_private_template": get(serveTemplateList),
		"/cgi-bin/template/get_industry":             get(serveIndustryGet),

		quotaGetPath:               post(serveQuotaGet),
		"/cgi-bin/openapi/rid/get": post(serveRIDGet),

		"/cgi-bin/user/info":          get(serveUserInfo),
		"/cgi-bin/user/info/batchget": post(serveUserBatch),
		"/cgi-bin/user/get":           get(serveUserGet),
		"/cgi-bin/changeopenid":       post(serveChangeOpenID),
		"/cgi-bin/qrcode/create":      post(serveQRCode),

		"/cgi-bin/menu/create":  post(serveMenuCreate),
		"/cgi-bin/menu/get":     get(serveMenuGet),
		"/cgi-bin/menu/delete":  get(serveMenuDelete),
		"/cgi-bin/media/upload": post(serveMediaUpload),
	}
}

// call is one API call.
type call struct {
	p       *Platform
	r       *http.Request
	body    []byte
	now     time.Time
	account *Account // set once the token or the secret has been checked

	params  url.Values // see query
	decoded bool
	msg     wechat.TemplateMessage // see message
	msgCode wechat.Code            // why body is not a message

	beforeAnswer func()
}

// answer is the API's answer: an errcode with WeChat's errmsg, or a body.
type answer struct {
	code wechat.Code
	text string // errmsg; empty: WeChat's usual one for code
	body []byte // JSON of a success; nil with code 0 is {"errcode":0,"errmsg":"ok"}
}

func refuse(code wechat.Code) answer { return answer{code: code} }

// ServeHTTP serves the API paths and the authorization page; any other path is
// answered with errcode 40066. A scripted reply
// that cuts the connection panics with http.ErrAbortHandler, which net/http
// handles.
func (p *Platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rt, ok := p.routes[r.URL.Path]
	switch {
	case ok:
	case r.URL.Path == authorizePath:
		p.serveAuthorize(w, r)
		return
	default:
		now := time.Now()
		write(w, (&call{p: p, r: r, now: now}).encode(answer{code: 40066, text: "invalid url"}))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		rt = route{r.Method, false, func(*call) answer { return refuse(45002) }}
	} else if err != nil {
		p.count(r.URL.Path, 0, true)
		return // the caller hung up while sending
	}
	p.serve(w, &call{p: p, r: r, body: body, now: time.Now()}, rt)
}

// serve applies the script to the call and answers it.
func (p *Platform) serve(w http.ResponseWriter, c *call, rt route) {
	var reply Reply
	if p.armed.Load() {
		reply = p.nextReply(c)
	}
	if reply.kind != replyNormal && !reply.effect {
		c.spendScripted(reply)
		p.fault(w, c, reply, nil)
		return
	}
	a := c.answer(rt)
	if c.beforeAnswer != nil {
		c.beforeAnswer()
	}
	if !c.wait(p.cfg.Latency) || reply.kind == replyNormal && !c.wait(reply.delay) {
		p.abort(c)
	}
	text := c.encode(a)
	if reply.kind != replyNormal {
		p.fault(w, c, reply, text)
		return
	}
	p.count(c.path(), a.code, false)
	write(w, text)
}

// abort counts the call as lost and cuts the connection.
func (p *Platform) abort(c *call) {
	p.count(c.path(), 0, true)
	panic(http.ErrAbortHandler)
}

// spendScripted counts a call with a scripted errcode against the quota, as
// WeChat would.
func (c *call) spendScripted(reply Reply) {
	if reply.kind != replyErrcode {
		return
	}
	defer c.p.locked()()
	if c.checkToken() == 0 {
		c.account.spend(c.path(), c.now)
	}
}

// fault carries out a reply other than the API's own answer, which own holds
// when the call took effect.
func (p *Platform) fault(w http.ResponseWriter, c *call, reply Reply, own []byte) {
	if reply.kind == replyErrcode {
		if !c.wait(p.cfg.Latency) {
			p.abort(c)
		}
		p.count(c.path(), reply.code, false)
		write(w, c.encode(answer{code: reply.code, text: reply.text}))
		return
	}
	p.count(c.path(), 0, true)
	switch reply.kind {
	case replyStatus, replyGarbage:
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", strconv.Itoa(len(reply.text)))
		w.WriteHeader(reply.status)
		io.WriteString(w, reply.text) //nolint:errcheck // the caller may have hung up
		return
	case replyHang:
		c.wait(reply.delay)
	case replyCutMid: // promise the whole answer, send half of it
		w.Header().Set("Content-Length", strconv.Itoa(len(own)))
		w.WriteHeader(http.StatusOK)
		w.Write(own[:len(own)/2])             //nolint:errcheck // the caller may have hung up
		http.NewResponseController(w).Flush() //nolint:errcheck // not every writer can flush
	case replyNormal, replyErrcode, replyCut:
	}
	panic(http.ErrAbortHandler)
}

// wait waits for d. It returns false when the caller hangs up or the platform
// closes first.
func (c *call) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.Context().Done():
	case <-c.p.ctx.Done():
	}
	return false
}

func write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json; encoding=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body) //nolint:errcheck // the caller may have hung up
}

// answer runs the checks that all API paths share, then the path's handler.
func (c *call) answer(rt route) answer {
	if c.r.Method != rt.method {
		if rt.method == http.MethodGet {
			return refuse(43001)
		}
		return refuse(43002)
	}
	if rt.token {
		if bad := c.admit(); bad.code != 0 {
			return bad
		}
	}
	return rt.handle(c)
}

// admit checks the token, the caller's address and the account's state, and counts
// the call.
func (c *call) admit() answer {
	defer c.p.locked()()
	if code := c.checkToken(); code != 0 {
		return refuse(code)
	}
	if c.account.cfg.IPCheck == IPCheckAll {
		if bad := c.checkIP(); bad.code != 0 {
			return bad
		}
	}
	if c.account.frozen != 0 {
		return refuse(c.account.frozen)
	}
	return refuse(c.account.spend(c.path(), c.now))
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

func (c *call) path() string { return c.r.URL.Path }

func (c *call) token() string { return c.query().Get("access_token") }

func (c *call) query() url.Values {
	if c.params == nil {
		c.params = c.r.URL.Query()
	}
	return c.params
}

// message decodes the body as a template message, once.
func (c *call) message() (*wechat.TemplateMessage, wechat.Code) {
	if !c.decoded {
		c.msg, c.msgCode = parseMessage(c.body)
		c.decoded = true
	}
	return &c.msg, c.msgCode
}

// matches reports whether a scripted reply applies to this call. The lock is
// held.
func (c *call) matches(r Reply) bool {
	if r.openid != "" {
		if m, code := c.message(); code != 0 || m.ToUser != r.openid {
			return false
		}
	}
	return r.appid == "" || r.appid == c.appID()
}

// appID is the account that the call is for, before any check. The lock is held.
func (c *call) appID() string {
	if t := c.p.tokens[c.token()]; t != nil {
		return t.account.cfg.AppID
	}
	if c.path() == StableTokenPath { // the only call with the appid in the body
		var in struct {
			AppID string `json:"appid"`
		}
		_ = json.Unmarshal(c.body, &in) // empty when it cannot be decoded
		return in.AppID
	}
	return c.query().Get("appid")
}
