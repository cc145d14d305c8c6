package ops

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// masker hides personal data and credentials in text that a person will read.
type masker struct {
	run, phone, assigned, prose *regexp.Regexp
	key                         []byte // of the suffix of masked task IDs
}

const (
	openidLen = 28 // "o" and 27 more, in base64url
	// tokenLen is the length from which a run of base64url is taken for a
	// credential. WeChat's tokens have 136 and more; a SHA-256 in hex has 64 and is
	// kept.
	tokenLen = 80
	redacted = "[redacted]"
	// credential matches the names whose values are never shown.
	credential = `access_?token|refresh_?token|secret|session_?key|ticket|passw(?:or)?d|encoding_?aes_?key`
)

func newMasker() *masker {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &masker{
		key:   key,
		run:   regexp.MustCompile(`[A-Za-z0-9_-]{28,}`),
		phone: regexp.MustCompile(`(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}`),
		// name=value and "name": value are masked whatever their length; name: value
		// only when it is long, because "no secret: set one" is prose. "code" only in
		// a query: "errcode=40001" is WeChat's answer, not a secret.
		assigned: regexp.MustCompile(`(?i)((?:` + credential + `)(?:["']?\s*=\s*["']?|["']\s*:\s*["']?)|\bcode=|authorization:\s*(?:basic|bearer)\s+)([^\s"'&,;})<>]+)`),
		prose:    regexp.MustCompile(`(?i)((?:` + credential + `):\s+)([^\s"'&,;})<>]{16,})`),
	}
}

// text masks whatever looks like an openid, a phone number or a credential.
func (m *masker) text(s string) string {
	s = m.assigned.ReplaceAllString(s, "${1}"+redacted)
	s = m.prose.ReplaceAllString(s, "${1}"+redacted)
	s = m.run.ReplaceAllStringFunc(s, maskRun)
	return m.phones(s)
}

// id masks a task ID. Masked IDs get a suffix that differs for each ID and stays
// the same while the process runs: asynqmon's page needs distinct row keys.
func (m *masker) id(s string) string {
	shown := m.text(s)
	if shown == s {
		return s
	}
	const suffixLen = 4
	sum := hmac.New(sha256.New, m.key)
	sum.Write([]byte(s))
	return shown + "~" + hex.EncodeToString(sum.Sum(nil)[:suffixLen])
}

// maskRun masks a maximal run of base64url if an openid may begin anywhere in it.
// The whole run is masked: cutting out 28 bytes could start too early and leave
// the end of the real openid.
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

// wordsOnly reports whether the run is a_name_in_lower_case. An openid has 27
// random characters; the chance of no capital and no digit is below 10^-12.
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

// shorten returns the form in which an openid may be shown.
func shorten(openid string) string {
	if len(openid) < 10 {
		return "…"
	}
	return openid[:4] + "…" + openid[len(openid)-2:]
}

// phones masks mobile numbers, but not parts of longer numbers.
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

// digitsMasked keeps the last two digits.
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

// maskValue shows a value of a message as its first letter and its length. A value
// that begins with a digit may be a code or an amount: only its length is shown.
func maskValue(s string) string {
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
