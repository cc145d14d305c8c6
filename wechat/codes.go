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
var kindTexts = [...]struct{ name, meaning string }{
	KindUnknown:    {"unknown", "Not in the table. The message is retried twice, then recorded as dead."},
	KindToken:      {"token", "The access token was refused. The client replays the call once with another token; a second refusal counts as account."},
	KindBusy:       {"busy", "WeChat was busy and the outcome is unknown. The message is retried with the same client_msg_id while WeChat still drops duplicates."},
	KindRate:       {"rate", "Too many calls in this minute. The gate lowers the rate; the message waits."},
	KindQuota:      {"quota", "The day's quota is used up. The gate closes until the reset; the message waits."},
	KindRecipient:  {"recipient", "This recipient cannot receive messages. The message is rejected, other messages continue."},
	KindRefused:    {"refused", "This recipient refuses this template. The message is rejected, other messages continue."},
	KindFrequency:  {"frequency", "This recipient got too many messages. The message waits for hours, other messages continue."},
	KindMessage:    {"message", "WeChat will never accept this message. It is rejected, other messages continue."},
	KindTemplate:   {"template", "This template cannot be used. After a few retries its messages stop, other templates continue."},
	KindAccount:    {"account", "No message of this account can be sent now. The account pauses and probes; messages keep their attempts."},
	KindDuplicate:  {"duplicate", "WeChat got the same content within the last minute. On our own replay the message counts as accepted, else as rejected."},
	KindManagement: {"management", "Never the answer to a send, only to other calls."},
	KindOK:         {"ok", "No error."},
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

// Meaning is one or two sentences about what happens to the message.
func (k Kind) Meaning() string {
	if k < 0 || int(k) >= len(kindTexts) {
		return ""
	}
	return kindTexts[k].meaning
}

// codeRow is one row of codeTable.
type codeRow struct {
	code   Code
	kind   Kind
	name   string // short, stable
	says   string // WeChat's errmsg
	remedy string // one sentence for an operator
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
		remedy: "This program does not know the code: look it up on developers.weixin.qq.com, with the rid, and report it.",
	}
}

// Name is the code's short stable name, such as "require-subscribe". For a code
// outside the table it is "unknown".
func (c Code) Name() string { return c.row().name }

// Kind is the code's kind. For a code outside the table it is KindUnknown.
func (c Code) Kind() Kind { return c.row().kind }

// Says is WeChat's usual errmsg for the code. For a code outside the table it is
// empty.
func (c Code) Says() string { return c.row().says }

// Remedy is one sentence that tells an operator what to do.
func (c Code) Remedy() string { return c.row().remedy }

// otherTokenMayHelp reports whether a replay with another token may succeed. It
// may for 48001, since the token of another account gets it too.
func (c Code) otherTokenMayHelp() bool {
	return c.Kind() == KindToken || c == CodeUnauthorized
}
