package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// Installation is what is examined. What is nil or empty because its settings are
// faulty is not asked; the settings themselves are the caller's to check.
type Installation struct {
	Redis    *redisconn.Server // nil: its address is faulty
	Accounts []Account
	// Outside is the public address to ask as WeChat and followers do, such as
	// https://notify.example.com. Empty: it is not asked.
	Outside string
	// PublicURL is the configured one. Empty: not configured.
	PublicURL string
	// LinksMissing are the settings that enrolment links need and that are not set.
	LinksMissing []string
	// VerifyFiles are the names and contents of MP_verify_*.txt. Nil: none.
	VerifyFiles map[string][]byte
	// ErrorText is an error in the language of this run. Required.
	ErrorText func(error) string
	// Within bounds each check. Default 3 s.
	Within time.Duration
}

// Account is one account of the installation.
type Account struct {
	AppID string
	// WeChat has the AppSecret; without one WeChat is not asked.
	WeChat wechat.Config
	Mode   tokenstore.Mode
	// Callback is our half of 消息推送配置; nil: no Token is configured, or CallbackFault.
	Callback      *wechat.Callback
	CallbackMode  wechat.CallbackMode
	CallbackFault error
	// DailyQuota is the configured one; 0 asks WeChat.
	DailyQuota int64
	// Gate opens the account's gate. Nil: its settings are faulty.
	Gate func(redis.UniversalClient) (*ratelimit.Gate, error)
	// Templates are ids that the business says it uses.
	Templates []string
	// SealKeys open messages that wait. Nil: none is configured.
	SealKeys *seal.Keyring
	// Names seal openids and users. Nil: they are in clear.
	Names *seal.Names
}

// Checks lists what is asked of the installation. Close rdb, when it is not nil, after
// they have run.
func Checks(in Installation) (checks []Check, rdb redis.UniversalClient) {
	if in.Redis != nil {
		rdb = in.Redis.Dial()
	}
	checks = append(checks, redisCheck(in, rdb))
	for _, a := range in.Accounts {
		checks = append(checks, wechatCheck(in, a, rdb), callbackCheck(a))
	}
	checks = append(checks, linksCheck(in), publicCheck(in))
	bound(checks, in.Within)
	return checks, rdb
}

func bound(checks []Check, within time.Duration) {
	for i := range checks {
		checks[i].Within = within
		bound(checks[i].Then, within)
	}
}

// noRedis are the checks that ask nothing, since the address is faulty.
func noRedis(_ context.Context, n *Notes) {
	n.Skip("the setting of its address is faulty", "它的地址设置有误")
}

// causeOf is the text of a failed call; ErrorText makes it where it is in a language.
func causeOf(n *Notes, err error, errorText func(error) string) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return text{"no answer within 3 s", "3 秒内没有回应"}.in(n.lang)
	}
	return errorText(err)
}

// refusal is what a check needs of an error of package wechat.
type refusal struct {
	code    wechat.Code // 0: WeChat did not answer
	address string      // the caller's address, when WeChat told it
	remedy  string
}

func refusalOf(err error, lang wechat.Lang) refusal {
	if e, ok := errors.AsType[*wechat.Error](err); ok {
		return refusal{code: e.Code, address: e.IP(), remedy: e.RemedyIn(lang)}
	}
	return refusal{}
}
