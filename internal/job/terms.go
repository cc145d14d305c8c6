package job

import (
	"bytes"
	"strconv"
)

// The line of terms as Encode writes it, read and written without reflection: the
// worker reads one per message. Only the usual line is known here, with plain
// ASCII texts; whatever differs is left to encoding/json, which both agree with.

// appendTerms writes what json.Encoder would. False: a text is not plain.
func appendTerms(out []byte, t *terms) ([]byte, bool) {
	for _, text := range [...]string{t.ID, string(t.Class), t.To, t.User, t.Template} {
		if !isPlainText(text) {
			return out, false
		}
	}
	out = append(out, `{"v":`...)
	out = strconv.AppendInt(out, int64(t.V), 10)
	out = append(append(append(out, `,"id":"`...), t.ID...), `","c":"`...)
	out = append(append(out, t.Class...), '"')
	out = appendText(out, `,"to":"`, t.To)
	out = appendText(out, `,"u":"`, t.User)
	out = appendText(out, `,"t":"`, t.Template)
	out = appendNumber(out, `,"q":`, t.QueuedAt)
	out = appendNumber(out, `,"nb":`, t.NotBefore)
	out = appendNumber(out, `,"na":`, t.NotAfter)
	if t.AtLeastOnce {
		out = append(out, `,"alo":true`...)
	}
	return append(out, '}', '\n'), true
}

func appendText(out []byte, name, text string) []byte {
	if text == "" {
		return out
	}
	return append(append(append(out, name...), text...), '"')
}

func appendNumber(out []byte, name string, n int64) []byte {
	if n == 0 {
		return out
	}
	return strconv.AppendInt(append(out, name...), n, 10)
}

// isPlainText is true for printable ASCII that JSON does not escape.
func isPlainText(text string) bool {
	for i := range len(text) {
		if !isPlainByte(text[i]) {
			return false
		}
	}
	return true
}

func isPlainByte(b byte) bool { return b >= ' ' && b < 0x7f && b != '"' && b != '\\' }

// readTerms reads a line without its line feed. False: it is not as Encode writes
// it, and t is half filled.
func readTerms(line []byte, t *terms) bool {
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' {
		return false
	}
	line = line[1 : len(line)-1]
	for {
		name, rest, ok := cutText(line)
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return false
		}
		if rest, ok = t.set(string(name), rest[1:]); !ok {
			return false
		}
		if len(rest) == 0 {
			return true
		}
		if rest[0] != ',' {
			return false
		}
		line = rest[1:]
	}
}

// set reads the value of one field, whose name must be as documented.
func (t *terms) set(name string, value []byte) (rest []byte, ok bool) {
	switch name {
	case "id":
		return cutInto(value, &t.ID)
	case "c":
		text, rest, ok := cutText(value)
		t.Class = knownClass(text)
		return rest, ok && t.Class != ""
	case "to":
		return cutInto(value, &t.To)
	case "u":
		return cutInto(value, &t.User)
	case "t":
		return cutInto(value, &t.Template)
	case "v":
		var n int64
		rest, ok = cutNumber(value, &n)
		t.V = int(n)
		return rest, ok
	case "q":
		return cutNumber(value, &t.QueuedAt)
	case "nb":
		return cutNumber(value, &t.NotBefore)
	case "na":
		return cutNumber(value, &t.NotAfter)
	case "alo":
		rest, t.AtLeastOnce = bytes.CutPrefix(value, []byte("true"))
		return rest, t.AtLeastOnce
	}
	return nil, false
}

// knownClass is empty for any other text.
func knownClass(text []byte) Class {
	switch Class(text) {
	case Critical:
		return Critical
	case Default:
		return Default
	case Bulk:
		return Bulk
	}
	return ""
}

func cutInto(value []byte, into *string) ([]byte, bool) {
	text, rest, ok := cutText(value)
	*into = string(text)
	return rest, ok
}

// cutText takes a quoted plain text off the front.
func cutText(data []byte) (text, rest []byte, ok bool) {
	if len(data) == 0 || data[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(data); i++ {
		if data[i] == '"' {
			return data[1:i], data[i+1:], true
		}
		if !isPlainByte(data[i]) {
			break
		}
	}
	return nil, nil, false
}

// cutNumber takes a positive whole number off the front.
func cutNumber(data []byte, into *int64) (rest []byte, ok bool) {
	const longest = 15
	n, i := int64(0), 0
	for i < len(data) && i <= longest && '0' <= data[i] && data[i] <= '9' {
		n = n*10 + int64(data[i]-'0')
		i++
	}
	if i == 0 || i > longest || data[0] == '0' {
		return nil, false
	}
	*into = n
	return data[i:], true
}
