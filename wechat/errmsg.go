package wechat

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/mask"
)

// errmsgLimit is how much of an errmsg is kept, in bytes.
const errmsgLimit = 300

// shortestSecret is the length from which secrets are searched for in foreign
// texts. Real secrets have 32 characters, tokens over a hundred, openids 28. A
// shorter one, such as "token" in a test, is a word of many errmsgs.
const shortestSecret = 8

// Patterns of WeChat's errmsg. Its end varies: " rid: x", ", rid: x",
// " hint: [x]", " hints: [x!]", ", hints: [ req_id: x ]".
var (
	ridPattern        = regexp.MustCompile(`(?i)[\s,;]*\brid:\s*([0-9A-Za-z-]*)`)
	hintPattern       = regexp.MustCompile(`(?is)[\s,;]*\bhints?:\s*(\[[^\]]*\]?|\S*)`)
	fieldPattern      = regexp.MustCompile(`\b(data\.[A-Za-z_]+[0-9]*\.value)\b`)
	credentialPattern = regexp.MustCompile(`(?i)(\b(?:access_token|refresh_token|appsecret|secret|js_code|code|ticket)["']?\s*[=:]\s*["']?)[^\s"'&,;}\]]+`)
	longWordPattern   = regexp.MustCompile(`[A-Za-z0-9_-]{24,}`)
	keyLikePattern    = regexp.MustCompile(`^[a-z_]+[0-9]{0,3}$`)
	openidPattern     = regexp.MustCompile(`^o[A-Za-z0-9_-]{27}$`)
)

// newError makes the error of an answer. known are texts that it must not have,
// such as the call's token.
func newError(op string, code Code, errmsg string, known []string) *Error {
	msg, rid := splitErrmsg(errmsg)
	return &Error{Op: op, Code: code, Msg: scrub(msg, known), RID: scrub(rid, known)}
}

// splitErrmsg separates the request id from errmsg, and removes hints.
func splitErrmsg(errmsg string) (msg, rid string) {
	msg = hintPattern.ReplaceAllString(errmsg, "")
	if m := ridPattern.FindStringSubmatch(msg); m != nil {
		rid = m[1]
		if len(rid) > 64 {
			rid = ""
		}
		msg = ridPattern.ReplaceAllString(msg, "")
	}
	return msg, rid
}

// scrub makes a foreign text safe for a log: one line, short, valid UTF-8, without
// credentials, with openids, phone numbers, identity cards and mail addresses masked:
// WeChat may quote the value that it refuses.
func scrub(text string, known []string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = credentialPattern.ReplaceAllString(text, "${1}"+placeholder)
	for _, secret := range known {
		if len(secret) >= shortestSecret {
			text = strings.ReplaceAll(text, secret, maskOf(secret))
		}
	}
	text = longWordPattern.ReplaceAllStringFunc(text, maskLongWord)
	if !isRID(text) { // whose digits may look like a phone number
		text = mask.Text(text)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(cut(text, errmsgLimit))
}

// maskLongWord keeps request ids and long key names, and masks what may be a
// credential or an openid.
func maskLongWord(word string) string {
	if isRID(word) || keyLikePattern.MatchString(word) {
		return word
	}
	return maskOf(word)
}

func maskOf(text string) string {
	if openidPattern.MatchString(text) {
		return MaskOpenID(text)
	}
	return placeholder
}

func isRID(word string) bool {
	if len(word) != 26 || word[8] != '-' || word[17] != '-' {
		return false
	}
	return strings.Trim(word, "0123456789abcdefABCDEF-") == ""
}

// MaskOpenID shortens an openid for logs and pages to its first four characters,
// "…" and its last two. An openid of at most ten characters, and one that holds a
// phone number, an identity card or a mail address, becomes "…".
func MaskOpenID(openid string) string {
	if openid == "" {
		return "…"
	}
	return mask.Name(openid)
}

// cut returns at most limit bytes of text, in whole runes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// Detail is the part of errmsg that the code's name does not say: for 47003 the field
// and its fault, such as "data.time2.value is empty". Empty: it says nothing more.
func (e *Error) Detail() string {
	detail := e.Msg
	if i := strings.Index(detail, e.Field()); i > 0 {
		detail = detail[i:]
	}
	if detail == e.Code.Says() {
		return ""
	}
	return detail
}

// Field is the path of the refused value in the errmsg of 47003, such as
// "data.time10.value", or empty.
func (e *Error) Field() string {
	m := fieldPattern.FindStringSubmatch(e.Msg)
	if m == nil {
		return ""
	}
	return m[1]
}
