package wechat

import (
	"fmt"
	"strings"
)

// FaultCode is what is wrong with a message that is refused before it is sent to
// WeChat. Codes are stable and documented in docs/errors.md.
type FaultCode string

// Faults of a message, found by Validate.
const (
	FaultMessageMissing     FaultCode = "message-missing"
	FaultOpenIDMissing      FaultCode = "openid-missing"
	FaultOpenIDInvalid      FaultCode = "openid-invalid"
	FaultOpenIDSeveral      FaultCode = "openid-several"
	FaultTemplateMissing    FaultCode = "template-missing"
	FaultTemplateInvalid    FaultCode = "template-invalid"
	FaultURLInvalid         FaultCode = "url-invalid"
	FaultMiniProgramAppID   FaultCode = "miniprogram-appid-missing"
	FaultMiniProgramInvalid FaultCode = "miniprogram-invalid"
	FaultClientMsgID        FaultCode = "client-msg-id-invalid"
	FaultDataMissing        FaultCode = "data-missing"
	FaultKeyEmpty           FaultCode = "key-empty"
	FaultKeySuffix          FaultCode = "key-suffix"
	FaultKeyInvalid         FaultCode = "key-invalid"
	FaultKeyMissing         FaultCode = "key-missing"
	FaultKeyUnknown         FaultCode = "key-unknown"
	FaultValueEmpty         FaultCode = "value-empty"
	FaultValueTooLong       FaultCode = "value-too-long"
	FaultValueForm          FaultCode = "value-form"
	FaultControl            FaultCode = "control-character"
	FaultEncoding           FaultCode = "not-utf8"
	FaultBodyTooLarge       FaultCode = "body-too-large"
)

// Faults of the delivery terms of a message, found by package producer.
const (
	FaultIDMissing       FaultCode = "id-missing"
	FaultIDInvalid       FaultCode = "id-invalid"
	FaultAddressTwice    FaultCode = "address-twice"
	FaultUserInvalid     FaultCode = "user-invalid"
	FaultClassUnknown    FaultCode = "class-unknown"
	FaultTemplateUnknown FaultCode = "template-unknown"
	FaultNotAfterPast    FaultCode = "not-after-past"
	FaultWindowEmpty     FaultCode = "window-empty"
	FaultTooFarAhead     FaultCode = "not-before-too-far"
	FaultOtherAccount    FaultCode = "other-account"
)

// Warnings: WeChat accepts the message, but does not show all of it.
const (
	WarnHistoricHidden FaultCode = "historic-hidden"
	WarnHistoricCut    FaultCode = "historic-cut"
	WarnColor          FaultCode = "color-not-shown"
	WarnEmoji          FaultCode = "emoji-not-shown"
	WarnLineBreak      FaultCode = "line-break"
	WarnShortThing     FaultCode = "short-thing-long"
	WarnTemplateID     FaultCode = "template-id-length"
)

type faultRow struct {
	code  FaultCode
	means string // what is wrong, continuing "<path> "
	do    string // the remedy
}

// faultTable is the only list of faults. The texts of errors and docs/errors.md
// are made from it.
//
//nolint:gochecknoglobals // never changed
var faultTable = [...]faultRow{
	{FaultMessageMissing, "is missing", "give a message"},
	{FaultOpenIDMissing, "is missing", "give the recipient's openid under this account, or a user of the roster"},
	{FaultOpenIDInvalid, "is not an openid", "use the openid exactly as WeChat returned it: up to 64 letters, digits, '-' and '_'"},
	{FaultOpenIDSeveral, "has several recipients", "enqueue one message for each recipient"},
	{FaultTemplateMissing, "is missing", "copy the template's id from 模板消息 > 我的模板"},
	{FaultTemplateInvalid, "is not a template id", "copy the template's id from 模板消息 > 我的模板: up to 64 letters, digits, '-' and '_'"},
	{FaultURLInvalid, "is not an http or https address", "write it in full, such as https://example.com/orders/1"},
	{FaultMiniProgramAppID, "is missing", "give the mini program's appid, or remove miniprogram"},
	{FaultMiniProgramInvalid, "is not an appid", "copy the mini program's appid: up to 64 letters, digits, '-' and '_'"},
	{FaultClientMsgID, "is not a client_msg_id", "leave it empty, or use up to 32 letters, digits, '-' and '_'"},
	{FaultDataMissing, "has no values", "give a value for each key of the template"},
	{FaultKeyEmpty, "has an empty key", "use the name between the braces of the template, such as thing1"},
	{FaultKeySuffix, "has the suffix .DATA", "remove the suffix: write thing1 for {{thing1.DATA}}"},
	{FaultKeyInvalid, "is not a key", "use the name between the braces of the template, such as thing1: letters, '_' and digits"},
	{FaultKeyMissing, "is missing", "give a value: the template has this key"},
	{FaultKeyUnknown, "is not a key of the template", "remove it, or correct its name"},
	{FaultValueEmpty, "is empty", "give a value: WeChat refuses blank values"},
	{FaultValueTooLong, "is too long", "shorten it"},
	{FaultValueForm, "does not fit its type", "write it in the form that the key's type requires"},
	{FaultControl, "has a control character or a line break", "remove it"},
	{FaultEncoding, "is not UTF-8", "convert it to UTF-8"},
	{FaultReplaced, "has the replacement character U+FFFD", "a decoder wrote it in place of text that it could not read: read the source in its own encoding"},
	{FaultSurrogate, "has half of a surrogate pair", "the program that wrote it cut a character in two: write the whole character"},
	{FaultJSON, "is not a JSON object", "write it as {\"touser\":…,\"template_id\":…,\"data\":{…}}"},
	{FaultFieldUnknown, "is not a field of WeChat's message", "correct its name, or remove it"},
	{FaultFieldType, "has a wrong type", "write text in quotes, data and its values as objects"},
	{FaultFieldTwice, "is given twice", "give it once"},
	{FaultOtherKind, "is a field of another kind of message", "wxnotify sends template messages: remove it; a page of a mini program is miniprogram.pagepath"},
	{FaultBodyTooLarge, "is too large", "shorten the values: the encoded message may have at most 16 KB"},

	{FaultIDMissing, "is missing", "give the message an id of your own, such as order-1001-paid: with it a repeated call does not send twice"},
	{FaultIDInvalid, "is not an id", "use up to 128 printable ASCII characters without spaces"},
	{FaultAddressTwice, "has both an openid and a user", "give one of them"},
	{FaultUserInvalid, "is not a user id", "use up to 128 printable characters"},
	{FaultClassUnknown, "is not a class", "use critical, default or bulk"},
	{FaultTemplateUnknown, "is not a template of the account", "refresh the template list, or correct the id"},
	{FaultNotAfterPast, "is in the past", "choose a later not-after, or do not send the message"},
	{FaultWindowEmpty, "is before not-before", "choose a not-after that is later than not-before"},
	{FaultTooFarAhead, "is too far ahead", "enqueue the message later"},
	{FaultOtherAccount, "is another account", "send it with the configuration of that account"},

	{WarnHistoricHidden, "is not shown", "move the text into a keyword: since 2023-05-04 WeChat hides first and remark"},
	{WarnHistoricCut, "will be cut on display", "keep it within about 20 characters: WeChat shows longer ones with an ellipsis"},
	{WarnColor, "is not shown", "remove it: WeChat has ignored colours since 2023-05-04"},
	{WarnEmoji, "has emoji, which are not shown", "remove them: WeChat has hidden emoji since 2023-05"},
	{WarnLineBreak, "has a line break", "remove it: WeChat shows one line"},
	{WarnShortThing, "may be too long", "keep short_thing within about 10 characters; its limit is not documented"},
	{WarnTemplateID, "has another length than WeChat's 43 characters", "copy the id from 模板消息 > 我的模板; the short number of the template library (模板库) is not an id"},
}

func (c FaultCode) row() faultRow {
	for _, row := range faultTable {
		if row.code == c {
			return row
		}
	}
	return faultRow{code: c, means: "is refused", do: "see docs/errors.md"}
}

// Fault is one thing wrong with a message.
type Fault struct {
	// Path is the field, such as "data.thing1.value". Empty: the whole message.
	Path string    `json:"path"`
	Code FaultCode `json:"code"`
	// Message says what is wrong and what to do. It quotes no value.
	Message string `json:"message"`
}

// NewFault returns the fault of code at path, with the text of docs/errors.md.
func NewFault(path string, code FaultCode) Fault { return newFault(path, code) }

func newFault(path string, code FaultCode) Fault {
	row := code.row()
	return Fault{Path: path, Code: code, Message: row.means + ": " + row.do}
}

// faultf is a fault with a more specific text than the table's.
func faultf(path string, code FaultCode, format string, args ...any) Fault {
	return Fault{Path: path, Code: code, Message: fmt.Sprintf(format, args...)}
}

// String reads like "data.thing1.value is empty: give a value: … (value-empty)".
func (f Fault) String() string {
	path := f.Path
	if path == "" {
		path = "message"
	}
	return path + " " + f.Message + " (" + string(f.Code) + ")"
}

// InvalidError is a message that was refused before it was sent to WeChat, with
// all its faults.
type InvalidError struct{ Faults []Fault }

// faultsShown is how many faults the text of an InvalidError has.
const faultsShown = 20

// Error lists the first faults.
func (e *InvalidError) Error() string {
	shown := e.Faults
	if len(shown) > faultsShown {
		shown = shown[:faultsShown]
	}
	parts := make([]string, 0, len(shown)+1)
	for _, f := range shown {
		parts = append(parts, f.String())
	}
	if more := len(e.Faults) - len(shown); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more faults", more))
	}
	return "wechat: message refused: " + strings.Join(parts, "; ")
}
