package ops

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// masker hides people and credentials in text that a person will read.
type masker struct {
	run, phone, field, prose *regexp.Regexp
	more                     func(string) string
}

const (
	openidLen = 28 // "o" and 27 more, in base64url
	// tokenLen is where a run of base64url is taken for a credential. WeChat's
	// tokens have 136 and more; a SHA-256 in hex has 64 and is kept.
	tokenLen = 80
	redacted = "[redacted]"
	// credential names what must not be shown in name=value.
	credential = `access_?token|refresh_?token|secret|session_?key|ticket|passw(?:or)?d|encoding_?aes_?key`
)

func newMasker(more func(string) string) *masker {
	return &masker{
		run:   regexp.MustCompile(`[A-Za-z0-9_-]{28,}`),
		phone: regexp.MustCompile(`(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}`),
		// name=value and "name": value of what must never be shown, however short;
		// name: value only when it is long, for "no secret: set one" is prose.
		// "code" only as a query's: "errcode=40001" is an answer, no secret.
		field: regexp.MustCompile(`(?i)((?:` + credential + `)(?:["']?\s*=\s*["']?|["']\s*:\s*["']?)|\bcode=|authorization:\s*(?:basic|bearer)\s+)([^\s"'&,;})<>]+)`),
		prose: regexp.MustCompile(`(?i)((?:` + credential + `):\s+)([^\s"'&,;})<>]{16,})`),
		more:  more,
	}
}

// text masks whatever looks like an openid, a phone number or a credential.
func (m *masker) text(s string) string {
	if s == "" {
		return s
	}
	s = m.field.ReplaceAllString(s, "${1}"+redacted)
	s = m.prose.ReplaceAllString(s, "${1}"+redacted)
	s = m.run.ReplaceAllStringFunc(s, maskRun)
	s = m.phones(s)
	if m.more != nil {
		s = m.more(s)
	}
	return s
}

// maskRun judges a maximal run of base64url. The whole run goes when an openid
// may begin anywhere in it: cutting 28 bytes out could cut too early and leave
// the tail of the real one.
func maskRun(run string) string {
	if len(run) >= tokenLen {
		return redacted
	}
	at := strings.IndexByte(run, 'o')
	if at < 0 || len(run)-at < openidLen || wordsOnly(run) {
		return run
	}
	return shorten(run)
}

// wordsOnly is a_name_in_lower_case, which no openid is: 27 random characters
// have a capital or a digit but once in a million million.
func wordsOnly(run string) bool {
	if !strings.ContainsAny(run, "_-") {
		return false
	}
	for i := range len(run) {
		if c := run[i]; (c < 'a' || c > 'z') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// shorten is the form in which an openid may be shown.
func shorten(openid string) string {
	if len(openid) < 10 {
		return "…"
	}
	return openid[:4] + "…" + openid[len(openid)-2:]
}

// phones masks mobile numbers that stand alone: not the middle of a longer number.
func (m *masker) phones(s string) string {
	var b strings.Builder
	end := 0
	for _, at := range m.phone.FindAllStringIndex(s, -1) {
		if digitBefore(s, at[0]) || digitAfter(s, at[1]) {
			continue
		}
		b.WriteString(s[end:at[0]])
		b.WriteString(digitsMasked(s[at[0]:at[1]]))
		end = at[1]
	}
	if end == 0 {
		return s
	}
	b.WriteString(s[end:])
	return b.String()
}

func digitBefore(s string, i int) bool { return i > 0 && isDigit(s[i-1]) }
func digitAfter(s string, i int) bool  { return i < len(s) && isDigit(s[i]) }
func isDigit(c byte) bool              { return c >= '0' && c <= '9' }

// digitsMasked keeps the last two digits: enough to talk about, not to call.
func digitsMasked(number string) string {
	b := []byte(number)
	kept := 2
	for i, digit := range slices.Backward(b) {
		switch {
		case !isDigit(digit):
		case kept > 0:
			kept--
		default:
			b[i] = '*'
		}
	}
	return string(b)
}

// value is how a value of a message is shown: its first letter and its length.
// Nothing of one that begins with a digit, for that may be a code or an amount.
func (m *masker) value(s string) string {
	n := utf8.RuneCountInString(s)
	if n == 0 {
		return ""
	}
	head := ""
	if first, _ := utf8.DecodeRuneInString(s); n > 2 && unicode.IsLetter(first) {
		head = string(first)
	}
	return head + "…(" + strconv.Itoa(n) + ")"
}
