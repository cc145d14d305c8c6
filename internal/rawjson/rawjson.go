// Package rawjson takes JSON apart without decoding it at each level. encoding/json
// checks and copies a value again for each json.RawMessage that it is put into, and a
// message in a batch has five levels.
//
// All functions that take text need one for which json.Valid holds. They panic or loop on
// other text.
package rawjson

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Marshal is json.Marshal without escapes for HTML: people and WeChat read the text.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// Scanner goes over the tokens of Data.
type Scanner struct {
	Data []byte
	At   int // index of the next byte
}

// Next skips blanks, colons and commas, and returns the byte that follows.
func (s *Scanner) Next() byte {
	for {
		switch b := s.Data[s.At]; b {
		case ' ', '\t', '\r', '\n', ',', ':':
			s.At++
		default:
			return b
		}
	}
}

// String reads a string and returns it with its quotes.
func (s *Scanner) String() []byte {
	start := s.At
	for s.At++; s.Data[s.At] != '"'; s.At++ {
		if s.Data[s.At] == '\\' {
			s.At++
		}
	}
	s.At++
	return s.Data[start:s.At]
}

// Literal reads a number, true, false or null.
func (s *Scanner) Literal() {
	for s.At < len(s.Data) && !strings.ContainsRune(",]} \t\r\n", rune(s.Data[s.At])) {
		s.At++
	}
}

// Value reads any value and returns it without the blanks around it.
func (s *Scanner) Value() json.RawMessage {
	first, start := s.Next(), s.At
	switch first {
	case '"':
		s.String()
	case '{', '[':
		s.nested()
	default:
		s.Literal()
	}
	return s.Data[start:s.At]
}

// nested reads an object or an array.
func (s *Scanner) nested() {
	for depth := 0; ; {
		switch s.Data[s.At] {
		case '"':
			s.String()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if s.At++; depth == 0 {
			return
		}
	}
}

// Member is a field of an object.
type Member struct {
	Name  string
	Value json.RawMessage // part of the object's text
}

// Object returns the members sorted by name, of one name in their order. It is nil for
// null; ok is false for a value of another type.
func Object(value []byte) (members []Member, ok bool) {
	s := Scanner{Data: value}
	switch s.Next() {
	case '{':
	case 'n':
		return nil, true
	default:
		return nil, false
	}
	members = make([]Member, 0, 4)
	for s.At++; s.Next() != '}'; {
		members = append(members, Member{Unquote(s.String()), s.Value()})
	}
	slices.SortStableFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return members, true
}

// Has reports whether one of the names is given.
func Has(members []Member, names ...string) bool {
	return slices.ContainsFunc(members, func(m Member) bool { return slices.Contains(names, m.Name) })
}

// Array returns the elements; ok is false for a value of another type, null too.
func Array(value []byte) (elements []json.RawMessage, ok bool) {
	s := Scanner{Data: value}
	if s.Next() != '[' {
		return nil, false
	}
	for s.At++; s.Next() != ']'; {
		elements = append(elements, s.Value())
	}
	return elements, true
}

// Text puts a string into text, and leaves it for null, as encoding/json does. It
// returns false for a value of another type.
func Text(value []byte, text *string) bool {
	switch s := (Scanner{Data: value}); s.Next() {
	case '"':
		*text = Unquote(s.String())
	case 'n':
	default:
		return false
	}
	return true
}

// Unquote decodes a string, as encoding/json does.
func Unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : len(raw)-1])
	}
	var text string
	_ = json.Unmarshal(raw, &text) // valid
	return text
}

// NotASCII reports whether JSON is refused for a character outside its texts that is not
// ASCII, such as a typographic quote or a full-width colon. The error quotes one byte of it
// as if it were a character.
func NotASCII(err *json.SyntaxError) bool {
	_, quoted, _ := strings.Cut(err.Error(), "invalid character '")
	first, _ := utf8.DecodeRuneInString(quoted)
	return quoted != "" && first >= utf8.RuneSelf || strings.HasPrefix(quoted, `\u00`)
}
