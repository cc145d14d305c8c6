package wechattest

import (
	"net/http"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// The account of a zero Config, and the templates that every account has
// unless AccountConfig.Templates says otherwise.
const (
	AppID     = "wxsim0000000000001"
	AppSecret = "0123456789abcdef0123456789abcdef"

	TemplateOrderPaid = "sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2"
	TemplateLabResult = "sim-lab-result-Q4nYb8sV6tKzF2hUoWxC5rMjDiA1"
	TemplateDelivery  = "sim-delivery-pZ7gLe3kTqS9vXwB1yRmN5cHuJfD0a"
)

// The API paths that tests script and count most.
const (
	SendPath        = wechat.SendPath
	TokenPath       = "/cgi-bin/token"
	StableTokenPath = "/cgi-bin/stable_token"
	OAuthTokenPath  = "/sns/oauth2/access_token"
)

const quotaGetPath = "/cgi-bin/openapi/quota/get"

// Config describes a platform. The zero value is one account, AppID with
// AppSecret, where every openid is a follower and nothing fails.
type Config struct {
	// Accounts on the platform. Default: one, with AppID and AppSecret.
	Accounts []AccountConfig
	// Strangers makes every openid a non-follower (43004) until Follow is
	// called. Default false: every openid follows until Unfollow.
	Strangers bool
	// AnyTemplate accepts every template id, and checks no keys of an unknown
	// template. Default false: 40037.
	AnyTemplate bool
	// Latency passes between a call's effect and its answer. Default 0.
	Latency time.Duration
	// Duplicate is the answer to a second message with the same openid and
	// client_msg_id. Default SameMsgID.
	Duplicate DuplicateAnswer
	// DuplicateWindow is how long the platform remembers a client_msg_id.
	// Default 10 minutes, as WeChat documents.
	DuplicateWindow time.Duration
	// DuplicateContent answers 40241 to the same content for the same openid
	// within 60 seconds, unless the client_msg_id is a known duplicate. Default
	// false.
	DuplicateContent bool
	// UnionIDs gives every user a unionid, as for an account that is bound to an
	// Open Platform account. Default false.
	UnionIDs bool
	// QuotaUTCOffset is the offset of the midnight at which daily counters
	// restart. Default +8 h (China); for UTC set any value under a second, such
	// as 1.
	QuotaUTCOffset time.Duration
	// ForceEndsToken makes a forced refresh of the stable token end the token before
	// at once. Default false: that token stays valid for 5 minutes, and a second forced
	// refresh, 30 s later or more, ends it at once. Which of both WeChat does is not
	// confirmed.
	ForceEndsToken bool
	// Seed makes the faults of Fault repeatable. Default 1.
	Seed uint64
	// KeepSeen is how many of the newest messages are kept, each with its body.
	// Default 1 000 000.
	KeepSeen int
	// CallbackClient delivers events to CallbackConfig.URL. Default: a client of
	// the platform's own.
	CallbackClient *http.Client
}

// AccountConfig describes one account. New panics when AppID is empty.
type AccountConfig struct {
	AppID string
	// AppSecret is what the token endpoints ask for. Default: the constant
	// AppSecret.
	AppSecret wechat.Secret
	// Name is shown on pages. Default: the AppID.
	Name string
	// OpenIDPrefix makes openids without this prefix invalid (40003), as openids
	// of another account are. Default: every well-formed openid is valid.
	OpenIDPrefix string
	// Templates of the account. Default: DefaultTemplates().
	Templates []Template
	// DailyQuota is the number of template sends a day. Default 100 000.
	DailyQuota int64
	// MinuteQuota is the number of template sends a minute. Default 0: no limit.
	MinuteQuota int64
	// AllowedIPs is the account's IP list: addresses, and ranges such as
	// "203.0.113.0/24". Calls from others are refused with IPRefusal. Default: all.
	AllowedIPs []string
	// IPCheck says which calls check AllowedIPs: WeChat's own pages disagree.
	// Default: IPCheckTokens.
	IPCheck IPCheck
	// IPRefusal is the errcode for a caller that AllowedIPs does not list: 40164,
	// 61004 or 45035. Default 40164.
	IPRefusal wechat.Code
	// OAuthDomain is the host that redirect_uri must have. Default: any.
	OAuthDomain string
	// Callback is the server that receives events. Default: none.
	Callback CallbackConfig
}

// IPCheck says which calls check the account's IP list.
type IPCheck int

// The calls that check it. Web authorization (/sns/) never does.
const (
	IPCheckTokens IPCheck = iota // those that fetch a token (docs: 开发前必读, 61004)
	IPCheckAll                   // also those that carry one (docs: IP 白名单, 40164)
)

// DuplicateAnswer is the answer to a repeated client_msg_id. WeChat does not
// document it, so a client must handle each.
type DuplicateAnswer int

// The answers to a repeated client_msg_id.
const (
	SameMsgID       DuplicateAnswer = iota // errcode 0 with the first message's msgid
	ZeroMsgID                              // errcode 0 with msgid 0
	RefuseDuplicate                        // errcode 40241
)

func (c Config) withDefaults() Config {
	if len(c.Accounts) == 0 {
		c.Accounts = []AccountConfig{{AppID: AppID}}
	}
	if c.DuplicateWindow == 0 {
		c.DuplicateWindow = 10 * time.Minute
	}
	if c.QuotaUTCOffset == 0 {
		c.QuotaUTCOffset = 8 * time.Hour
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.KeepSeen == 0 {
		c.KeepSeen = 1_000_000
	}
	return c
}

func (c AccountConfig) withDefaults() AccountConfig {
	if c.AppID == "" {
		panic("wechattest: AccountConfig.AppID is empty; give the account an appid such as wechattest.AppID")
	}
	if c.AppSecret.IsZero() {
		c.AppSecret = wechat.NewSecret(AppSecret)
	}
	if c.Name == "" {
		c.Name = c.AppID
	}
	if c.Templates == nil {
		c.Templates = DefaultTemplates()
	}
	if c.DailyQuota == 0 {
		c.DailyQuota = 100_000
	}
	if c.IPRefusal == 0 {
		c.IPRefusal = wechat.CodeIPNotListed
	}
	return c
}
