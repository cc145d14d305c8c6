package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// status is the part that all answers share. Types of answers embed it.
type status struct {
	Errcode *looseInt   `json:"errcode"` // nil: success
	Errmsg  looseString `json:"errmsg"`
}

func (s *status) get() *status { return s }

// answer is a pointer to a struct that embeds status, or to a status for a call
// that answers nothing else.
type answer interface{ get() *status }

// decodeAnswer decodes data into a, or returns the error of its errcode.
func decodeAnswer(k call, data []byte, a answer) error {
	*a.get() = status{} // a repeated call decodes into the same answer
	if sent, ok := a.(*sendAnswer); ok && sent.decodeUsual(data) {
		return nil
	}
	data = readable(data)
	if len(data) == 0 || data[0] != '{' {
		return unreadable(k.op, "the answer is not a JSON object: a proxy may have answered in WeChat's place")
	}
	err := json.Unmarshal(data, a)
	if s := a.get(); s.Errcode != nil && *s.Errcode != 0 {
		return newError(k.op, Code(*s.Errcode), string(s.Errmsg), k.known())
	}
	if err != nil {
		return unreadable(k.op, "the answer is not the documented JSON: a proxy may have answered in WeChat's place")
	}
	if s, ok := a.(*status); ok && s.Errcode == nil {
		return unreadable(k.op, "the answer has no errcode")
	}
	return nil
}

// sendAnswer is the answer to a template send.
type sendAnswer struct {
	status
	MsgID *looseInt `json:"msgid"`
}

// decodeUsual decodes a success exactly as WeChat documents it, without
// encoding/json. It returns false for anything else.
func (a *sendAnswer) decodeUsual(data []byte) bool {
	number, found := bytes.CutPrefix(data, []byte(`{"errcode":0,"errmsg":"ok","msgid":`))
	if !found {
		return false
	}
	number, found = bytes.CutSuffix(number, []byte{'}'})
	id, err := strconv.ParseUint(string(number), 10, 63)
	if !found || err != nil || len(number) > 1 && number[0] == '0' {
		return false
	}
	values := [2]looseInt{0, looseInt(id)} // one allocation for both
	a.Errcode, a.MsgID = &values[0], &values[1]
	return true
}

// readable makes valid JSON of an answer: it removes a byte order mark and
// escapes control characters in strings. encoding/json replaces invalid UTF-8.
func readable(data []byte) []byte {
	data = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xEF\xBB\xBF")))
	if !slices.ContainsFunc(data, func(b byte) bool { return b < ' ' }) {
		return data
	}
	return escapeControls(data)
}

func escapeControls(data []byte) []byte {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(data)+64)
	inString, escaped := false, false
	for _, b := range data {
		switch {
		case b < ' ' && inString:
			out = append(out, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
			escaped = false
			continue
		case b < ' ':
			b = ' '
		case escaped:
			escaped = false
		case inString && b == '\\':
			escaped = true
		case b == '"':
			inString = !inString
		}
		out = append(out, b)
	}
	return out
}

// looseInt decodes a number, a number in quotes, an empty string or null.
type looseInt int64

var errNotInteger = errors.New("not an integer")

func (n *looseInt) UnmarshalJSON(data []byte) error {
	text := strings.TrimSpace(strings.Trim(string(data), `"`))
	if text == "" || text == "null" {
		*n = 0
		return nil
	}
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		*n = looseInt(v)
		return nil
	}
	// 7200.0 and 7.2e3 are integers too. Above 2^53 a float is not exact.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return errNotInteger
	}
	*n = looseInt(f)
	return nil
}

// looseString decodes a string, a number or null.
type looseString string

func (s *looseString) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		//nolint:wrapcheck // json adds the field's name
		return json.Unmarshal(data, (*string)(s))
	}
	if string(data) == "null" {
		*s = ""
		return nil
	}
	*s = looseString(data)
	return nil
}
