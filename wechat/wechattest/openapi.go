package wechattest

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// decode decodes the JSON body into v.
func (c *call) decode(v any) wechat.Code {
	if len(c.body) == 0 {
		return 44002
	}
	if json.Unmarshal(c.body, v) != nil {
		return 47001
	}
	return 0
}

// serveQuotaGet is POST /cgi-bin/openapi/quota/get.
func serveQuotaGet(c *call) answer {
	var in struct {
		Path string `json:"cgi_path"`
	}
	code := c.decode(&in)
	switch {
	case code != 0:
		return refuse(code)
	case strings.HasPrefix(in.Path, "/sns/"):
		return answer{code: 76022, text: "could not use this cgi_path, no permission"}
	case !c.p.Serves(in.Path):
		return refuse(76021)
	}
	defer c.p.locked()()
	path := in.Path
	n, limit := c.account.counter(path, c.now), c.account.limit(path)
	type rate struct {
		CallCount     int64 `json:"call_count"`
		RefreshSecond int64 `json:"refresh_second"`
	}
	type quota struct {
		DailyLimit int64 `json:"daily_limit"`
		Used       int64 `json:"used"`
		Remain     int64 `json:"remain"`
	}
	perMinute := rate{}
	if path == SendPath && c.account.cfg.MinuteQuota > 0 {
		perMinute = rate{c.account.cfg.MinuteQuota, 60}
	}
	return object(struct {
		Errcode   int    `json:"errcode"`
		Errmsg    string `json:"errmsg"`
		Quota     quota  `json:"quota"`
		Rate      rate   `json:"rate_limit"`
		Component rate   `json:"component_rate_limit"`
	}{0, "ok", quota{limit, n.used, max(0, limit-n.used)}, perMinute, rate{}})
}

// keepRIDs is how many failed calls are kept for rid/get.
const keepRIDs = 1024

// ridEntry is a failed call as rid/get answers it.
type ridEntry struct {
	account *Account
	at      time.Time
	took    time.Duration
	path    string
	token   string // the first characters only
	body    []byte
	answer  []byte
	ip      string
}

// rids holds the newest failed calls.
type rids struct {
	byID  map[string]ridEntry
	queue []string // keys of byID, oldest first
}

// recordRID keeps a failed call for rid/get, except a call with an AppSecret.
func (c *call) recordRID(rid string, text []byte) {
	token := c.token()
	if c.account == nil || token == "" {
		return
	}
	defer c.p.locked()()
	r := &c.p.rids
	if len(r.queue) >= keepRIDs {
		delete(r.byID, r.queue[0])
		r.queue = r.queue[1:]
	}
	r.queue = append(r.queue, rid)
	r.byID[rid] = ridEntry{
		account: c.account, at: c.now, took: time.Since(c.now), path: c.path(),
		token: token[:min(8, len(token))], body: c.body, answer: text, ip: c.ip(),
	}
}

var ridForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`)

// serveRIDGet is POST /cgi-bin/openapi/rid/get.
func serveRIDGet(c *call) answer {
	var in struct {
		RID string `json:"rid"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	if !ridForm.MatchString(in.RID) {
		return answer{code: 76002, text: "rid is error, please check"}
	}
	defer c.p.locked()()
	e, ok := c.p.rids.byID[in.RID]
	switch {
	case !ok:
		return refuse(76001)
	case e.account != c.account:
		return refuse(76003)
	case c.now.Sub(e.at) > 7*24*time.Hour:
		return answer{code: 76004, text: "rid is expired, can only query the request info of the last 7 days"}
	}
	type request struct {
		InvokeTime   int64  `json:"invoke_time"`
		CostInMS     int64  `json:"cost_in_ms"`
		RequestURL   string `json:"request_url"`
		RequestBody  string `json:"request_body"`
		ResponseBody string `json:"response_body"`
		ClientIP     string `json:"client_ip"`
	}
	return object(struct {
		Errcode int     `json:"errcode"`
		Errmsg  string  `json:"errmsg"`
		Request request `json:"request"`
	}{0, "ok", request{
		e.at.Unix(), e.took.Milliseconds(), e.path + "?access_token=" + e.token + "xxxx",
		string(e.body), string(e.answer), e.ip,
	}})
}
