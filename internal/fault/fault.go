// Package fault has the faults of what stands around a message of WeChat: its id, its
// address and its delivery terms. Those of the message itself are package wechat's.
package fault

import "github.com/wxnotify/wxnotify/wechat"

// Codes are stable and documented in docs/errors.md. Package producer exports those
// that it returns.
const (
	IDMissing       wechat.FaultCode = "id-missing"
	IDInvalid       wechat.FaultCode = "id-invalid"
	AddressTwice    wechat.FaultCode = "address-twice"
	UserInvalid     wechat.FaultCode = "user-invalid"
	ClassUnknown    wechat.FaultCode = "class-unknown"
	TemplateUnknown wechat.FaultCode = "template-unknown"
	NotAfterPast    wechat.FaultCode = "not-after-past"
	WindowEmpty     wechat.FaultCode = "window-empty"
	TooFarAhead     wechat.FaultCode = "not-before-too-far"
	OtherAccount    wechat.FaultCode = "other-account"
)

// Row is a fault in English and Chinese, as docs/errors.md has it.
type Row struct {
	Code wechat.FaultCode
	// Means is what is wrong, continuing a path; Do is the remedy. Each by wechat.Lang.
	Means, Do map[wechat.Lang]string
}

func row(code wechat.FaultCode, means, meansZH, do, doZH string) Row {
	return Row{
		code,
		map[wechat.Lang]string{wechat.English: means, wechat.Chinese: meansZH},
		map[wechat.Lang]string{wechat.English: do, wechat.Chinese: doZH},
	}
}

// Rows lists all faults in the order of the document.
func Rows() []Row {
	return []Row{
		row(IDMissing, "is missing", "缺失", "give the message an id of your own, such as order-1001-paid: with it a repeated call does not send twice", "请自行给消息一个 ID，例如 order-1001-paid：有了它，重复调用不会发送两次"),
		row(IDInvalid, "is not an id", "不是合法的 ID", "use up to 128 printable ASCII characters without spaces and braces, and neither . nor .. alone", "请使用最多 128 个可打印 ASCII 字符，不含空格和花括号，也不能只是 . 或 .."),
		row(AddressTwice, "has both an openid and a user", "同时有 openid 和用户", "give one of them", "请只给其中一个"),
		row(UserInvalid, "is not a user id", "不是合法的用户标识", "use up to 128 bytes of printable characters, of which a Chinese one has 3, without spaces and braces, and neither . nor .. alone", "请使用最多 128 字节的可打印字符（一个汉字为 3 字节），不含空格和花括号，也不能只是 . 或 .."),
		row(ClassUnknown, "is not a class", "不是优先级类别", "use critical, default or bulk", "请使用 critical、default 或 bulk"),
		row(TemplateUnknown, "is not a template of the account", "不是该账号的模板", "refresh the template list, or correct the id", "请刷新模板列表，或更正 ID"),
		row(NotAfterPast, "is in the past", "已过去", "choose a later not-after, or do not send the message", "请选择更晚的 not-after，或不再发送"),
		row(WindowEmpty, "is not later than not-before", "不晚于 not-before", "choose a not-after that is later than not-before", "not-after 必须晚于 not-before"),
		row(TooFarAhead, "is too far ahead", "太远", "enqueue the message later", "请晚些再入队"),
		row(OtherAccount, "is another account", "是另一个账号", "send it with the configuration of that account", "请用该账号的配置发送"),
	}
}

// New returns the fault of code at path with its text of docs/errors.md.
func New(path string, code wechat.FaultCode) wechat.Fault {
	for _, r := range Rows() {
		if r.Code == code {
			return wechat.NewFault(path, code, r.Means[wechat.English]+": "+r.Do[wechat.English], r.Means[wechat.Chinese]+"："+r.Do[wechat.Chinese])
		}
	}
	return wechat.NewFault(path, code, "is refused: see docs/errors.md", "被拒绝：见 docs/errors.zh-CN.md")
}
