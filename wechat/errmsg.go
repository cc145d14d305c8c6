package wechat

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errmsgLimit bounds what is kept of WeChat's words, in bytes.
const errmsgLimit = 300

// shortestSecret is the length from which a text is looked for in foreign
// words: real secrets have 32 characters, tokens over a hundred, openids 28,
// while the "token" of somebody's test is part of half of all errmsgs.
const shortestSecret = 8

// Patterns of WeChat's errmsg. Its tail varies: " rid: x", ", rid: x",
// " hint: [x]", " hints: [x!]", ", hints: [ req_id: x ]".
var (
	ridPattern        = regexp.MustCompile(`(?i)[\s,;]*\brid:\s*([0-9A-Za-z-]*)`)
	hintPattern       = regexp.MustCompile(`(?is)[\s,;]*\bhints?:\s*(\[[^\]]*\]?|\S*)`)
	ipPattern         = regexp.MustCompile(`invalid ip ([0-9a-fA-F.:]+)`)
	fieldPattern      = regexp.MustCompile(`\b(data\.[A-Za-z_]+[0-9]*\.value)\b`)
	credentialPattern = regexp.MustCompile(`(?i)(\b(?:access_token|refresh_token|appsecret|secret|js_code|code|ticket)["']?\s*[=:]\s*["']?)[^\s"'&,;}\]]+`)
	longWordPattern   = regexp.MustCompile(`[A-Za-z0-9_-]{24,}`)
	keyLikePattern    = regexp.MustCompile(`^[a-z_]+[0-9]{0,3}$`)
	openidPattern     = regexp.MustCompile(`^o[A-Za-z0-9_-]{27}$`)
)

// newError makes the error of an answer. known are texts that must not appear:
// the token of the call, the secret, the recipient.
func newError(op string, code Code, errmsg string, known []string) *Error {
	msg, rid := splitErrmsg(errmsg)
	return &Error{Op: op, Code: code, Msg: scrub(msg, known), RID: scrub(rid, known)}
}

// splitErrmsg parts WeChat's words from the request id and drops hints.
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

// scrub makes foreign text fit for a log: one line, short, valid UTF-8,
// without credentials and with openids masked.
func scrub(text string, known []string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = credentialPattern.ReplaceAllString(text, "${1}"+placeholder)
	for _, secret := range known {
		if len(secret) >= shortestSecret {
			text = strings.ReplaceAll(text, secret, maskOf(secret))
		}
	}
	text = longWordPattern.ReplaceAllStringFunc(text, maskLongWord)
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(cut(text, errmsgLimit))
}

// maskLongWord keeps request ids, which are three groups of eight hex digits,
// and long words such as keys, and hides what could be a credential or an openid.
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

// MaskOpenID shortens an openid for people: its first four characters, "…" and
// its last two. One of ten characters or fewer becomes "…".
func MaskOpenID(openid string) string {
	if len(openid) <= 10 {
		return "…"
	}
	return cut(openid, 4) + "…" + strings.ToValidUTF8(openid[len(openid)-2:], "")
}

// cut returns at most limit bytes of text, whole runes only.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// IP is the caller's address that WeChat named when it refused it (40164), or
// empty.
func (e *Error) IP() string {
	m := ipPattern.FindStringSubmatch(e.Msg)
	if m == nil {
		return ""
	}
	return strings.TrimRight(m[1], ".:")
}

// Field is the path that WeChat named when it refused a value (47003), such as
// "data.time10.value", or empty.
func (e *Error) Field() string {
	m := fieldPattern.FindStringSubmatch(e.Msg)
	if m == nil {
		return ""
	}
	return m[1]
}
