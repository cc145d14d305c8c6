package wechat

import (
	"slices"
	"strconv"
)

// Code is WeChat's errcode.
type Code int

// The codes that programs decide on. The whole table is in docs/errors.md.
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

// Kind says what an errcode means to a sender.
type Kind int

// The kinds. KindUnknown is the zero value: a code outside the table.
const (
	KindUnknown    Kind = iota // not in the table: two retries, then give up
	KindToken                  // 40001 40014 42001 41001: replay once with another token
	KindBusy                   // -1: back off; the outcome is not known
	KindRate                   // 45011: the minute's quota; slow down
	KindQuota                  // 45009: the day's quota
	KindRecipient              // this recipient cannot be written to
	KindRefused                // 43101: this recipient refuses this template
	KindFrequency              // 43117: this recipient was written to too often; later
	KindMessage                // this message is wrong for good
	KindTemplate               // this template cannot be used
	KindAccount                // nothing of this account can be sent now
	KindDuplicate              // 40241: WeChat saw the same content a moment ago
	KindManagement             // only calls other than a send answer it
	KindOK                     // 0: no error
)

// kindTexts are each kind's name and what the worker makes of it.
//
//nolint:gochecknoglobals // a table that nobody writes to
var kindTexts = [...]struct{ name, meaning string }{
	KindUnknown:    {"unknown", "Not in the table. Tried twice more, then recorded as dead."},
	KindToken:      {"token", "The access token was refused. The client asks for another and replays once; a second refusal counts as account."},
	KindBusy:       {"busy", "WeChat was busy and the outcome is not known. Sent again with the same client_msg_id while WeChat still drops duplicates."},
	KindRate:       {"rate", "Too many calls this minute. The gate slows down; the message waits."},
	KindQuota:      {"quota", "The day's quota is used up. The gate closes until the reset; the message waits."},
	KindRecipient:  {"recipient", "This recipient cannot be written to. The message is rejected, others go on."},
	KindRefused:    {"refused", "This recipient switched this template off. The message is rejected, others go on."},
	KindFrequency:  {"frequency", "This recipient was written to too often. The message waits for hours, others go on."},
	KindMessage:    {"message", "This message is wrong for good. It is rejected, others go on."},
	KindTemplate:   {"template", "This template cannot be used. A few retries, then its messages stop; other templates go on."},
	KindAccount:    {"account", "Nothing of this account can be sent now. The account pauses and probes; messages keep their attempts."},
	KindDuplicate:  {"duplicate", "WeChat saw the same content a moment ago. On our own replay it counts as accepted, else as rejected."},
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

// Meaning is one or two sentences on what becomes of a message.
func (k Kind) Meaning() string {
	if k < 0 || int(k) >= len(kindTexts) {
		return ""
	}
	return kindTexts[k].meaning
}

// codeRow is what we know of one code.
type codeRow struct {
	code   Code
	kind   Kind
	name   string // short, stable
	says   string // WeChat's words
	remedy string // one sentence to an operator
}

// codeIndex finds a code's row in codeTable.
//
//nolint:gochecknoglobals // made from the table once
var codeIndex = indexCodes(codeTable[:])

func indexCodes(rows []codeRow) map[Code]*codeRow {
	index := make(map[Code]*codeRow, len(rows))
	for i := range rows {
		index[rows[i].code] = &rows[i]
	}
	return index
}

// Codes lists every code of the table, smallest first.
func Codes() []Code {
	codes := make([]Code, 0, len(codeTable))
	for i := range codeTable {
		codes = append(codes, codeTable[i].code)
	}
	slices.Sort(codes)
	return codes
}

// Name is the code's short stable name, such as "require-subscribe". A code
// outside the table is "unknown".
func (c Code) Name() string {
	if row, ok := codeIndex[c]; ok {
		return row.name
	}
	return "unknown"
}

// Kind looks the code up in the table.
func (c Code) Kind() Kind {
	if row, ok := codeIndex[c]; ok {
		return row.kind
	}
	return KindUnknown
}

// Says is WeChat's usual text for the code, empty outside the table.
func (c Code) Says() string {
	if row, ok := codeIndex[c]; ok {
		return row.says
	}
	return ""
}

// Remedy is one sentence that tells an operator what to do.
func (c Code) Remedy() string {
	if row, ok := codeIndex[c]; ok {
		return row.remedy
	}
	return "WeChat answered a code that this program does not know: look it up on developers.weixin.qq.com, with the rid, and report it."
}

// otherTokenMayHelp reports whether one replay with another token is worth a
// call. 48001 is in, since the token of another account gets it too.
func (c Code) otherTokenMayHelp() bool {
	return c.Kind() == KindToken || c == CodeUnauthorized
}
