package wechat

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// Faults of a message in JSON.
const (
	FaultJSON         FaultCode = "not-json"
	FaultFieldUnknown FaultCode = "field-unknown"
	FaultFieldType    FaultCode = "field-type"
	FaultFieldTwice   FaultCode = "field-twice"
	FaultOtherKind    FaultCode = "other-kind"
	FaultReplaced     FaultCode = "text-replaced"
	FaultSurrogate    FaultCode = "half-surrogate"
)

// ParseTemplateMessage decodes a message from WeChat's JSON without changing or
// dropping anything. It returns an *InvalidError with every field that has a wrong
// name or type or is given twice, and every text that CheckJSON refuses; WeChat's
// own answer to those, 47001 or 40036, does not name the field. Null stands for a
// field that is not given, except as a value of data.
//
// A mini program's page, path and pagePath, which SDKs and other APIs of WeChat
// write, are its pagepath. The obsolete topcolor is ignored. It does not call
// Validate.
func ParseTemplateMessage(data []byte) (*TemplateMessage, error) {
	valid, faults := jsonFaults(data)
	if valid == nil {
		return nil, invalid(faults)
	}
	r := messageReader{faults}
	object, _ := rawjson.Object(valid)
	if object == nil {
		if len(r.faults) == 0 {
			r.faults = []Fault{newFault("", FaultJSON)}
		}
		return nil, invalid(r.faults)
	}
	m := &TemplateMessage{}
	for _, field := range object {
		if r.full() {
			break
		}
		key, value := field.Name, field.Value
		switch key {
		case "touser":
			if value[0] == '[' {
				r.faults = append(r.faults, newFault("touser", FaultOpenIDSeveral))
				continue
			}
			r.text("touser", value, &m.ToUser)
		case "template_id":
			r.text("template_id", value, &m.TemplateID)
		case "url":
			r.text("url", value, &m.URL)
		case "client_msg_id":
			r.text("client_msg_id", value, &m.ClientMsgID)
		case "miniprogram":
			m.MiniProgram = r.miniProgram(value)
		case "data":
			m.Data = r.data(value)
		case "topcolor": // obsolete
		default:
			if kind := otherKind(key); kind.en != "" {
				r.faults = append(r.faults, faultOf(key, FaultOtherKind, words{
					"is a field of " + kind.en + ", which wxnotify does not send: remove it; a page of a mini program is miniprogram.pagepath",
					"是" + kind.zh + "的字段，wxnotify 不发送这类消息：请去掉它；小程序页面写在 miniprogram.pagepath",
				}))
				continue
			}
			r.unknown("", key, "touser", "template_id", "url", "client_msg_id", "miniprogram", "data")
		}
	}
	if err := invalid(r.faults); err != nil {
		return nil, err
	}
	return m, nil
}

// otherKind names the kind of message, with WeChat's path, that a field belongs to.
func otherKind(field string) words {
	switch field {
	case "page", "miniprogram_state", "lang":
		return words{"a subscribe notice (订阅通知, message/subscribe/bizsend)", "订阅通知（message/subscribe/bizsend）"}
	case "scene", "title", "reserved":
		return words{"a one-time subscription message (一次性订阅消息, message/template/subscribe)", "一次性订阅消息（message/template/subscribe）"}
	case "form_id", "emphasis_keyword":
		return words{"a mini program's template message, which WeChat has withdrawn (message/wxopen/template/send)", "微信已下线的小程序模板消息（message/wxopen/template/send）"}
	case "mp_template_msg", "weapp_template_msg":
		return words{"a uniform message, which WeChat has withdrawn (message/wxopen/template/uniform_send)", "微信已下线的统一服务消息（message/wxopen/template/uniform_send）"}
	case "msgtype", "customservice":
		return words{"a customer service message (客服消息, message/custom/send)", "客服消息（message/custom/send）"}
	default:
		return words{}
	}
}

// messageReader decodes fields and collects their faults.
type messageReader struct{ faults []Fault }

// full reports whether further faults are not looked for: a document may have as many as
// it has fields, and each is written and compared.
func (r *messageReader) full() bool { return len(r.faults) >= faultsLimit }

func (r *messageReader) text(path string, value json.RawMessage, into *string) {
	if !rawjson.Text(value, into) {
		r.faults = append(r.faults, faultOf(path, FaultFieldType, words{"is not text: put it in quotes", "不是文本：请加引号"}))
	}
}

// object returns nil for null and for another type.
func (r *messageReader) object(path string, value json.RawMessage, form string) []rawjson.Member {
	object, ok := rawjson.Object(value)
	if !ok {
		r.faults = append(r.faults, faultOf(path, FaultFieldType, words{"is not an object: write it as %s", "不是对象：请写成 %s"}.with(form)))
	}
	return object
}

func (r *messageReader) miniProgram(value json.RawMessage) *MiniProgram {
	object := r.object("miniprogram", value, `{"appid":"wx…","pagepath":"index"}`)
	if object == nil {
		return nil
	}
	p := &MiniProgram{}
	first := "" // the name under which the page was given
	for _, field := range object {
		if r.full() {
			break
		}
		switch key := field.Name; key {
		case "appid":
			r.text("miniprogram.appid", field.Value, &p.AppID)
		case "pagepath", "pagePath", "path", "page":
			var page string
			r.text("miniprogram."+key, field.Value, &page)
			if first != "" && page != p.PagePath {
				r.faults = append(r.faults, faultOf("miniprogram."+key, FaultFieldTwice, words{
					"differs from %s, which means the same: write pagepath alone", "与含义相同的 %s 不一致：请只写 pagepath",
				}.with(first)))
				continue
			}
			first, p.PagePath = key, page
		default:
			r.unknown("miniprogram", key, "appid", "pagepath")
		}
	}
	return p
}

func (r *messageReader) data(value json.RawMessage) map[string]Field {
	object := r.object("data", value, `{"thing1":{"value":"…"}}`)
	fields := make(map[string]Field, len(object))
	for _, member := range object {
		if r.full() {
			break
		}
		key := member.Name
		path := mask.Text(keyPath(key)) // which leaves short keys as they are
		var f Field
		for _, field := range r.object(path, member.Value, `{"value":"…"}`) {
			if r.full() {
				return fields
			}
			switch name := field.Name; name {
			case "value":
				if string(field.Value) == "null" {
					r.faults = append(r.faults, faultOf(path+".value", FaultFieldType, words{"is null, not text: put the value in quotes", "是 null 而不是文本：请给值加引号"}))
					continue
				}
				r.text(path+".value", field.Value, &f.Value)
			case "color":
				r.text(path+".color", field.Value, &f.Color)
			default:
				r.unknown(path, name, "value", "color")
			}
		}
		fields[key] = f
	}
	return fields
}

// unknown adds the fault of an unknown field of the object at path, with the known
// field that it resembles.
func (r *messageReader) unknown(path, name string, known ...string) {
	field := FieldPath(name)
	if path != "" && !strings.HasPrefix(field, "[") {
		field = "." + field
	}
	replacer := strings.NewReplacer("_", "", "-", "", " ", "")
	plain := func(s string) string { return strings.ToLower(replacer.Replace(s)) }
	remedy := words{"there are %s", "可用的有 %s"}.with(strings.Join(known, ", "))
	for _, k := range known {
		if plain(k) == plain(name) {
			remedy = words{"write %s", "请写 %s"}.with(k)
		}
	}
	r.faults = append(r.faults, faultOf(path+field, FaultFieldUnknown, words{"is not a field of WeChat's message: " + remedy.en, "不是微信消息的字段：" + remedy.zh}))
}

// UnmarshalJSON also accepts page, path and pagePath for pagepath, as
// ParseTemplateMessage does. Like all of encoding/json it ignores unknown fields.
func (p *MiniProgram) UnmarshalJSON(data []byte) error {
	var fields struct {
		AppID    string `json:"appid"`
		PagePath string `json:"pagepath"` // encoding/json ignores the case
		Path     string `json:"path"`
		Page     string `json:"page"`
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return errors.New("wechat: miniprogram is not an object with appid and pagepath")
	}
	*p = MiniProgram{AppID: fields.AppID, PagePath: cmp.Or(fields.PagePath, fields.Path, fields.Page)}
	return nil
}
