package job

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// line is the first line of an encoded envelope. It shadows the fields that
// Envelope keeps in another form.
type line struct {
	V int `json:"v"`
	Envelope
	QueuedAt    int64  `json:"q,omitempty"` // Unix milliseconds, as the next two
	NotBefore   int64  `json:"nb,omitempty"`
	NotAfter    int64  `json:"na,omitempty"`
	AtLeastOnce bool   `json:"alo,omitempty"` // here because it is written late
	Trace       string `json:"tp,omitempty"`  // here because it is written last
}

// usual reports whether text is printable ASCII that JSON writes unchanged in quotes.
func usual(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendTerms writes the line as encoding/json would, without HTML escapes. Usual
// text is written directly: reflection costs more than the rest of an enqueue's
// encoding.
func appendTerms(out []byte, l *line) ([]byte, error) {
	if !usual(l.ID) || !usual(l.To) || !usual(l.User) || !usual(l.Template) || !usual(l.Trace) || !usual(l.Key) || l.Test {
		escaping := *l // so that l itself stays on the stack
		text, err := rawjson.Marshal(&escaping)
		if err != nil {
			return nil, fmt.Errorf("encode envelope: %w", err)
		}
		return append(out, text...), nil
	}
	text := func(name, value string) {
		if value != "" {
			out = append(append(append(out, name...), value...), '"')
		}
	}
	number := func(name string, value int64) {
		if value != 0 {
			out = strconv.AppendInt(append(out, name...), value, 10)
		}
	}
	out = append(out, `{"v":`...)
	out = strconv.AppendInt(out, int64(l.V), 10)
	text(`,"id":"`, l.ID)
	text(`,"c":"`, string(l.Class))
	text(`,"to":"`, l.To)
	text(`,"u":"`, l.User)
	text(`,"t":"`, l.Template)
	text(`,"k":"`, l.Key)
	number(`,"q":`, l.QueuedAt)
	number(`,"nb":`, l.NotBefore)
	number(`,"na":`, l.NotAfter)
	if l.AtLeastOnce {
		out = append(out, `,"alo":true`...)
	}
	text(`,"tp":"`, l.Trace)
	return append(out, '}'), nil
}

// parseTerms reads a line. Exactly the form that appendTerms writes for usual text
// is read directly, anything else by encoding/json. When a field has an unexpected
// type, the others are filled all the same, so V is known even if a newer version
// changed the type of a field.
func parseTerms(data []byte) (line, error) {
	if l, ok := parseUsual(string(data)); ok {
		return l, nil
	}
	var l line
	err := json.Unmarshal(data, &l)
	return l, err //nolint:wrapcheck // Parse does not quote it
}

func parseUsual(rest string) (l line, ok bool) {
	if strings.Contains(rest, `\`) {
		return l, false
	}
	ok = true
	text := func(name string) string {
		after, found := strings.CutPrefix(rest, name)
		if !found {
			return ""
		}
		value, after, found := strings.Cut(after, `"`)
		ok, rest = ok && found && usual(value), after
		return value
	}
	number := func(name string) int64 {
		after, found := strings.CutPrefix(rest, name)
		if !found {
			return 0
		}
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		n, err := strconv.ParseInt(digits, 10, 64)
		ok, rest = ok && err == nil && digits[0] != '0', after[len(digits):]
		return n
	}
	l.V = int(number(`{"v":`))
	l.ID = text(`,"id":"`)
	l.Class = Class(text(`,"c":"`))
	l.To = text(`,"to":"`)
	l.User = text(`,"u":"`)
	l.Template = text(`,"t":"`)
	l.Key = text(`,"k":"`)
	l.QueuedAt = number(`,"q":`)
	l.NotBefore = number(`,"nb":`)
	l.NotAfter = number(`,"na":`)
	rest, l.AtLeastOnce = strings.CutPrefix(rest, `,"alo":true`)
	l.Trace = text(`,"tp":"`)
	return l, ok && l.V != 0 && rest == "}"
}
