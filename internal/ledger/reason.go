package ledger

import (
	"slices"

	"github.com/wxnotify/wxnotify/wechat"
)

// Reasons of a record: why a message is in its state. They are stored, so that their
// texts never change. A code of WeChat (wechat.Code.Name) and the words of a receipt
// are reasons, too.
const (
	ReasonSuppressed    = "suppressed"                    // the recipient must not be written to
	ReasonNoUser        = "no-user"                       // the user has no openid on the roster
	ReasonNoReceipt     = "no-receipt"                    // accepted, and no receipt came within ReceiptWait
	ReasonErased        = "erased"                        // the recipient's data were erased before it was sent
	ReasonRecordExpired = "record-expired"                // the record may have ended and expired: see Begin
	ReasonNotAfter      = "expired: not-after has passed" // while it waited

	ReasonUnreachable    = "WeChat could not be reached"
	ReasonNoAnswer       = "WeChat did not answer in time"
	ReasonLost           = "the connection was lost after the request was written"
	ReasonUnreadable     = "WeChat's answer was not readable"
	ReasonHTTP           = "WeChat answered with an HTTP error"
	ReasonStopping       = "the worker stopped before WeChat answered"
	ReasonNoToken        = "no access token"
	ReasonNoPermit       = "the token was refused, and no permit to send again was left"
	ReasonWindowClosed   = "outcome unknown, and WeChat's replay window has closed"
	ReasonLateUnknown    = "outcome of an attempt unknown, and not-after has passed"
	ReasonTemplate       = "not sent: WeChat has refused this template for hours"
	ReasonWorkerFailed   = "the worker failed on this message; its log has the stack"
	ReasonUnreadableTask = "the task cannot be read"
)

// reasonsInChinese has every reason above, those of receipts, and those of
// suppressions that no errcode names.
//
//nolint:gochecknoglobals // never changed
var reasonsInChinese = map[string]string{
	ReasonSuppressed:    "已禁止向该收件人发送",
	ReasonNoUser:        "该用户没有绑定 openid",
	ReasonNoReceipt:     "微信已接受，24 小时内没有回执",
	ReasonErased:        "发送前收件人的数据已被删除",
	ReasonRecordExpired: "记录已过期，可能已发送过",
	ReasonNotAfter:      "已过期：超过了 not-after",

	ReasonUnreachable:    "无法连接微信",
	ReasonNoAnswer:       "微信没有及时应答",
	ReasonLost:           "请求写出后连接断开",
	ReasonUnreadable:     "微信的应答无法读取",
	ReasonHTTP:           "微信返回了 HTTP 错误",
	ReasonStopping:       "微信应答之前 worker 已停止",
	ReasonNoToken:        "没有 access token",
	ReasonNoPermit:       "token 被拒绝，且没有配额再次发送",
	ReasonWindowClosed:   "结果未知，且微信的去重时间已过",
	ReasonLateUnknown:    "有一次尝试结果未知，且已超过 not-after",
	ReasonTemplate:       "未发送：微信数小时来一直拒绝该模板",
	ReasonWorkerFailed:   "worker 处理该消息时出错；日志中有堆栈",
	ReasonUnreadableTask: "任务无法读取",

	userBlock:      "用户在微信中拒收该公众号的消息",
	systemFailed:   "微信系统故障，发送失败",
	freqLimit:      "微信限制了发送频率",
	"empty-status": "微信的回执没有状态",
	unsubscribed:   "已取消关注",
	"by-admin":     "由管理员设置",

	otherCause:     "其他原因",
	reasonMigrated: "公众号已迁移，openid 已作废",
}

// ReasonText is reason for people, in lang. What is no reason of ours, such as
// WeChat's own words or an operator's, is returned as it is.
func ReasonText(reason string, lang wechat.Lang) string {
	if chinese := reasonsInChinese[reason]; chinese != "" && lang == wechat.Chinese {
		return chinese
	}
	return reason
}

// statesInChinese are the states in the order of States.
//
//nolint:gochecknoglobals // never changed
var statesInChinese = [...]string{
	"排队中", "定时等待", "发送中", "等待重试", "微信已接受", "已送达", "被拒绝", "已过期", "已取消", "结果未知", "已放弃",
}

// In is the state for people, in lang: in Chinese with the state's own word before it,
// such as "rejected 被拒绝".
func (s State) In(lang wechat.Lang) string {
	if i := slices.Index(States(), s); i >= 0 && lang == wechat.Chinese {
		return string(s) + " " + statesInChinese[i]
	}
	return string(s)
}
