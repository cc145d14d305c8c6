package wechat

import "strconv"

// CallbackFault says why a callback was refused. The words are stable, few, and
// fit for a metric's label.
type CallbackFault string

// The faults of a callback.
const (
	CallbackFaultSignature  CallbackFault = "signature"
	CallbackFaultStale      CallbackFault = "stale"
	CallbackFaultMode       CallbackFault = "mode"
	CallbackFaultEncryption CallbackFault = "encryption"
	CallbackFaultAppID      CallbackFault = "appid"
	CallbackFaultDocument   CallbackFault = "xml"
)

// callbackFaults is the list for docs/errors.md, in the order of the checks.
//
//nolint:gochecknoglobals // a table that nobody writes to
var callbackFaults = [...]struct {
	fault           CallbackFault
	meaning, remedy string
}{
	{CallbackFaultSignature, "The query is not signed with the account's Token.", "Compare the callback's token with Token under 服务器配置 on mp.weixin.qq.com; when they are equal, somebody else than WeChat called."},
	{CallbackFaultStale, "The query was signed too long ago, or in the future.", "Set this machine's clock by NTP; when it is right, somebody repeated an old query."},
	{CallbackFaultMode, "The body is not secured in the way that is configured.", "Set the callback's mode to 消息加解密方式 under 服务器配置 on mp.weixin.qq.com: 明文模式 is plain, 兼容模式 compat, 安全模式 secure."},
	{CallbackFaultEncryption, "The body cannot be decrypted.", "Compare the callback's AES key with EncodingAESKey under 服务器配置 on mp.weixin.qq.com."},
	{CallbackFaultAppID, "The body was encrypted for another account.", "Check the account's appid, and that no other account's 服务器配置 names this URL."},
	{CallbackFaultDocument, "The document cannot be read.", "Report it when WeChat sent it: the document is no XML of WeChat's form."},
}

// CallbackFaults lists every fault of a callback.
func CallbackFaults() []CallbackFault {
	faults := make([]CallbackFault, 0, len(callbackFaults))
	for _, row := range callbackFaults {
		faults = append(faults, row.fault)
	}
	return faults
}

// Meaning is one sentence on what was wrong.
func (f CallbackFault) Meaning() string {
	for _, row := range callbackFaults {
		if row.fault == f {
			return row.meaning
		}
	}
	return ""
}

// Remedy is one sentence that tells an operator what to do.
func (f CallbackFault) Remedy() string {
	for _, row := range callbackFaults {
		if row.fault == f {
			return row.remedy
		}
	}
	return ""
}

// CallbackError is a callback that was refused. It holds no secret, no openid
// and nothing of the body, and is meant for an operator: to the caller say no
// more than 403.
type CallbackError struct {
	Fault  CallbackFault
	Detail string // what was wrong with this one
}

// Error reads like "wechat: callback refused (stale): it was signed … ago, …:
// Set this machine's clock by NTP; …".
func (e *CallbackError) Error() string {
	text := "wechat: callback refused (" + string(e.Fault) + "): " + e.Detail
	if remedy := e.Fault.Remedy(); remedy != "" {
		text += ": " + remedy
	}
	return text
}

func refused(fault CallbackFault, detail string) *CallbackError {
	return &CallbackError{Fault: fault, Detail: detail}
}

// indexed is a field of CallbackConfig's lists.
func indexed(list string, i int) string {
	return "CallbackConfig." + list + "[" + strconv.Itoa(i) + "]"
}
