package wechat

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// encryptedTextsLimit is how many Encrypt elements of one body are tried.
const encryptedTextsLimit = 8

// encryptedTexts returns the texts of the elements or JSON members named Encrypt,
// the last one first: that is where WeChat puts it. It searches the bytes without
// parsing them, since the body is not authenticated yet.
func encryptedTexts(body []byte) []string {
	var texts []string
	name := []byte("Encrypt")
	for before := body; len(texts) < encryptedTextsLimit; {
		at := bytes.LastIndex(before, name)
		if at < 0 {
			break
		}
		if text := encryptedText(bytes.TrimRight(before[:at], " \t\r\n"), body[at+len(name):]); text != "" {
			texts = append(texts, text)
		}
		body, before = body[:at], before[:at]
	}
	return texts
}

// isEnvelope reports whether body looks like one <xml> element or one JSON object.
// It looks at its first and last bytes only.
func isEnvelope(body []byte) bool {
	body = trimDocument(body)
	if bytes.HasPrefix(body, []byte("{")) {
		return bytes.HasSuffix(body, []byte("}"))
	}
	return (bytes.HasPrefix(body, []byte("<xml")) || bytes.HasPrefix(body, []byte("<?xml"))) && bytes.HasSuffix(body, []byte("</xml>"))
}

// encryptedText is the value of the name between before and after: of an element,
// with or without CDATA, or of a JSON member. Empty: the name has no value.
func encryptedText(before, after []byte) string {
	space := " \t\r\n"
	after = bytes.TrimLeft(after, space)
	var end string
	switch {
	case bytes.HasSuffix(before, []byte("<")) && bytes.HasPrefix(after, []byte(">")):
		after, end = bytes.TrimLeft(after[1:], space), "<"
		if inside, ok := bytes.CutPrefix(after, []byte("<![CDATA[")); ok {
			after, end = inside, "]"
		}
	case bytes.HasSuffix(before, []byte(`"`)) && bytes.HasPrefix(after, []byte(`"`)):
		after = bytes.TrimLeft(after[1:], space)
		if !bytes.HasPrefix(after, []byte(":")) {
			return ""
		}
		after = bytes.TrimLeft(after[1:], space)
		if !bytes.HasPrefix(after, []byte(`"`)) {
			return ""
		}
		after, end = after[1:], `"`
	default:
		return ""
	}
	text, _, closed := bytes.Cut(after, []byte(end))
	if !closed {
		return ""
	}
	if end == `"` {
		text = bytes.ReplaceAll(text, []byte(`\/`), []byte("/"))
	}
	return strings.TrimSpace(string(text))
}

// charsetReader is CallbackConfig.CharsetReader.
type charsetReader = func(label string, input io.Reader) (io.Reader, error)

var declarationPattern = regexp.MustCompile(`^<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["'][^>]*\?>`)

// decodeDeclared returns an XML document as UTF-8 without its declaration. A
// document that declares one of China's national encodings and is valid UTF-8 is
// taken as UTF-8: text in these encodings is not.
func decodeDeclared(data []byte, charset charsetReader) ([]byte, error) {
	found := declarationPattern.FindSubmatch(data[:min(len(data), 200)])
	if found == nil {
		return data, nil
	}
	rest := data[len(found[0]):]
	switch label := strings.ToLower(string(found[1])); label {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return rest, nil
	case "gb2312", "gbk", "gb18030", "cp936":
		if utf8.Valid(rest) {
			return rest, nil
		}
		fallthrough
	default:
		if charset == nil {
			return nil, errDocumentEncoding
		}
		reader, err := charset(label, bytes.NewReader(rest))
		if err != nil {
			return nil, errDocumentEncoding
		}
		decoded, err := io.ReadAll(io.LimitReader(reader, 4*documentLimit))
		if err != nil {
			return nil, errDocumentEncoding
		}
		return decoded, nil
	}
}
