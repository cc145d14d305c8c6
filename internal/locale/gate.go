package locale

import (
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// GateReason says in lang why a gate is closed. A reason that is not in the table is
// returned as it is.
func GateReason(r ratelimit.Reason, lang wechat.Lang) string {
	texts := map[ratelimit.Reason][2]string{
		ratelimit.ReasonQuota:        {"the day's quota is used up", "今日配额已用完"},
		ratelimit.ReasonRefused:      {"WeChat says the quota is used up (45009)", "微信答复配额已用完（45009）"},
		ratelimit.ReasonMinute:       {"too fast for WeChat (45011)", "超过微信每分钟限额（45011）"},
		ratelimit.ReasonUnreconciled: {"the count was lost; asking WeChat", "计数丢失，正向微信核对"},
		ratelimit.ReasonAccount:      {"WeChat refuses the account", "微信拒绝该公众号"},
		ratelimit.ReasonToken:        {"no access token", "没有 access token"},
		ratelimit.ReasonAddress:      {"WeChat refuses the address of every worker", "所有 worker 的出口 IP 都不在白名单"},
		ratelimit.ReasonBreaker:      {"WeChat is down; probing", "微信接口故障，探测中"},
		ratelimit.ReasonManual:       {"closed by an admin", "管理员已关闭"},
	}
	if text, known := texts[r]; known {
		return lang.Choose(text[0], text[1])
	}
	return string(r)
}
