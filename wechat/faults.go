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

// Warnings: WeChat accepts the message but does not show all of it as written, or an id in
// it has an unusual form, and WeChat may refuse it.
const (
	WarnHistoricHidden FaultCode = "historic-hidden"
	WarnHistoricCut    FaultCode = "historic-cut"
	WarnColor          FaultCode = "color-not-shown"
	WarnEmoji          FaultCode = "emoji-not-shown"
	WarnLineBreak      FaultCode = "line-break"
	WarnShortThing     FaultCode = "short-thing-long"
	WarnDirection      FaultCode = "writing-direction"
	WarnTemplateID     FaultCode = "template-id-length"
	WarnOpenID         FaultCode = "openid-form"
	WarnMiniProgram    FaultCode = "miniprogram-appid-form"
)

type faultRow struct {
	code  FaultCode
	means words // what is wrong, continuing "<path> "
	do    words // the remedy
}

// faultTable is the only list of faults. The texts of errors and docs/errors.md
// are made from it.
//
//nolint:gochecknoglobals // never changed
var faultTable = [...]faultRow{
	{FaultMessageMissing, words{"is missing", "缺失"}, words{"give a message", "请给出消息"}},
	{FaultOpenIDMissing, words{"is missing", "缺失"}, words{"give the recipient's openid under this account, or a user of the roster", "请给出收件人在该账号下的 openid，或名册中的用户"}},
	{FaultOpenIDInvalid, words{"is not an openid", "不是 openid"}, words{"use the openid exactly as WeChat returned it: up to 64 letters, digits, '-' and '_'", "请原样使用微信返回的 openid：最多 64 个字母、数字、“-”和“_”"}},
	{FaultOpenIDSeveral, words{"has several recipients", "含有多个收件人"}, words{"enqueue one message for each recipient", "请为每个收件人单独入队一条消息"}},
	{FaultTemplateMissing, words{"is missing", "缺失"}, words{"copy the template's id from 模板消息 > 我的模板", "请从“模板消息 > 我的模板”复制模板 ID"}},
	{FaultTemplateInvalid, words{"is not a template id", "不是模板 ID"}, words{"copy the template's id from 模板消息 > 我的模板: up to 64 letters, digits, '-' and '_'", "请从“模板消息 > 我的模板”复制模板 ID：最多 64 个字母、数字、“-”和“_”"}},
	{FaultURLInvalid, words{"is not an http or https address", "不是 http 或 https 地址"}, words{"write it in full, such as https://example.com/orders/1", "请写完整，例如 https://example.com/orders/1"}},
	{FaultMiniProgramAppID, words{"is missing", "缺失"}, words{"give the mini program's appid, or remove miniprogram", "请给出小程序的 appid，或去掉 miniprogram"}},
	{FaultMiniProgramInvalid, words{"is not an appid", "不是 appid"}, words{"copy the mini program's appid: up to 64 letters, digits, '-' and '_'", "请复制小程序的 appid：最多 64 个字母、数字、“-”和“_”"}},
	{FaultClientMsgID, words{"is not a client_msg_id", "不是 client_msg_id"}, words{"leave it empty, or use up to 32 letters, digits, '-' and '_'", "请留空，或使用最多 32 个字母、数字、“-”和“_”"}},
	{FaultDataMissing, words{"has no values", "没有值"}, words{"give a value for each key of the template", "请为模板的每个字段给出值"}},
	{FaultKeyEmpty, words{"has an empty key", "有空的字段名"}, words{"use the name between the braces of the template, such as thing1", "请使用模板花括号里的名称，例如 thing1"}},
	{FaultKeySuffix, words{"has the suffix .DATA", "带有后缀 .DATA"}, words{"remove the suffix: write thing1 for {{thing1.DATA}}", "请去掉后缀：{{thing1.DATA}} 写作 thing1"}},
	{FaultKeyInvalid, words{"is not a key", "不是字段名"}, words{"use the name between the braces of the template, such as thing1: letters, '_' and digits", "请使用模板花括号里的名称，例如 thing1：字母、“_”和数字"}},
	{FaultKeyMissing, words{"is missing", "缺失"}, words{"give a value: the template has this key", "请给出值：模板有这个字段"}},
	{FaultKeyUnknown, words{"is not a key of the template", "不是该模板的字段"}, words{"remove it, or correct its name", "请去掉它，或更正名称"}},
	{FaultValueEmpty, words{"is empty", "为空"}, words{"give a value: WeChat refuses blank values", "请给出值：微信拒绝空值"}},
	{FaultValueTooLong, words{"is too long", "过长"}, words{"shorten it", "请缩短"}},
	{FaultValueForm, words{"does not fit its type", "不符合字段类型"}, words{"write it in the form that the key's type requires", "请按字段类型要求的格式填写"}},
	{FaultControl, words{"has a control character or a line break", "含有控制字符或换行"}, words{"remove it", "请删除"}},
	{FaultEncoding, words{"is not UTF-8", "不是 UTF-8"}, words{"convert it to UTF-8", "请转换为 UTF-8"}},
	{FaultReplaced, words{"has the replacement character U+FFFD", "含有替换字符 U+FFFD"}, words{"a decoder wrote it in place of text that it could not read: read the source in its own encoding", "解码程序无法读取原文而写入了它：请按原文的编码读取"}},
	{FaultSurrogate, words{"has half of a surrogate pair", "含有半个代理对"}, words{"the program that wrote it cut a character in two: write the whole character", "生成它的程序把一个字符切成了两半：请写完整字符"}},
	{FaultJSON, words{"is not a JSON object", "不是 JSON 对象"}, words{"write it as {\"touser\":…,\"template_id\":…,\"data\":{…}}", "请写成 {\"touser\":…,\"template_id\":…,\"data\":{…}}"}},
	{FaultFieldUnknown, words{"is not a field of WeChat's message", "不是微信消息的字段"}, words{"correct its name, or remove it", "请更正名称，或去掉它"}},
	{FaultFieldType, words{"has a wrong type", "类型错误"}, words{"write text in quotes, data and its values as objects", "文本加引号，data 及其各值写成对象"}},
	{FaultFieldTwice, words{"is given twice", "重复出现"}, words{"give it once", "请只给一次"}},
	{FaultOtherKind, words{"is a field of another kind of message", "是其他类型消息的字段"}, words{"wxnotify sends template messages: remove it; a page of a mini program is miniprogram.pagepath", "wxnotify 发送模板消息：请去掉它；小程序页面写在 miniprogram.pagepath"}},
	{FaultBodyTooLarge, words{"is too large", "过大"}, words{"shorten the values: the encoded message may have at most 16 KB", "请缩短字段内容：编码后的消息最多 16 KB"}},

	{WarnHistoricHidden, words{"is not shown", "不会显示"}, words{"move the text into a keyword: since 2023-05-04 WeChat hides first and remark", "请把内容移到关键词中：自 2023-05-04 起微信隐藏 first 和 remark"}},
	{WarnHistoricCut, words{"will be cut on display", "显示时会被截断"}, words{"keep it within about 20 characters: WeChat shows longer ones with an ellipsis", "请控制在约 20 个字以内：超出部分微信显示为省略号"}},
	{WarnColor, words{"is not shown", "不会显示"}, words{"remove it: WeChat has ignored colours since 2023-05-04", "请删除：自 2023-05-04 起微信忽略颜色"}},
	{WarnEmoji, words{"has emoji, which are not shown", "含有表情符号，不会显示"}, words{"remove them: WeChat has hidden emoji since 2023-05", "请删除：自 2023-05 起微信隐藏表情符号"}},
	{WarnLineBreak, words{"has a line break", "含有换行"}, words{"remove it: WeChat shows one line", "请删除：微信只显示一行"}},
	{WarnShortThing, words{"may be too long", "可能过长"}, words{"keep short_thing within about 10 characters; its limit is not documented", "short_thing 请控制在约 10 个字以内；它的限制没有公布"}},
	{WarnDirection, words{"has controls of the writing direction, which may change the order of what is shown", "含有书写方向控制符，可能改变显示顺序"}, words{"remove U+202A to U+202E and U+2066 to U+2069", "请删除 U+202A 至 U+202E 和 U+2066 至 U+2069"}},
	{WarnTemplateID, words{"has another length than WeChat's 43 characters", "长度与微信的 43 个字符不同"}, words{"copy the id from 模板消息 > 我的模板; the short number of the template library (模板库) is not an id", "请从“模板消息 > 我的模板”复制模板 ID；模板库中的短编号不是模板 ID"}},
	{WarnOpenID, words{"has another form than WeChat's openids, which have 28 characters and begin with o", "与微信的 openid 形式不同：openid 有 28 个字符，以 o 开头"}, words{"give the openid of this account, not a phone number, your own user ID or a unionid", "请给出该账号下的 openid，而不是手机号、您自己的用户 ID 或 unionid"}},
	{WarnMiniProgram, words{"has another form than WeChat's appids, which are wx and 16 hexadecimal digits", "与微信的 appid 形式不同：appid 是 wx 加 16 位十六进制数字"}, words{"copy the appid of the mini program; its original id (原始 ID), which begins with gh_, is not one", "请复制小程序的 AppID；以 gh_ 开头的原始 ID 不是 AppID"}},
}

func (c FaultCode) row() (row faultRow, known bool) {
	for _, row := range faultTable {
		if row.code == c {
			return row, true
		}
	}
	return faultRow{}, false
}

// Fault is one thing wrong with a message.
type Fault struct {
	// Path is the field, such as "data.thing1.value". Empty: the whole message.
	Path string    `json:"path"`
	Code FaultCode `json:"code"`
	// Message says in English what is wrong and what to do. It quotes no value.
	Message string `json:"message"`
	chinese string // Message in Chinese; empty: that of the table
}

// NewFault returns a fault whose code is not of this package, such as those of package
// producer, with its text in English and Chinese. The texts end a sentence that starts
// with the path.
func NewFault(path string, code FaultCode, english, chinese string) Fault {
	return faultOf(path, code, words{english, chinese})
}

func newFault(path string, code FaultCode) Fault {
	row, _ := code.row() // every code of this package has one
	return Fault{Path: path, Code: code, Message: row.means.en + ": " + row.do.en}
}

// faultOf is a fault with a more specific text than the table's.
func faultOf(path string, code FaultCode, w words) Fault {
	return Fault{Path: path, Code: code, Message: w.en, chinese: w.zh}
}

// MessageIn is Message in lang. For a fault that was read from JSON, the Chinese is
// the table's general text, or there is none where the code is not of this package.
func (f Fault) MessageIn(lang Lang) string {
	if lang != Chinese {
		return f.Message
	}
	if f.chinese != "" {
		return f.chinese
	}
	row, known := f.Code.row()
	if !known {
		return f.Message
	}
	return row.means.zh + "：" + row.do.zh
}

// Translated returns the fault with its Message in lang.
func (f Fault) Translated(lang Lang) Fault {
	f.Message = f.MessageIn(lang)
	return f
}

// String reads like "data.thing1.value is empty: give a value: … (value-empty)".
func (f Fault) String() string { return f.In(English) }

// In is String in lang.
func (f Fault) In(lang Lang) string {
	path := f.Path
	if path == "" {
		path = "message"
	}
	return path + " " + f.MessageIn(lang) + " (" + string(f.Code) + ")"
}

// InvalidError is a message that was refused before it was sent to WeChat, with
// all its faults.
type InvalidError struct{ Faults []Fault }

// faultsShown is how many faults the text of an InvalidError has.
const faultsShown = 20

// Error lists the first faults.
func (e *InvalidError) Error() string { return e.In(English) }

// In is Error in lang.
func (e *InvalidError) In(lang Lang) string {
	shown := e.Faults
	if len(shown) > faultsShown {
		shown = shown[:faultsShown]
	}
	parts := make([]string, 0, len(shown)+1)
	for _, f := range shown {
		parts = append(parts, f.In(lang))
	}
	if more := len(e.Faults) - len(shown); more > 0 {
		parts = append(parts, fmt.Sprintf(words{"and %d more faults", "另有 %d 个错误"}.in(lang), more))
	}
	return words{"wechat: message refused: ", "wechat: 消息被拒绝："}.in(lang) + strings.Join(parts, words{"; ", "；"}.in(lang))
}
