package wechat

import "strconv"

// TemplateMessage is the body of one template message exactly as WeChat accepts it
// (docs: 发送模板消息).
type TemplateMessage struct {
	// ToUser is the recipient's openid under this account. Required unless the
	// message is addressed to a user of the roster at enqueue time.
	ToUser string `json:"touser,omitempty"`
	// TemplateID is the id under 模板消息 > 我的模板. Required.
	TemplateID string `json:"template_id"`
	// URL opens when the message is tapped. Empty: tapping does nothing, unless
	// MiniProgram is set.
	URL string `json:"url,omitempty"`
	// MiniProgram opens instead of URL where the client supports it. Nil: none.
	MiniProgram *MiniProgram `json:"miniprogram,omitempty"`
	// ClientMsgID makes WeChat drop another message with the same openid and
	// ClientMsgID for ten minutes. Package producer derives it from the message's
	// ID: leave it empty there.
	ClientMsgID string `json:"client_msg_id,omitempty"`
	// Data fills the template's {{key.DATA}} placeholders. Required.
	Data map[string]Field `json:"data"`
}

// MiniProgram is a page of a mini program that is linked to the account.
type MiniProgram struct {
	AppID    string `json:"appid"`
	PagePath string `json:"pagepath,omitempty"`
}

// Field is the value of one placeholder.
type Field struct {
	Value string `json:"value"`
	// Color has had no effect since 2023-05-04.
	Color string `json:"color,omitempty"`
}

// MessageID is WeChat's msgid. It is above 2^53, so a float cannot hold it.
type MessageID int64

func (id MessageID) String() string { return strconv.FormatInt(int64(id), 10) }
