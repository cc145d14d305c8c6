package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// decodeAnswer turns the bytes of an answer into an error or into result, a
// pointer to a struct. It is the only place that knows errcode: a missing one
// means success.
func decodeAnswer(k call, data []byte, result any) error {
	if sent, ok := result.(*sendAnswer); ok && sent.readPlain(data) {
		return nil
	}
	data = readable(data)
	var status struct {
		Errcode *looseInt   `json:"errcode"`
		Errmsg  looseString `json:"errmsg"`
	}
	if len(data) == 0 || data[0] != '{' {
		return unreadable(k.op, "the answer is not a JSON object: something between us and WeChat may have answered")
	}
	if err := json.Unmarshal(data, &status); err != nil {
		return unreadable(k.op, "the answer is not readable JSON: something between us and WeChat may have answered")
	}
	if status.Errcode != nil && *status.Errcode != 0 {
		return newError(k.op, Code(*status.Errcode), string(status.Errmsg), k.secrets())
	}
	if result == nil {
		if status.Errcode == nil {
			return unreadable(k.op, "the answer has no errcode")
		}
		return nil
	}
	if err := json.Unmarshal(data, result); err != nil {
		return unreadable(k.op, "the answer's fields are not as documented")
	}
	return nil
}

// sendAnswer is what a send that was accepted says.
type sendAnswer struct {
	Errcode *looseInt `json:"errcode"`
	MsgID   *looseInt `json:"msgid"`
}

// readPlain reads the answer as WeChat documents it, to the byte, which spares
// decoding it twice. Whatever differs is for the whole decoder.
func (a *sendAnswer) readPlain(data []byte) bool {
	const head, longest = `{"errcode":0,"errmsg":"ok","msgid":`, 18
	number, found := bytes.CutPrefix(data, []byte(head))
	if !found {
		return false
	}
	number, found = bytes.CutSuffix(number, []byte{'}'})
	if !found || len(number) == 0 || len(number) > longest || len(number) > 1 && number[0] == '0' {
		return false
	}
	var both [2]looseInt // errcode and msgid
	for _, b := range number {
		if !isDigit(b) {
			return false
		}
		both[1] = both[1]*10 + looseInt(b-'0')
	}
	a.Errcode, a.MsgID = &both[0], &both[1]
	return true
}

// readable makes JSON of what WeChat sends: without byte order mark, with raw
// control characters inside strings escaped. Bad UTF-8 is left to
// encoding/json, which puts U+FFFD in its place.
func readable(data []byte) []byte {
	data = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xEF\xBB\xBF")))
	if bytes.IndexFunc(data, func(r rune) bool { return r < ' ' }) < 0 {
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

// looseInt reads a number, a number in quotes, an empty string or null.
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
	// 7200.0 and 7.2e3 are integers too; beyond 2^53 a float would guess.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return errNotInteger
	}
	*n = looseInt(f)
	return nil
}

// looseString reads a string, a number, or null.
type looseString string

func (s *looseString) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		//nolint:wrapcheck // json puts the field's name around it
		return json.Unmarshal(data, (*string)(s))
	}
	if string(data) == "null" {
		*s = ""
		return nil
	}
	*s = looseString(data)
	return nil
}
