package wechat

import (
	"context"
	"net/url"
	"time"
)

// Quota is the daily quota of one API as WeChat counts it, within 1 % and with
// some delay.
type Quota struct {
	DailyLimit int64 `json:"daily_limit"`
	Used       int64 `json:"used"`
	Remain     int64 `json:"remain"`
}

// Quota calls POST /cgi-bin/openapi/quota/get (docs: 查询API调用额度) for one
// API path, such as SendPath.
func (c *Client) Quota(ctx context.Context, path string) (Quota, error) {
	const op = "/cgi-bin/openapi/quota/get"
	var answer struct {
		status
		Quota *struct {
			DailyLimit looseInt `json:"daily_limit"`
			Used       looseInt `json:"used"`
			Remain     looseInt `json:"remain"`
		} `json:"quota"`
	}
	request := struct {
		Path string `json:"cgi_path"`
	}{path}
	if err := c.post(ctx, op, request, &answer); err != nil {
		return Quota{}, err
	}
	if answer.Quota == nil {
		return Quota{}, unreadable(op, "the answer has no quota")
	}
	return Quota{int64(answer.Quota.DailyLimit), int64(answer.Quota.Used), int64(answer.Quota.Remain)}, nil
}

// RequestRecord is WeChat's record of one call. The bodies have the recipient's
// openid: do not log them.
type RequestRecord struct {
	InvokedAt    time.Time
	Cost         time.Duration
	URL          string // without the access token
	RequestBody  string
	ResponseBody string
	ClientIP     string
}

// RequestByRID calls POST /cgi-bin/openapi/rid/get (docs: 查询rid信息): WeChat's
// record of the call that was answered with this rid, for seven days.
func (c *Client) RequestByRID(ctx context.Context, rid string) (RequestRecord, error) {
	const op = "/cgi-bin/openapi/rid/get"
	var answer struct {
		status
		Request *struct {
			InvokeTime   looseInt    `json:"invoke_time"`
			CostMs       looseInt    `json:"cost_in_ms"`
			RequestURL   looseString `json:"request_url"`
			RequestBody  looseString `json:"request_body"`
			ResponseBody looseString `json:"response_body"`
			ClientIP     looseString `json:"client_ip"`
		} `json:"request"`
	}
	request := struct {
		RID string `json:"rid"`
	}{rid}
	if err := c.post(ctx, op, request, &answer); err != nil {
		return RequestRecord{}, err
	}
	r := answer.Request
	if r == nil {
		return RequestRecord{}, unreadable(op, "the answer has no request")
	}
	return RequestRecord{
		InvokedAt:    unixTime(r.InvokeTime),
		Cost:         time.Duration(r.CostMs) * time.Millisecond,
		URL:          credentialPattern.ReplaceAllString(string(r.RequestURL), "${1}"+placeholder),
		RequestBody:  string(r.RequestBody),
		ResponseBody: string(r.ResponseBody),
		ClientIP:     string(r.ClientIP),
	}, nil
}

// UserInfo is a user. For a user who does not follow the account only OpenID and
// UnionID are set.
type UserInfo struct {
	Subscribed     bool
	OpenID         string
	UnionID        string // empty unless the account is bound to an Open Platform account
	Language       string
	SubscribedAt   time.Time
	SubscribeScene string // such as ADD_SCENE_QR_CODE; the set is open
	Remark         string
	GroupID        int64
	TagIDs         []int64
	QRScene        int64
	QRSceneText    string
}

// UserInfo calls GET /cgi-bin/user/info (docs: 获取用户基本信息): whether the
// user follows the account, and since when.
func (c *Client) UserInfo(ctx context.Context, openid string) (UserInfo, error) {
	const op = "/cgi-bin/user/info"
	var answer struct {
		status
		userAnswer
	}
	query := url.Values{"openid": {openid}, "lang": {"zh_CN"}}
	if err := c.get(ctx, op, query, &answer); err != nil {
		return UserInfo{}, err
	}
	if answer.Subscribe == nil {
		return UserInfo{}, unreadable(op, "the answer has no subscribe")
	}
	return answer.info(), nil
}

// unixTime is the zero time for zero seconds.
func unixTime(seconds looseInt) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
