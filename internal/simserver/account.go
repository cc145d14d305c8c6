package simserver

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

var openidPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

type followersIn struct {
	target
	OpenIDs    []string    `json:"openids"`
	Do         string      `json:"do"`
	TemplateID string      `json:"template_id"`
	Errcode    wechat.Code `json:"errcode"`
	Status     string      `json:"status"`
	Scene      string      `json:"scene"`
	Ticket     string      `json:"ticket"`
	Text       string      `json:"text"`
}

func changeFollowers(a *wechattest.Account, in followersIn) (any, error) {
	if len(in.OpenIDs) == 0 {
		return nil, errors.New("openids is empty")
	}
	for _, openid := range in.OpenIDs {
		if !openidPattern.MatchString(openid) {
			return nil, errors.New("an openid is 1 to 64 letters, digits, - and _")
		}
		if err := in.apply(a, openid); err != nil {
			return nil, err
		}
	}
	return map[string]int{"openids": len(in.OpenIDs)}, nil
}

func (in followersIn) apply(a *wechattest.Account, openid string) error {
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

type templatesIn struct {
	target
	Add    []wechattest.Template `json:"add"`
	Delete []string              `json:"delete"`
}

func changeTemplates(a *wechattest.Account, in templatesIn) (any, error) {
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
	return map[string]any{"templates": a.Templates()}, nil
}

type quotaIn struct {
	target
	DailyLimit  *int64 `json:"daily_limit"`
	MinuteLimit *int64 `json:"minute_limit"`
	Used        *int64 `json:"used"`
}

func changeQuota(a *wechattest.Account, in quotaIn) (any, error) {
	apply(in.DailyLimit, a.SetDailyQuota)
	apply(in.MinuteLimit, a.SetMinuteQuota)
	apply(in.Used, a.SetUsed)
	return a.Stats(), nil
}

// apply sets a value that the body has.
func apply[T any](value *T, set func(T)) {
	if value != nil {
		set(*value)
	}
}

type accountIn struct {
	target
	Freeze       *wechat.Code   `json:"freeze"`
	FreezeTokens *wechat.Code   `json:"freeze_tokens"`
	AllowedIPs   *[]string      `json:"allowed_ips"`
	IPCheck      *string        `json:"ip_check"`
	AppSecret    *wechat.Secret `json:"appsecret"`
}

func changeAccount(a *wechattest.Account, in accountIn) (any, error) {
	if in.IPCheck != nil {
		check, err := wechattest.ParseIPCheck(*in.IPCheck)
		if err != nil {
			return nil, fmt.Errorf("ip_check: %w", err)
		}
		a.SetIPCheck(check)
	}
	apply(in.Freeze, a.Freeze)
	apply(in.FreezeTokens, a.FreezeTokens)
	apply(in.AllowedIPs, func(ips []string) { a.SetAllowedIPs(ips...) })
	if in.AppSecret != nil && !in.AppSecret.IsZero() {
		a.SetSecret(*in.AppSecret)
	}
	return a.Stats(), nil
}

type callbackIn struct {
	target
	URL            string        `json:"url"`
	Mode           string        `json:"mode"`
	Token          wechat.Secret `json:"token"`
	EncodingAESKey wechat.Secret `json:"encoding_aes_key"`
	Delay          duration      `json:"delay"`
	BeforeAnswer   bool          `json:"before_answer"`
	Copies         int           `json:"copies"`
	LostShare      float64       `json:"lost_share"`
	ZeroMsgID      bool          `json:"zero_msgid"`
	Timeout        duration      `json:"timeout"`
	Tries          int           `json:"tries"`
	RetryGap       duration      `json:"retry_gap"`
	SameQuery      bool          `json:"same_query"`
}

func changeCallback(a *wechattest.Account, in callbackIn) (any, error) {
	mode, ok := map[string]wechattest.CallbackMode{
		"": wechattest.CallbackPlain, "plain": wechattest.CallbackPlain,
		"compat": wechattest.CallbackCompat, "secure": wechattest.CallbackSecure,
	}[in.Mode]
	if !ok {
		return nil, fmt.Errorf("mode %q is not one of plain, compat, secure", in.Mode)
	}
	cb := wechattest.CallbackConfig{
		URL: in.URL, Mode: mode, Token: in.Token, EncodingAESKey: in.EncodingAESKey,
		Delay: time.Duration(in.Delay), BeforeAnswer: in.BeforeAnswer, Copies: in.Copies, LostShare: in.LostShare,
		ZeroMsgID: in.ZeroMsgID, Timeout: time.Duration(in.Timeout), Tries: in.Tries, RetryGap: time.Duration(in.RetryGap),
		SameQuery: in.SameQuery,
	}
	if err := cb.Validate(); err != nil {
		return nil, err
	}
	a.SetCallback(cb)
	return nil, nil
}

type oauthCodeIn struct {
	target
	OpenID string `json:"openid"`
	Scope  string `json:"scope"`
}

func makeOAuthCode(a *wechattest.Account, in oauthCodeIn) (any, error) {
	if in.Scope == "" {
		in.Scope = wechat.ScopeBase
	}
	if !openidPattern.MatchString(in.OpenID) || in.Scope != wechat.ScopeBase && in.Scope != wechat.ScopeUserInfo {
		return nil, errors.New("openid is 1 to 64 letters, digits, - and _; scope is snsapi_base or snsapi_userinfo")
	}
	return map[string]string{"code": a.OAuthCode(in.OpenID, in.Scope)}, nil
}
