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
	meaning, remedy words
}

// callbackFaults is the list for docs/errors.md, in the order of the checks.
//
//nolint:gochecknoglobals // never changed
var callbackFaults = [...]callbackFaultRow{
	{CallbackFaultSignature, words{"The query is not signed with the account's Token.", "查询串不是用账号的 Token 签名的。"}, words{"Compare the callback's token with Token of 消息推送配置 under " + developerInfo + "; when they are equal, the call was not from WeChat.", "从" + developerInfoZH + "核对消息推送配置的 Token；若一致，则请求不是微信发来的。"}},
	{CallbackFaultStale, words{"The query was signed too long ago, or in the future.", "查询串签名的时间太早，或在未来。"}, words{"Set this machine's clock by NTP; when it is right, the call repeats an old query.", "用 NTP 校准本机时钟；若时钟正确，则是旧请求被重放。"}},
	{CallbackFaultMode, words{"The body is not in the configured security mode.", "请求体与配置的安全模式不符。"}, words{"Set the callback's mode to 消息加解密方式 under " + developerInfo + ": 明文模式 is plain, 兼容模式 compat, 安全模式 secure.", "把回调模式设为" + developerInfoZH + "里的“消息加解密方式”：明文模式 plain，兼容模式 compat，安全模式 secure。"}},
	{CallbackFaultEncryption, words{"The body cannot be decrypted.", "请求体无法解密。"}, words{"Compare the callback's AES key with EncodingAESKey of 消息推送配置 under " + developerInfo + ".", "从" + developerInfoZH + "核对消息推送配置的 EncodingAESKey。"}},
	{CallbackFaultAppID, words{"The body was encrypted for another account.", "请求体是为另一个账号加密的。"}, words{"Check the account's appid, and that no other account's 消息推送配置 names this URL.", "检查账号的 appid，并确认没有其他账号的消息推送配置填了这个 URL。"}},
	{CallbackFaultDocument, words{"The body cannot be read.", "请求体无法读取。"}, words{"Report it if WeChat sent it: the body is not as WeChat documents it. When its signature is right, it was acknowledged and forwarded all the same.", "若确由微信发来请报告：请求体与微信文档不符。签名正确时，它已被确认并照原样转发。"}},
}

func (f CallbackFault) row() callbackFaultRow {
	for _, row := range callbackFaults {
		if row.fault == f {
			return row
		}
	}
	return callbackFaultRow{fault: f}
}

// Remedy is one sentence in English that tells an operator what to do.
func (f CallbackFault) Remedy() string { return f.RemedyIn(English) }

// RemedyIn is Remedy in lang.
func (f CallbackFault) RemedyIn(lang Lang) string { return f.row().remedy.in(lang) }

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
