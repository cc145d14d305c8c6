package wechattest

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// How often a month an account may clear its counters (docs: 重置 API 调用次数).
const (
	clearsPerMonth    = 10
	apiClearsPerMonth = 50
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
	path, bad := c.cgiPath()
	if bad.code != 0 {
		return bad
	}
	defer c.p.locked()()
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

// cgiPath returns the checked path that a quota call is about.
func (c *call) cgiPath() (string, answer) {
	var in struct {
		CGIPath string `json:"cgi_path"`
	}
	if code := c.decode(&in); code != 0 {
		return "", refuse(code)
	}
	if strings.HasPrefix(in.CGIPath, "/sns/") {
		return "", answer{code: 76022, text: "could not use this cgi_path, no permission"}
	}
	if !c.p.Serves(in.CGIPath) {
		return "", refuse(76021)
	}
	return in.CGIPath, answer{}
}

// serveQuotaClear is POST /cgi-bin/openapi/quota/clear, for one API's counter.
func serveQuotaClear(c *call) answer {
	path, bad := c.cgiPath()
	if bad.code != 0 {
		return bad
	}
	defer c.p.locked()()
	if !c.account.apiClears.add(c.now, apiClearsPerMonth) {
		return refuse(48006)
	}
	c.account.counter(path, c.now).used = 0
	return answer{}
}

// serveClearQuota is POST /cgi-bin/clear_quota, for all counters of the account.
func serveClearQuota(c *call) answer {
	var in struct {
		AppID string `json:"appid"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	if in.AppID != c.account.cfg.AppID {
		return refuse(40013)
	}
	return c.clearAll()
}

// serveClearQuotaV2 is POST /cgi-bin/clear_quota/v2, with the secret instead of a
// token. WeChat's page names body fields and its example has a query, so both
// are accepted.
func serveClearQuotaV2(c *call) answer {
	var in struct {
		AppID  string `json:"appid"`
		Secret string `json:"appsecret"`
	}
	_ = json.Unmarshal(c.body, &in) // may be in the query instead
	if q := c.query(); in.AppID == "" {
		in.AppID, in.Secret = q.Get("appid"), q.Get("appsecret")
	}
	unlock := c.p.locked()
	a, bad := c.credentials(in.AppID, in.Secret)
	unlock()
	if bad.code != 0 {
		return bad
	}
	c.account = a
	return c.clearAll()
}

func (c *call) clearAll() answer {
	defer c.p.locked()()
	if !c.account.clears.add(c.now, clearsPerMonth) {
		return refuse(48006)
	}
	for path := range c.account.counters {
		c.account.counter(path, c.now).used = 0
	}
	return answer{}
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

// serveIPList is GET /cgi-bin/get_api_domain_ip and GET /cgi-bin/getcallbackip.
func serveIPList(*call) answer {
	return object(map[string][]string{"ip_list": {"127.0.0.1"}})
}
