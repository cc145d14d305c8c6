package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// CheckJSON finds what encoding/json changes or drops without an error: a key that
// stands twice in an object, text that is not UTF-8, half of a surrogate pair
// (\ud83d), and U+FFFD, which a decoder writes in place of what it could not read.
// It returns an *InvalidError with all faults and their paths, or with one fault
// when data is not JSON. A byte order mark at the start is allowed.
//
// Decoders of messages and requests call it first; encoding/json then loses
// nothing.
func CheckJSON(data []byte) error {
	_, faults := jsonFaults(data)
	return invalid(faults)
}

// jsonFaults also returns data as readable makes it, or nil when it is not JSON.
func jsonFaults(data []byte) ([]byte, []Fault) {
	if f := foreignForm(bytes.TrimLeft(data, " \t\r\n")); f != nil {
		return nil, []Fault{*f}
	}
	w := jsonWalker{Scanner: rawjson.Scanner{Data: readable(data)}}
	if !json.Valid(w.Data) {
		return nil, []Fault{syntaxFault(bytes.TrimRight(bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")), " \t\r\n"))}
	}
	w.value()
	return w.Data, w.faults
}

// foreignForm is what data are when they are no text of JSON in UTF-8 at all; nil: they
// may be JSON. encoding/json would quote a character that is invisible or meaningless.
func foreignForm(data []byte) *Fault {
	starts := func(prefix string) bool { return bytes.HasPrefix(data, []byte(prefix)) }
	var form words
	code := FaultJSON
	switch {
	case starts("\xFF\xFE"), starts("\xFE\xFF"), len(data) > 1 && (data[0] == 0) != (data[1] == 0):
		code, form = FaultEncoding, words{"is UTF-16 or UTF-32: convert it to UTF-8", "是 UTF-16 或 UTF-32：请转换为 UTF-8"}
	case starts("\x1F\x8B"):
		form = words{"is compressed by gzip: decompress it", "是 gzip 压缩数据：请先解压"}
	case starts("<"):
		form = words{"is XML or HTML, not JSON", "是 XML 或 HTML，不是 JSON"}
	default:
		return nil
	}
	f := faultOf("", code, form)
	return &f
}

// syntaxFault names the place. encoding/json quotes one character at most.
func syntaxFault(data []byte) Fault {
	var value any
	err := json.Unmarshal(data, &value)
	var syntax *json.SyntaxError
	if len(data) == 0 {
		return faultOf("", FaultJSON, words{"is empty: write a JSON object", "为空：请写一个 JSON 对象"})
	}
	if !errors.As(err, &syntax) {
		return newFault("", FaultJSON)
	}
	before := data[:min(max(syntax.Offset-1, 0), int64(len(data)))]
	line, last := bytes.Count(before, []byte{'\n'})+1, before[bytes.LastIndexByte(before, '\n')+1:]
	place := words{"character %d", "第 %d 个字符"}.with(utf8.RuneCount(last) + 1)
	if bytes.ContainsRune(data, '\n') {
		place = words{fmt.Sprintf("line %d, %s", line, place.en), fmt.Sprintf("第 %d 行，%s", line, place.zh)}
	}
	cause := words{scrub(syntax.Error(), nil), scrub(syntax.Error(), nil)}
	if rawjson.NotASCII(syntax) {
		cause = words{"a character outside its texts is not ASCII, such as “ ” ： or ，: write the ASCII one", "文本之外有非 ASCII 字符，例如 “ ” ： ，：请改为半角字符"}
	}
	return faultOf("", FaultJSON, words{"is not JSON: " + place.en + ": " + cause.en, "不是 JSON：" + place.zh + "：" + cause.zh})
}

// jsonWalker walks over JSON that is valid.
type jsonWalker struct {
	rawjson.Scanner
	path   []pathPart
	faults []Fault
}

// pathPart is a key of an object or an index of an array.
type pathPart struct {
	key     string
	index   int
	isIndex bool
}

// faultsLimit bounds the faults of one document.
const faultsLimit = 1000

func (w *jsonWalker) fault(code FaultCode) {
	if len(w.faults) < faultsLimit {
		w.faults = append(w.faults, newFault(joinPath(w.path), code))
	}
}

func (w *jsonWalker) value() {
	switch w.Next() {
	case '{':
		w.object()
	case '[':
		w.array()
	case '"':
		if code := textFault(w.String()); code != "" {
			w.fault(code)
		}
	default: // a number, true, false or null
		w.Literal()
	}
}

func (w *jsonWalker) object() {
	w.At++
	seen := map[string]struct{}{}
	for w.Next() != '}' {
		raw := w.String()
		key := rawjson.Unquote(raw)
		w.path = append(w.path, pathPart{key: key})
		if code := textFault(raw); code != "" {
			w.fault(code)
		}
		if _, twice := seen[key]; twice {
			w.fault(FaultFieldTwice)
		}
		seen[key] = struct{}{}
		w.value()
		w.path = w.path[:len(w.path)-1]
	}
	w.At++
}

func (w *jsonWalker) array() {
	w.At++
	for i := 0; w.Next() != ']'; i++ {
		w.path = append(w.path, pathPart{index: i, isIndex: true})
		w.value()
		w.path = w.path[:len(w.path)-1]
	}
	w.At++
}

// textFault is the fault of a string of JSON as it is written.
func textFault(raw []byte) FaultCode {
	switch {
	case !utf8.Valid(raw):
		return FaultEncoding
	case bytes.Contains(raw, []byte("\uFFFD")):
		return FaultReplaced
	}
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 {
			return ""
		}
		if raw = raw[at+1:]; raw[0] != 'u' {
			raw = raw[1:]
			continue
		}
		first := escapeOf(raw)
		raw = raw[5:]
		if first == utf8.RuneError {
			return FaultReplaced
		}
		if !utf16.IsSurrogate(first) {
			continue
		}
		if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' || utf16.DecodeRune(first, escapeOf(raw[1:])) == utf8.RuneError {
			return FaultSurrogate
		}
		raw = raw[6:]
	}
}

// escapeOf reads u and four hexadecimal digits.
func escapeOf(raw []byte) rune {
	n, _ := strconv.ParseUint(string(raw[1:5]), 16, 16) // valid
	return rune(n)
}

// pathLimit bounds the path of a fault, in bytes.
const pathLimit = 256

// joinPath writes keys as a.b, other keys as a["b c"], and indexes as a[0].
// Openids and credentials that stand as keys are masked.
func joinPath(parts []pathPart) string {
	var b strings.Builder
	for _, part := range parts {
		switch {
		case part.isIndex:
			fmt.Fprintf(&b, "[%d]", part.index)
		case !isKeyName(part.key):
			fmt.Fprintf(&b, "[%s]", strconv.Quote(cut(part.key, keyLimit)))
		case b.Len() == 0:
			b.WriteString(part.key)
		default:
			b.WriteString("." + part.key)
		}
		if b.Len() > pathLimit {
			break
		}
	}
	return cut(scrub(b.String(), nil), pathLimit)
}

// Pointer is Path as a JSON pointer (RFC 6901), such as "/data/thing1/value". The
// empty pointer is the whole document.
func (f Fault) Pointer() string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for rest := f.Path; rest != ""; {
		var part string
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			quoted, err := strconv.QuotedPrefix(inner)
			if err == nil {
				part, _ = strconv.Unquote(quoted)
				rest = strings.TrimPrefix(inner[len(quoted):], "]")
			} else {
				part, rest, _ = strings.Cut(inner, "]")
			}
			rest = strings.TrimPrefix(rest, ".")
		} else if at := strings.IndexAny(rest, ".["); at >= 0 {
			part, rest = rest[:at], strings.TrimPrefix(rest[at:], ".")
		} else {
			part, rest = rest, ""
		}
		b.WriteString("/" + escape.Replace(part))
	}
	return b.String()
}

// FieldPath is the path of a field as faults have it: a name that is not a plain
// one is quoted and shortened, and one that looks like an openid or a credential
// is masked.
func FieldPath(name string) string { return joinPath([]pathPart{{key: name}}) }
