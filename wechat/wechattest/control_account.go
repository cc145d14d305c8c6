package wechattest

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// followersCall is POST /_sim/followers.
type followersCall struct {
	Account    string      `json:"account"`
	OpenIDs    []string    `json:"openids"`
	Do         string      `json:"do"`
	TemplateID string      `json:"template_id"`
	Errcode    wechat.Code `json:"errcode"`
	Status     string      `json:"status"`
	Scene      string      `json:"scene"`
	Ticket     string      `json:"ticket"`
	Text       string      `json:"text"`
}

func (p *Platform) controlFollowers(r *http.Request) (any, error) {
	var in followersCall
	if err := read(r, &in); err != nil {
		return nil, err
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	if len(in.OpenIDs) == 0 {
		return nil, errors.New("openids is empty")
	}
	for _, openid := range in.OpenIDs {
		if !validOpenID(openid) {
			return nil, errors.New("an openid is 1 to 64 letters, digits, - and _")
		}
		if err := in.apply(a, openid); err != nil {
			return nil, err
		}
	}
	return map[string]int{"openids": len(in.OpenIDs)}, nil
}

func (in followersCall) apply(a *Account, openid string) error {
	switch in.Do {
	case "follow":
		a.Follow(openid)
	case "unfollow":
		a.Unfollow(openid)
	case "subscribe":
		a.Subscribe(openid, in.Scene)
	case "unsubscribe":
		a.Unsubscribe(openid)
	case "scan":
		if codes := a.QRCodes(); in.Ticket == "" && len(codes) > 0 {
			in.Ticket = codes[len(codes)-1].Ticket
		}
		if !a.Scan(openid, in.Ticket) {
			return errors.New("ticket is unknown or has expired; make one with qrcode/create")
		}
	case "refuse":
		a.Refuse(openid, in.TemplateID)
	case "allow":
		a.Allow(openid, in.TemplateID)
	case "reject":
		a.Reject(openid, in.Errcode)
	case "receipt":
		a.SetReceipt(openid, in.Status)
	case "snapshot":
		a.SetSnapshot(openid)
	case "say":
		a.Say(openid, in.Text)
	case "revoke":
		a.RevokeAuthorization(openid)
	case "cancellation":
		a.CancelAuthorization(openid)
	default:
		return fmt.Errorf("do %q is not one of follow, unfollow, subscribe, unsubscribe, scan, refuse, allow, "+
			"reject, receipt, snapshot, say, revoke, cancellation", in.Do)
	}
	return nil
}

func (p *Platform) controlTemplates(r *http.Request) (any, error) {
	var in struct {
		Account string     `json:"account"`
		Add     []Template `json:"add"`
		Delete  []string   `json:"delete"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	for i, t := range in.Add {
		if t.ID == "" || len(t.ID) > 64 {
			return nil, fmt.Errorf("add[%d].template_id is 1 to 64 characters", i)
		}
	}
	for _, t := range in.Add {
		a.AddTemplate(t)
	}
	for _, id := range in.Delete {
		a.DeleteTemplate(id)
	}
	return map[string][]Template{"templates": a.Templates()}, nil
}

func (p *Platform) listTemplates(r *http.Request) (any, error) {
	a, err := p.named(r.URL.Query().Get("account"))
	if err != nil {
		return nil, err
	}
	return map[string][]Template{"templates": a.Templates()}, nil
}

func (p *Platform) controlKill(r *http.Request) (any, error) {
	var in struct {
		Account      string `json:"account"`
		RefuseStable bool   `json:"refuse_stable"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Account == "" && !in.RefuseStable {
		p.KillTokens()
		return nil, nil
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	if in.RefuseStable {
		a.RefuseStableToken()
	} else {
		a.KillTokens()
	}
	return nil, nil
}

func (p *Platform) controlQuota(r *http.Request) (any, error) {
	var in struct {
		Account     string `json:"account"`
		DailyLimit  *int64 `json:"daily_limit"`
		MinuteLimit *int64 `json:"minute_limit"`
		Used        *int64 `json:"used"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	if in.DailyLimit != nil {
		a.SetDailyQuota(*in.DailyLimit)
	}
	if in.MinuteLimit != nil {
		a.SetMinuteQuota(*in.MinuteLimit)
	}
	if in.Used != nil {
		a.SetUsed(*in.Used)
	}
	return a.stats(), nil
}

func (p *Platform) controlAccount(r *http.Request) (any, error) {
	var in struct {
		Account      string       `json:"account"`
		Freeze       *wechat.Code `json:"freeze"`
		FreezeTokens *wechat.Code `json:"freeze_tokens"`
		AllowedIPs   *[]string    `json:"allowed_ips"`
		AppSecret    string       `json:"appsecret"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	if in.Freeze != nil {
		a.Freeze(*in.Freeze)
	}
	if in.FreezeTokens != nil {
		a.FreezeTokens(*in.FreezeTokens)
	}
	if in.AllowedIPs != nil {
		a.SetAllowedIPs(*in.AllowedIPs...)
	}
	if in.AppSecret != "" {
		a.SetSecret(wechat.NewSecret(in.AppSecret))
	}
	return a.stats(), nil
}

func (p *Platform) controlCallback(r *http.Request) (any, error) {
	var in struct {
		Account        string  `json:"account"`
		URL            string  `json:"url"`
		Mode           string  `json:"mode"`
		Token          string  `json:"token"`
		EncodingAESKey string  `json:"encoding_aes_key"`
		Delay          span    `json:"delay"`
		BeforeAnswer   bool    `json:"before_answer"`
		Copies         int     `json:"copies"`
		LostShare      float64 `json:"lost_share"`
		ZeroMsgID      bool    `json:"zero_msgid"`
		Timeout        span    `json:"timeout"`
		Tries          int     `json:"tries"`
		RetryGap       span    `json:"retry_gap"`
		SameQuery      bool    `json:"same_query"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	mode, ok := map[string]CallbackMode{"": CallbackPlain, "plain": CallbackPlain, "compat": CallbackCompat, "secure": CallbackSecure}[in.Mode]
	if !ok {
		return nil, fmt.Errorf("mode %q is not one of plain, compat, secure", in.Mode)
	}
	cb := CallbackConfig{
		URL: in.URL, Mode: mode, Token: wechat.NewSecret(in.Token), EncodingAESKey: wechat.NewSecret(in.EncodingAESKey),
		Delay: time.Duration(in.Delay), BeforeAnswer: in.BeforeAnswer, Copies: in.Copies, LostShare: in.LostShare,
		ZeroMsgID: in.ZeroMsgID, Timeout: time.Duration(in.Timeout), Tries: in.Tries, RetryGap: time.Duration(in.RetryGap),
		SameQuery: in.SameQuery,
	}
	if mode != CallbackPlain {
		if _, err := encrypt(in.EncodingAESKey, a.cfg.AppID, ""); err != nil {
			return nil, err
		}
	}
	if _, err := cb.withDefaults().target(nil); err != nil {
		return nil, err
	}
	a.SetCallback(cb)
	return nil, nil
}

func (p *Platform) controlVerify(r *http.Request) (any, error) {
	var in struct {
		Account string `json:"account"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	return nil, a.VerifyCallback(r.Context())
}

func (p *Platform) controlOAuthCode(r *http.Request) (any, error) {
	var in struct {
		Account string `json:"account"`
		OpenID  string `json:"openid"`
		Scope   string `json:"scope"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	a, err := p.named(in.Account)
	if err != nil {
		return nil, err
	}
	if in.Scope == "" {
		in.Scope = ScopeBase
	}
	if !validOpenID(in.OpenID) || in.Scope != ScopeBase && in.Scope != ScopeUserInfo {
		return nil, errors.New("openid is 1 to 64 letters, digits, - and _; scope is snsapi_base or snsapi_userinfo")
	}
	return map[string]string{"code": a.OAuthCode(in.OpenID, in.Scope)}, nil
}
