package wechat

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// Faults of a message in JSON.
const (
	FaultJSON         FaultCode = "not-json"
	FaultFieldUnknown FaultCode = "field-unknown"
	FaultFieldType    FaultCode = "field-type"
)

// ParseTemplateMessage decodes a message from WeChat's JSON. It returns an
// *InvalidError with every field that has a wrong name or type; WeChat's own answer
// to those, 47001 or 40036, does not name the field. It ignores the obsolete
// topcolor and accepts path for a mini program's pagepath. It does not call
// Validate.
func ParseTemplateMessage(data []byte) (*TemplateMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(readable(data), &object); err != nil || object == nil {
		return nil, invalid([]Fault{newFault("", FaultJSON)})
	}
	r := messageReader{}
	m := &TemplateMessage{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		value := object[key]
		switch key {
		case "touser":
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
			r.unknown(key, key, "touser", "template_id", "url", "client_msg_id", "miniprogram", "data")
		}
	}
	if err := invalid(r.faults); err != nil {
		return nil, err
	}
	return m, nil
}

// messageReader decodes fields and collects their faults.
type messageReader struct{ faults []Fault }

func (r *messageReader) text(path string, value json.RawMessage, into *string) {
	if err := json.Unmarshal(value, into); err != nil {
		r.faults = append(r.faults, faultf(path, FaultFieldType, "is not text: write it in quotes"))
	}
}

// object returns nil for null and for another type.
func (r *messageReader) object(path string, value json.RawMessage, form string) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(value, &object); err != nil {
		r.faults = append(r.faults, faultf(path, FaultFieldType, "is not an object: write it as %s", form))
	}
	return object
}

func (r *messageReader) miniProgram(value json.RawMessage) *MiniProgram {
	object := r.object("miniprogram", value, `{"appid":"wx…","pagepath":"index"}`)
	if object == nil {
		return nil
	}
	p := &MiniProgram{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch key {
		case "appid":
			r.text("miniprogram.appid", object[key], &p.AppID)
		case "pagepath", "path":
			r.text("miniprogram."+key, object[key], &p.PagePath)
		default:
			r.unknown("miniprogram."+key, key, "appid", "pagepath")
		}
	}
	return p
}

func (r *messageReader) data(value json.RawMessage) map[string]Field {
	object := r.object("data", value, `{"thing1":{"value":"…"}}`)
	fields := make(map[string]Field, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		path := keyPath(key)
		var f Field
		field := r.object(path, object[key], `{"value":"…"}`)
		for _, name := range slices.Sorted(maps.Keys(field)) {
			switch name {
			case "value":
				r.text(path+".value", field[name], &f.Value)
			case "color":
				r.text(path+".color", field[name], &f.Color)
			default:
				r.unknown(path+"."+name, name, "value", "color")
			}
		}
		fields[key] = f
	}
	return fields
}

// unknown adds the fault of an unknown field, with the known one that it resembles.
func (r *messageReader) unknown(path, name string, known ...string) {
	path = scrub(path, nil)
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	for _, k := range known {
		if plain(k) == plain(name) {
			r.faults = append(r.faults, faultf(path, FaultFieldUnknown, "is not a field of WeChat's message: write %s", k))
			return
		}
	}
	r.faults = append(r.faults, faultf(path, FaultFieldUnknown, "is not a field of WeChat's message: there are %s", strings.Join(known, ", ")))
}

// UnmarshalJSON also accepts path for pagepath, which some SDKs write.
func (p *MiniProgram) UnmarshalJSON(data []byte) error {
	var fields struct {
		AppID    string `json:"appid"`
		PagePath string `json:"pagepath"`
		Path     string `json:"path"`
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return errors.New("wechat: miniprogram is not an object with appid and pagepath")
	}
	if fields.PagePath == "" {
		fields.PagePath = fields.Path
	}
	*p = MiniProgram{AppID: fields.AppID, PagePath: fields.PagePath}
	return nil
}
