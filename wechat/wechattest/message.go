package wechattest

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// message is the body of a template send.
type message struct {
	toUser, templateID, url, clientMsgID string
	miniAppID, miniPath                  string
	values                               map[string]string // by key of data
}

// parseMessage decodes body, or returns the errcode that WeChat answers. It
// decodes objects into maps, not structs, because encoding/json ignores the case
// of field names and WeChat does not: toUser is not touser.
func parseMessage(body []byte) (message, wechat.Code) {
	if len(body) == 0 {
		return message{}, 44002
	}
	if !utf8.Valid(body) {
		return message{}, 40033
	}
	var d messageDecoder
	fields := d.object(body)
	m := message{
		toUser: d.text(fields["touser"]), templateID: d.text(fields["template_id"]),
		url: d.text(fields["url"]), clientMsgID: d.text(fields["client_msg_id"]),
	}
	if mini := fields["miniprogram"]; mini != nil && string(mini) != "null" {
		program := d.object(mini)
		m.miniAppID, m.miniPath = d.text(program["appid"]), d.text(program["pagepath"])
		if path, ok := program["path"]; ok { // the name on an older page, still in use
			m.miniPath = d.text(path)
		}
	}
	if data, ok := fields["data"]; ok {
		m.values = map[string]string{}
		for key, value := range d.object(data) {
			m.values[key] = d.text(d.object(value)["value"])
		}
	}
	if d.failed {
		return message{}, 47001
	}
	return m, 0
}

// messageDecoder remembers whether a value had another type than expected.
type messageDecoder struct{ failed bool }

func (d *messageDecoder) object(data []byte) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil || object == nil {
		d.failed = true
	}
	return object
}

// text is empty for null and for a missing value.
func (d *messageDecoder) text(data []byte) string {
	var text string
	if data != nil && json.Unmarshal(data, &text) != nil {
		d.failed = true
	}
	return text
}
