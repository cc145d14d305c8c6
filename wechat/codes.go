package wechat

import (
	"maps"
	"slices"
	"strconv"
)

// Code is WeChat's errcode.
type Code int

// The codes that programs compare with. docs/errors.md has the whole table.
const (
	CodeOK                Code = 0
	CodeBusy              Code = -1
	CodeInvalidCredential Code = 40001
	CodeInvalidOpenID     Code = 40003
	CodeInvalidAppID      Code = 40013
	CodeInvalidToken      Code = 40014
	CodeInvalidCode       Code = 40029
	CodeInvalidRefresh    Code = 40030
	CodeInvalidTemplate   Code = 40037
	CodeInvalidSecret     Code = 40125
	CodeUsedCode          Code = 40163
	CodeIPNotListed       Code = 40164
	CodeDuplicate         Code = 40241
	CodeBlockedContent    Code = 40249
	CodeMissingToken      Code = 41001
	CodeMissingCode       Code = 41008
	CodeExpiredToken      Code = 42001
	CodeExpiredRefresh    Code = 42002
	CodeExpiredCode       Code = 42003
	CodeNotFollower       Code = 43004
	CodeRefused           Code = 43101
	CodeTemplateBanned    Code = 43116
	CodeTooFrequent       Code = 43117
	CodeQuota             Code = 45009
	CodeRate              Code = 45011
	CodeInvalidArgument   Code = 47003
	CodeUnauthorized      Code = 48001
	CodePunished          Code = 48004
	CodeUserLimited       Code = 50002
)

// Kind is what an errcode means for a sender.
type Kind int

// The kinds. KindUnknown is the zero value: a code outside the table.
const (
	KindUnknown    Kind = iota // not in the table: retry twice, then give up
	KindToken                  // 40001 40014 42001 41001: replay once with another token
	KindBusy                   // -1: retry later; the outcome is unknown
	KindRate                   // 45011: the quota of the minute is used up
	KindQuota                  // 45009: the quota of the day is used up
	KindRecipient              // this recipient cannot receive messages
	KindRefused                // 43101: this recipient refuses this template
	KindFrequency              // 43117: this recipient got too many messages; retry later
	KindMessage                // this message will never be accepted
	KindTemplate               // this template cannot be used
	KindAccount                // no message of this account can be sent now
	KindDuplicate              // 40241: WeChat got the same content within the last minute
	KindManagement             // never the answer to a send
	KindOK                     // 0: no error
)

// kindTexts has each kind's name and what the worker does with the message.
//
//nolint:gochecknoglobals // never changed
var kindTexts = [...]struct {
	name    string
	meaning words
}{
	KindUnknown:    {"unknown", words{"Not in the table. The message is retried twice, then recorded as dead.", "不在表中。消息重试两次，之后记为 dead。"}},
	KindToken:      {"token", words{"The access token was refused. The client replays the call once with another token; a second refusal counts as account.", "access token 被拒绝。客户端换一个 token 重发一次；再次被拒按 account 处理。"}},
	KindBusy:       {"busy", words{"WeChat was busy and the outcome is unknown. The message is retried with the same client_msg_id while WeChat still drops duplicates.", "微信繁忙，结果未知。在微信仍会去重的时间内，以相同的 client_msg_id 重试。"}},
	KindRate:       {"rate", words{"Too many calls in this minute. The gate lowers the rate; the message waits.", "本分钟调用过多。闸门降低速率，消息等待。"}},
	KindQuota:      {"quota", words{"The day's quota is used up. The gate closes until the reset; the message waits.", "当日配额已用完。闸门关闭到重置为止，消息等待。"}},
	KindRecipient:  {"recipient", words{"This recipient cannot receive messages. The message is rejected, other messages continue.", "该收件人收不到消息。消息被拒绝，其他消息照常发送。"}},
	KindRefused:    {"refused", words{"This recipient refuses this template. The message is rejected, other messages continue.", "该收件人拒收此模板。消息被拒绝，其他消息照常发送。"}},
	KindFrequency:  {"frequency", words{"This recipient got too many messages. The message waits for hours, other messages continue.", "该收件人收到的消息过多。该消息等待数小时，其他消息照常发送。"}},
	KindMessage:    {"message", words{"WeChat will never accept this message. It is rejected, other messages continue.", "微信永远不会接受这条消息。消息被拒绝，其他消息照常发送。"}},
	KindTemplate:   {"template", words{"This template cannot be used. After a few retries its messages stop, other templates continue.", "该模板不可用。重试几次后停发此模板的消息，其他模板照常发送。"}},
	KindAccount:    {"account", words{"No message of this account can be sent now. The account pauses and probes; messages keep their attempts.", "该账号暂时什么都发不了。账号暂停并定时探测；消息不消耗尝试次数。"}},
	KindDuplicate:  {"duplicate", words{"WeChat got the same content within the last minute. On our own replay the message counts as accepted, else as rejected.", "微信在一分钟内收到过相同内容。若是自动重发，视为已接受；否则视为被拒绝。"}},
	KindManagement: {"management", words{"Never the answer to a send, only to other calls.", "不会是发送的返回，只出现在其他调用中。"}},
	KindOK:         {"ok", words{"No error.", "没有错误。"}},
}

// Kinds lists every kind.
func Kinds() []Kind {
	kinds := make([]Kind, len(kindTexts))
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// String is the kind's name, such as "recipient".
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindTexts) {
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindTexts[k].name
}

// Meaning is one or two sentences in English about what happens to the message.
func (k Kind) Meaning() string { return k.MeaningIn(English) }

// MeaningIn is Meaning in lang.
func (k Kind) MeaningIn(lang Lang) string {
	if k < 0 || int(k) >= len(kindTexts) {
		return ""
	}
	return kindTexts[k].meaning.in(lang)
}

// codeRow is one row of codeTable.
type codeRow struct {
	code   Code
	kind   Kind
	name   string // short, stable
	says   string // WeChat's errmsg
	remedy words  // one sentence for an operator
}

// codeIndex finds a code's row in codeTable.
//
//nolint:gochecknoglobals // never changed
var codeIndex = func() map[Code]codeRow {
	index := make(map[Code]codeRow, len(codeTable))
	for _, row := range codeTable {
		index[row.code] = row
	}
	return index
}()

// Codes lists every code of the table, smallest first.
func Codes() []Code { return slices.Sorted(maps.Keys(codeIndex)) }

func (c Code) row() codeRow {
	if row, ok := codeIndex[c]; ok {
		return row
	}
	return codeRow{
		code: c, name: "unknown",
		remedy: words{
			"This program does not know the code: look it up on developers.weixin.qq.com, with the rid, and report it.",
			"本程序不认识此返回码：请带上 rid 在 developers.weixin.qq.com 查询，并报告。",
		},
	}
}

// Known reports whether the code is in the table.
func (c Code) Known() bool { _, ok := codeIndex[c]; return ok }

// Name is the code's short stable name, such as "require-subscribe". For a code
// outside the table it is "unknown".
func (c Code) Name() string { return c.row().name }

// Kind is the code's kind. For a code outside the table it is KindUnknown.
func (c Code) Kind() Kind { return c.row().kind }

// Says is WeChat's usual errmsg for the code. For a code outside the table it is
// empty.
func (c Code) Says() string { return c.row().says }

// Remedy is one sentence in English that tells an operator what to do.
func (c Code) Remedy() string { return c.RemedyIn(English) }

// RemedyIn is Remedy in lang.
func (c Code) RemedyIn(lang Lang) string { return c.row().remedy.in(lang) }

// otherTokenMayHelp reports whether a replay with another token may succeed. It
// may for 48001, since the token of another account gets it too.
func (c Code) otherTokenMayHelp() bool {
	return c.Kind() == KindToken || c == CodeUnauthorized
}
