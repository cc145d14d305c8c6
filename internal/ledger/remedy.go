package ledger

import (
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Words are why a message is in its state and what to do about it, for people; empty where
// there is nothing to say. The reason has its detail, such as "invalid-argument:
// data.time2.value is empty" or "suppressed: unsubscribed (since 2026-11-25T10:00:00Z)".
// It begins with the same word in every language where that word is a code.
func (r *Record) Words(lang wechat.Lang) (reason, remedy string) {
	return reasonText(r, lang), remedyOf(r, lang)
}

func reasonText(r *Record, lang wechat.Lang) string {
	if r.Reason == "" {
		return ""
	}
	text := ReasonText(r.Reason, lang)
	if code := isCode(r.Reason); code && text != r.Reason {
		text = r.Reason + " " + text
	}
	if r.Reason == ReasonSuppressed {
		return text + suppressionText(r, lang)
	}
	if r.Detail != "" {
		text += lang.Choose(": ", "：") + r.Detail
	}
	return text
}

// isCode reports whether a reason is a code, such as no-user, and no sentence.
func isCode(reason string) bool {
	for _, c := range reason {
		if c != '-' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// suppressionText continues the reason of a message to a suppressed recipient.
func suppressionText(r *Record, lang wechat.Lang) string {
	text := lang.Choose(": ", "：")
	switch {
	case r.Detail == "":
		return "" // of an earlier version
	case r.ByAdmin:
		text += lang.Choose("by an operator: ", "由管理员设置：") + r.Detail
	default:
		text += suppressionReason(r.Detail, lang)
	}
	if !r.SuppressedSince.IsZero() {
		text += lang.Choose(" (since ", "（自 ") + r.SuppressedSince.Local().Format(time.RFC3339) + lang.Choose(")", " 起）")
	}
	return text
}

// suppressionReason is why WeChat's answers, receipts or events asked for a suppression.
func suppressionReason(reason string, lang wechat.Lang) string {
	text := ReasonText(reason, lang)
	if text != reason {
		text = reason + " " + text
	}
	return text
}

// remedyOf is what to do about a state that the caller may want to change.
func remedyOf(r *Record, lang wechat.Lang) string {
	switch {
	case r.Reason == ReasonErased:
		return lang.Choose(
			"The recipient's data were erased before it was sent; write to them again only when they have enrolled again, under a new ID.",
			"发送前收件人的数据已被删除；只有在其重新登记后才可再次发送，并使用新的 ID。",
		)
	case r.Reason == ReasonNoReceipt:
		return lang.Choose(
			"WeChat took it, and told nothing more for 24 hours. When many are so, check the URL of 消息推送配置 under 基础信息 > 开发信息 "+
				"on developers.weixin.qq.com/platform (mp.weixin.qq.com until 2025-12); it is not sent again, and may have arrived.",
			"微信已接受，之后 24 小时内没有回执。若大量消息如此，请在微信开发者平台（developers.weixin.qq.com/platform）的"+
				"“基础信息 > 开发信息”检查消息推送配置的 URL（2025 年 12 月前在 mp.weixin.qq.com）；消息不会重发，可能已送达。",
		)
	case !r.ResendAt.IsZero():
		at := r.ResendAt.Local().Format(time.RFC3339)
		return lang.Choose(
			"WeChat could not deliver it; it is sent again automatically at "+at+".",
			"微信未能送达；将在 "+at+" 自动重发。",
		)
	case r.State == Unknown:
		return lang.Choose(
			"It may have arrived; ask the recipient before enqueueing it again under a new ID.",
			"可能已送达；用新的 ID 再次入队前请先询问收件人。",
		)
	case r.State == Expired:
		return lang.Choose(
			"Its not-after passed before it could be sent; enqueue it under a new ID if it still matters. `wxnotify queues` says what holds messages.",
			"在 not-after 之前未能发送；若仍需要，请用新的 ID 再次入队。`wxnotify queues` 会说明消息为何等待。",
		)
	case r.Reason == ReasonSuppressed:
		return suppressionRemedy(r, lang)
	case r.Reason == ReasonNoUser:
		return lang.Choose(
			"The user has not enrolled; send them an enrolment link, then enqueue under a new ID.",
			"该用户尚未登记；请发给对方登记链接，之后用新的 ID 再次入队。",
		)
	case r.Errcode != 0:
		return (&wechat.Error{Op: wechat.SendPath, Code: r.Errcode, Msg: r.Detail}).RemedyIn(lang)
	default:
		return receiptRemedy(r, lang)
	}
}

// receiptRemedy is of ends that no errcode explains.
func receiptRemedy(r *Record, lang wechat.Lang) string {
	switch {
	case r.Receipt == "user-block":
		return lang.Choose(
			"The follower refuses messages of this account; they can allow them in the account's settings.",
			"用户拒收该公众号的消息；可由其在微信的公众号设置中重新允许。",
		)
	case r.State == Rejected && r.Receipt != "":
		return lang.Choose(
			"WeChat could not deliver it; enqueue it again under a new ID if it still matters.",
			"微信未能送达；若仍需要，请用新的 ID 再次入队。",
		)
	case r.State == Dead:
		return lang.Choose(
			"Find out what stopped it, then send the dead letter again: `wxnotify dead retry ID`.",
			"查明原因后重发：`wxnotify dead retry ID`。",
		)
	default:
		return ""
	}
}

// suppressionRemedy depends on who asked for the suppression: most of what WeChat asks
// for cannot be lifted here, since WeChat would refuse the next message, too.
func suppressionRemedy(r *Record, lang wechat.Lang) string {
	switch {
	case r.ByAdmin:
		return lang.Choose(
			"An operator suppressed this recipient: ask them. `wxnotify suppress lift OPENID` ends it; then enqueue under a new ID.",
			"由管理员禁止向该收件人发送：请先询问管理员。`wxnotify suppress lift OPENID` 可解除，之后用新的 ID 再次入队。",
		)
	case slices.Contains([]string{"unsubscribed", wechat.CodeNotFollower.Name(), wechat.Code(50005).Name()}, r.Detail):
		return lang.Choose(
			"The recipient does not follow the account. They must follow it again, which lifts the suppression automatically; "+
				"lifting it by hand does not help, since WeChat delivers to followers only. Then enqueue under a new ID.",
			"收件人没有关注公众号。对方须重新关注，关注后自动解除；手动解除没有用，因为微信只向关注者投递。之后用新的 ID 再次入队。",
		)
	case slices.Contains([]string{"user-block", wechat.Code(48002).Name()}, r.Detail):
		return lang.Choose(
			"The follower refuses this account's messages. They can allow them in the account's settings in WeChat; "+
				"then `wxnotify suppress lift OPENID`, and enqueue under a new ID.",
			"用户拒收该公众号的消息。可由其在微信的公众号设置中重新允许；之后用 `wxnotify suppress lift OPENID` 解除，并用新的 ID 再次入队。",
		)
	case r.Detail == wechat.CodeRefused.Name():
		return lang.Choose(
			"The follower refuses this template. They can allow it in the account's settings in WeChat; "+
				"then `wxnotify suppress lift OPENID --template ID`, and enqueue under a new ID. Other templates are sent.",
			"用户拒收该模板。可由其在微信的公众号设置中重新允许；之后用 `wxnotify suppress lift OPENID --template ID` 解除，并用新的 ID 再次入队。其他模板照常发送。",
		)
	case r.Detail == wechat.Code(43019).Name():
		return lang.Choose(
			"The recipient is on the account's blacklist: remove them on mp.weixin.qq.com, 用户管理 > 黑名单, "+
				"then `wxnotify suppress lift OPENID`, and enqueue under a new ID.",
			"收件人在公众号黑名单中：请在 mp.weixin.qq.com 的“用户管理 > 黑名单”移出，再用 `wxnotify suppress lift OPENID` 解除，并用新的 ID 再次入队。",
		)
	case r.Detail == wechat.Code(46004).Name():
		return lang.Choose(
			"No WeChat user has this openid: correct it, and enqueue under a new ID.",
			"没有微信用户使用该 openid：请更正，并用新的 ID 再次入队。",
		)
	default:
		return lang.Choose(
			"The recipient must not be written to at present. `wxnotify suppress list` says until when; then enqueue under a new ID.",
			"目前不得向该收件人发送。`wxnotify suppress list` 会显示到何时为止；之后用新的 ID 再次入队。",
		)
	}
}
