package wechattest

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// parseMessage decodes the body of a template send, or returns the errcode that
// WeChat answers. It decodes the fields one by one, because encoding/json ignores
// the case of names and WeChat does not: toUser is not touser.
func parseMessage(body []byte) (wechat.TemplateMessage, wechat.Code) {
	var m wechat.TemplateMessage
	if len(body) == 0 {
		return m, 44002
	}
	if !utf8.Valid(body) {
		return m, 40033
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || fields == nil {
		return m, 47001
	}
	for _, field := range []struct {
		name string
		into any
	}{
		{"touser", &m.ToUser},
		{"template_id", &m.TemplateID},
		{"url", &m.URL},
		{"client_msg_id", &m.ClientMsgID},
		{"miniprogram", &m.MiniProgram},
		{"data", &m.Data},
	} {
		if value, ok := fields[field.name]; ok && json.Unmarshal(value, field.into) != nil {
			return m, 47001
		}
	}
	return m, 0
}
