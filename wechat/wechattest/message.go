package wechattest

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// message is a send's body, read once. encoding/json is not used for it since
// it matches names without regard to case, and WeChat does not: toUser is no
// touser.
type message struct {
	toUser, templateID, url, clientMsgID string
	miniAppID, miniPath                  string
	hasMini, hasData                     bool
	fields                               []fieldValue
}

type fieldValue struct{ key, value string }

func (m *message) value(key string) string {
	for _, f := range m.fields {
		if f.key == key {
			return f.value
		}
	}
	return ""
}

// parseMessage reads body, or says with which errcode WeChat refuses it.
func parseMessage(body []byte) (message, wechat.Code) {
	var m message
	switch {
	case len(body) == 0:
		return m, 44002
	case !utf8.Valid(body):
		return m, 40033
	case !json.Valid(body):
		return m, 47001
	}
	s := scanner{text: string(body)} // one copy, of which all texts are parts
	ok := s.object(func(key string) bool {
		switch key {
		case "touser":
			return s.str(&m.toUser)
		case "template_id":
			return s.str(&m.templateID)
		case "url":
			return s.str(&m.url)
		case "client_msg_id":
			return s.str(&m.clientMsgID)
		case "miniprogram":
			m.hasMini = true
			return s.miniProgram(&m)
		case "data":
			m.hasData = true
			return s.data(&m)
		}
		return s.skip()
	})
	if !ok {
		return m, 47001
	}
	return m, 0
}

// scanner walks JSON that is known to be valid. Its verbs report false when a
// value is not of the wanted type.
type scanner struct {
	text string
	at   int
}

func (s *scanner) miniProgram(m *message) bool {
	return s.objectOrNull(func(key string) bool {
		switch key {
		case "appid":
			return s.str(&m.miniAppID)
		case "pagepath", "path": // path is a leftover of an older page, and still sent
			return s.str(&m.miniPath)
		}
		return s.skip()
	})
}

func (s *scanner) data(m *message) bool {
	m.fields = make([]fieldValue, 0, 8)
	return s.object(func(key string) bool {
		f := fieldValue{key: key}
		ok := s.object(func(name string) bool {
			if name == "value" {
				return s.str(&f.value)
			}
			return s.skip()
		})
		m.fields = append(m.fields, f)
		return ok
	})
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r', ',', ':':
			s.at++
		default:
			return
		}
	}
}

// null steps over a null.
func (s *scanner) null() bool {
	s.space()
	if s.text[s.at] != 'n' {
		return false
	}
	s.at += len("null")
	return true
}

func (s *scanner) objectOrNull(member func(key string) bool) bool {
	return s.null() || s.object(member)
}

func (s *scanner) object(member func(key string) bool) bool {
	s.space()
	if s.text[s.at] != '{' {
		return false
	}
	s.at++
	for {
		s.space()
		if s.text[s.at] == '}' {
			s.at++
			return true
		}
		var key string
		if !s.str(&key) || !member(key) {
			return false
		}
	}
}

// str reads a string; null leaves it empty.
func (s *scanner) str(into *string) bool {
	if s.null() {
		return true
	}
	if s.text[s.at] != '"' {
		return false
	}
	start, escaped := s.at, false
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			escaped = true
			s.at++
		}
	}
	s.at++
	if !escaped {
		*into = s.text[start+1 : s.at-1]
		return true
	}
	return json.Unmarshal([]byte(s.text[start:s.at]), into) == nil
}

// skip steps over any value.
func (s *scanner) skip() bool {
	s.space()
	depth := 0
	for {
		switch s.text[s.at] {
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case '"':
			var ignored string
			s.str(&ignored)
		default: // a number or a word
			for s.at < len(s.text) && !isBreak(s.text[s.at]) {
				s.at++
			}
		}
		if depth == 0 {
			return true
		}
		s.space()
	}
}

func isBreak(b byte) bool {
	switch b {
	case ' ', '\t', '\n', '\r', ',', ':', '{', '}', '[', ']', '"':
		return true
	}
	return false
}
