package wechat

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// MarshalBody encodes m as WeChat requires: raw UTF-8 with only those \u escapes
// that JSON requires. Equal messages give equal bytes. Text that is not UTF-8 is
// refused with an *InvalidError.
//
// encoding/json cannot do that: it escapes U+2028 and U+2029, and WeChat may
// refuse an escape with 47002.
func MarshalBody(m *TemplateMessage) ([]byte, error) {
	if m == nil {
		return nil, invalid([]Fault{newFault("", FaultMessageMissing)})
	}
	if err := invalid(m.encodingFaults()); err != nil {
		return nil, err
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
	keys := make([]string, 0, 16) // on the stack, unless there are more
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

// appendString escapes only quotes, backslashes and control characters.
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

// encodingFaults lists every text of m that is not UTF-8.
func (m *TemplateMessage) encodingFaults() []Fault {
	var faults []Fault
	check := func(text, path string) {
		if !utf8.ValidString(text) {
			faults = append(faults, newFault(path, FaultEncoding))
		}
	}
	check(m.ToUser, "touser")
	check(m.TemplateID, "template_id")
	check(m.URL, "url")
	if m.MiniProgram != nil {
		check(m.MiniProgram.AppID, "miniprogram.appid")
		check(m.MiniProgram.PagePath, "miniprogram.pagepath")
	}
	check(m.ClientMsgID, "client_msg_id")
	return append(faults, m.fieldFaults(func(key string, f Field) (faults []Fault) {
		// keyPath only for a fault: usually there is none.
		if !utf8.ValidString(key) {
			faults = append(faults, newFault(keyPath(key), FaultEncoding))
		}
		if !utf8.ValidString(f.Value) {
			faults = append(faults, newFault(keyPath(key)+".value", FaultEncoding))
		}
		if !utf8.ValidString(f.Color) {
			faults = append(faults, newFault(keyPath(key)+".color", FaultEncoding))
		}
		return faults
	})...)
}

// fieldFaults collects the faults of all fields of Data in the order of the keys.
func (m *TemplateMessage) fieldFaults(check func(key string, f Field) []Fault) []Fault {
	var bad []string // keys, usually none
	for key, f := range m.Data {
		if len(check(key, f)) > 0 {
			bad = append(bad, key)
		}
	}
	slices.Sort(bad)
	var faults []Fault
	for _, key := range bad {
		faults = append(faults, check(key, m.Data[key])...)
	}
	return faults
}

// marshalRaw encodes the request of a management call without HTML escapes.
func marshalRaw(request any) ([]byte, error) {
	body, err := rawjson.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("wechat: encode the request: %w", err)
	}
	return body, nil
}

// recipientOf returns the openid in an encoded message, only to keep it out of
// error texts.
func recipientOf(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"touser":"`)
	openid, _, found := strings.Cut(rest, `"`)
	if !found {
		return ""
	}
	return openid
}
