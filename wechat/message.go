package wechat

import "strconv"

// TemplateMessage is the body of one template message exactly as WeChat takes
// it (docs: 发送模板消息). It is the one value that travels from the caller to
// the wire.
type TemplateMessage struct {
	// ToUser is the recipient's openid under this account. Required unless the
	// message is addressed to a user of the roster at enqueue time.
	ToUser string `json:"touser,omitempty"`
	// TemplateID is the id under 模板消息 > 我的模板. Required.
	TemplateID string `json:"template_id"`
	// URL opens when the message is tapped. Empty: the message is not clickable
	// unless MiniProgram is set.
	URL string `json:"url,omitempty"`
	// MiniProgram opens instead of URL where the client supports it. Nil: none.
	MiniProgram *MiniProgram `json:"miniprogram,omitempty"`
	// ClientMsgID makes WeChat drop a second message with the same openid and
	// id for ten minutes. The producer derives it from the message's ID; leave
	// it empty.
	ClientMsgID string `json:"client_msg_id,omitempty"`
	// Data fills the template's {{key.DATA}} placeholders. Required.
	Data map[string]Field `json:"data"`
}

// MiniProgram is a jump target; the program must be linked to the account.
type MiniProgram struct {
	AppID    string `json:"appid"`
	PagePath string `json:"pagepath,omitempty"`
}

// Field is the value of one placeholder.
type Field struct {
	Value string `json:"value"`
	// Color is legacy: WeChat has not rendered it since 2023-05-04, and sending
	// it does no harm.
	Color string `json:"color,omitempty"`
}

// MessageID is WeChat's msgid: a number beyond 2^53, so never a float.
type MessageID int64

func (id MessageID) String() string { return strconv.FormatInt(int64(id), 10) }
