package wechat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// MarshalBody encodes m as WeChat wants it: raw UTF-8 without any \u escape
// that JSON does not force, keys in order so that equal messages are equal
// bytes, no newline at the end. Text that is not UTF-8 is refused with an
// *InvalidError.
func MarshalBody(m *TemplateMessage) ([]byte, error) {
	if m == nil {
		return nil, &InvalidError{Faults: []Fault{newFault("", FaultMessageMissing)}}
	}
	if faults := m.encodingFaults(); len(faults) > 0 {
		return nil, &InvalidError{Faults: faults}
	}
	out := make([]byte, 0, 256+64*len(m.Data))
	out = append(out, '{')
	out = appendOptional(out, "touser", m.ToUser)
	out = appendMember(out, "template_id", m.TemplateID)
	out = appendOptional(out, "url", m.URL)
	if p := m.MiniProgram; p != nil && *p != (MiniProgram{}) {
		out = append(appendKey(out, "miniprogram"), '{')
		out = appendMember(out, "appid", p.AppID)
		out = append(appendOptional(out, "pagepath", p.PagePath), '}')
	}
	out = appendOptional(out, "client_msg_id", m.ClientMsgID)
	out = append(appendKey(out, "data"), '{')
	keys := make([]string, 0, 16) // on the stack for the usual message
	for key := range m.Data {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		field := m.Data[key]
		out = append(appendKey(out, key), '{')
		out = appendMember(out, "value", field.Value)
		out = append(appendOptional(out, "color", field.Color), '}')
	}
	return append(out, '}', '}'), nil
}

func appendOptional(out []byte, key, value string) []byte {
	if value == "" {
		return out
	}
	return appendMember(out, key, value)
}

func appendMember(out []byte, key, value string) []byte {
	return appendString(appendKey(out, key), value)
}

func appendKey(out []byte, key string) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	return append(appendString(out, key), ':')
}

// appendString escapes only what JSON forces: quote, backslash, controls.
func appendString(out []byte, text string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	start := 0
	for i := range len(text) {
		b := text[i]
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		out = append(out, text[start:i]...)
		start = i + 1
		switch b {
		case '"', '\\':
			out = append(out, '\\', b)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	return append(append(out, text[start:]...), '"')
}

// encodingFaults names every text of m that is not UTF-8.
func (m *TemplateMessage) encodingFaults() []Fault {
	if m.isUTF8() {
		return nil
	}
	var faults []Fault
	check := func(path, text string) {
		if !utf8.ValidString(text) {
			faults = append(faults, newFault(path, FaultEncoding))
		}
	}
	check("touser", m.ToUser)
	check("template_id", m.TemplateID)
	check("url", m.URL)
	if m.MiniProgram != nil {
		check("miniprogram.appid", m.MiniProgram.AppID)
		check("miniprogram.pagepath", m.MiniProgram.PagePath)
	}
	check("client_msg_id", m.ClientMsgID)
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		check(keyPath(key), key)
		check(keyPath(key)+".value", m.Data[key].Value)
		check(keyPath(key)+".color", m.Data[key].Color)
	}
	return faults
}

// isUTF8 is the quick answer for the usual message.
func (m *TemplateMessage) isUTF8() bool {
	for key, f := range m.Data {
		if !utf8.ValidString(key) || !utf8.ValidString(f.Value) || !utf8.ValidString(f.Color) {
			return false
		}
	}
	if p := m.MiniProgram; p != nil && (!utf8.ValidString(p.AppID) || !utf8.ValidString(p.PagePath)) {
		return false
	}
	return utf8.ValidString(m.ToUser) && utf8.ValidString(m.TemplateID) && utf8.ValidString(m.URL) && utf8.ValidString(m.ClientMsgID)
}

// marshalRaw encodes a request of the management calls without HTML escapes.
func marshalRaw(request any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(request); err != nil {
		return nil, fmt.Errorf("wechat: encode the request: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// recipientOf finds the openid in an encoded message without decoding it: it
// is wanted only to keep it out of error texts.
func recipientOf(body []byte) string {
	const mark = `"touser":"`
	_, rest, found := bytes.Cut(body, []byte(mark))
	if !found {
		return ""
	}
	openid, _, found := bytes.Cut(rest, []byte{'"'})
	if !found {
		return ""
	}
	return string(openid)
}
