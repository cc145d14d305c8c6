package wechat

// CallbackFault is why a callback was refused. The values are stable and few, so
// that they can be a metric's label.
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

type callbackFaultRow struct {
	fault           CallbackFault
	meaning, remedy string
}

// callbackFaults is the list for docs/errors.md, in the order of the checks.
//
//nolint:gochecknoglobals // never changed
var callbackFaults = [...]callbackFaultRow{
	{CallbackFaultSignature, "The query is not signed with the account's Token.", "Compare the callback's token with Token under 服务器配置 on mp.weixin.qq.com; when they are equal, the call was not from WeChat."},
	{CallbackFaultStale, "The query was signed too long ago, or in the future.", "Set this machine's clock by NTP; when it is right, the call repeats an old query."},
	{CallbackFaultMode, "The body is not in the configured security mode.", "Set the callback's mode to 消息加解密方式 under 服务器配置 on mp.weixin.qq.com: 明文模式 is plain, 兼容模式 compat, 安全模式 secure."},
	{CallbackFaultEncryption, "The body cannot be decrypted.", "Compare the callback's AES key with EncodingAESKey under 服务器配置 on mp.weixin.qq.com."},
	{CallbackFaultAppID, "The body was encrypted for another account.", "Check the account's appid, and that no other account's 服务器配置 names this URL."},
	{CallbackFaultDocument, "The body cannot be read.", "Report it if WeChat sent it: the body is not as WeChat documents it. When its signature is right, it was acknowledged and forwarded all the same."},
}

func (f CallbackFault) row() callbackFaultRow {
	for _, row := range callbackFaults {
		if row.fault == f {
			return row
		}
	}
	return callbackFaultRow{fault: f}
}

// Remedy is one sentence that tells an operator what to do.
func (f CallbackFault) Remedy() string { return f.row().remedy }

// CallbackError is a callback that was refused. It has no secret, no openid and
// nothing of the body in its text. It is for an operator: answer the caller 403 only,
// unless Push is set.
type CallbackError struct {
	Fault  CallbackFault
	Detail string // what was wrong with this callback

	push *Push // see Push
}

// Push is the push when it is authenticated and only its document cannot be read: a
// follower's text that ends a CDATA section, an unknown encoding, broken JSON. Its
// Event is empty. Acknowledge it: otherwise WeChat repeats it and then shows the
// follower an error. Nil: the call is not authenticated, or not as configured.
func (e *CallbackError) Push() *Push { return e.push }

// Error is such as "wechat: callback refused (stale): it was signed … ago, …:
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
