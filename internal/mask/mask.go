// Package mask hides personal data and credentials in text that a person will
// read: logs, pages, audit trails, WeChat's own words. Programs get the whole
// text.
//
// What is recognised in running text: openids and unionids, phone numbers, numbers of
// Chinese identity cards, mail addresses, and credentials by their name or length. A
// person's name, or the business's own user ID, has no form that could be recognised:
// fields that hold one are masked by [Name] or [Value].
package mask

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	openidLen = 28 // "o" and 27 more, in base64url
	// tokenLen is the length from which a run of base64url is taken for a
	// credential. WeChat's tokens have 136 and more; a SHA-256 in hex has 64 and is
	// kept.
	tokenLen = 80
	redacted = "[redacted]"
	// credential matches the names whose values are never shown.
	credential = `access_?token|refresh_?token|secret|session_?key|ticket|passw(?:or)?d|encoding_?aes_?key`
	// date of birth: year, month and day.
	birthday = `(?:1[89]|20)[0-9]{2}[- ]?(?:0[1-9]|1[0-2])[- ]?(?:0[1-9]|[12][0-9]|3[01])`
	shortDay = `[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])`
)

var (
	runPattern = regexp.MustCompile(`[A-Za-z0-9_-]{28,}`)
	// name=value and "name": value are masked whatever their length; name: value
	// only when it is long, because "no secret: set one" is prose. "code" only in
	// a query: "errcode=40001" is WeChat's answer, not a secret.
	assignedPattern = regexp.MustCompile(`(?i)((?:` + credential + `)(?:["']?\s*=\s*["']?|["']\s*:\s*["']?)|\bcode=|authorization:\s*(?:basic|bearer)\s+)([^\s"'&,;})<>]+)`)
	prosePattern    = regexp.MustCompile(`(?i)((?:` + credential + `):\s+)([^\s"'&,;})<>]{16,})`)

	// mailPattern finds the name before the @, which may be written in a URL as %40. A
	// domain ends in letters, unlike the version of a module in a stack trace.
	mailPattern = regexp.MustCompile(`[\pL\pN._%+-]+?(@|＠|%40)([\pL\pN-]+(?:\.[\pL\pN-]+)*\.\pL{2,})`)
	// The patterns of numbers are for plain text, see plainText.

	// cardPattern is the number of an identity card (GB 11643): region, date of
	// birth, sequence and check digit; 15 digits before 1999; that of Hong Kong. The
	// check digit is not verified: a number with a typing error is personal too.
	cardPattern = regexp.MustCompile(`[1-9][0-9]{5}[- ]?` + birthday + `[- ]?[0-9]{3}[0-9Xx]|[1-9][0-9]{5}` + shortDay + `[0-9]{3}` +
		`|\b[A-Z]{1,2}[0-9]{6}\([0-9A]\)`)
	// phonePattern is a mobile number of China, a landline with its area code, or
	// a number with its country code after a plus sign.
	phonePattern = regexp.MustCompile(`(?:(?:\+|00)?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}[- ]?[0-9]{4}|\.[0-9]{4}\.[0-9]{4}|(?:[- ][0-9]{2}){4})` +
		`|\(0[1-9][0-9]{1,2}\)[- ]?[1-9][0-9]{3}[- ]?[0-9]{3,4}|0[1-9][0-9]{1,2}[- ][1-9][0-9]{3}[- ]?[0-9]{3,4}` +
		`|0(?:10|2[0-9]|[3-9][0-9]{2})[2-8][0-9]{6,7}` +
		`|\+[1-9][0-9]{0,2}[- ]?\(?[0-9]{1,4}\)?(?:[- ]?[0-9]{2,4}){2,3}`)
)

// Text masks whatever looks like an openid, a phone number, the number of an identity
// card, a mail address or a credential.
func Text(s string) string {
	if harmless(s) {
		return s
	}
	// A pattern is tried only on a text that has what each of its matches has: trying all of
	// them on the ID of a message took a twentieth of a worker's CPU time.
	if strings.ContainsAny(s, "=:") {
		s = assignedPattern.ReplaceAllString(s, "${1}"+redacted)
		s = prosePattern.ReplaceAllString(s, "${1}"+redacted)
	}
	if strings.ContainsAny(s, "@＠%") {
		s = mailPattern.ReplaceAllString(s, "…${1}${2}")
	}
	if len(s) >= openidLen {
		s = runPattern.ReplaceAllStringFunc(s, maskRun)
	}
	return Numbers(s)
}

// Numbers masks identity cards and phone numbers, but not parts of longer numbers.
func Numbers(s string) string {
	s = numbers(s, cardPattern, 15, "(", func(string) string { return "[identity card]" })
	return numbers(s, phonePattern, 10, "+(", digitsMasked)
}

// harmless reports quickly that s has none of what Text looks for: no @, at most
// five digits, no long word, no sign of an assignment. Most fields of a log are so.
func harmless(s string) bool {
	const fewDigits, shortWord = 5, 16
	digits, word := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			digits++
			word++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-':
			word++
		case c == '@' || c == '%' || c == '=' || c == ':' || c == '"' || c == 0xEF: // 0xEF begins full-width letters
			return false
		default:
			word = 0
		}
		if digits > fewDigits || word >= shortWord {
			return false
		}
	}
	return true
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
	return Name(run)
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

// Name shows a name that is personal whatever it looks like, such as an openid or a
// user of the business: its first four bytes, "…" and its last two. Of at most ten
// bytes only "…" is shown. Empty: empty.
func Name(s string) string {
	const head, tail, hidden = 4, 2, 10
	switch {
	case s == "":
		return ""
	case len(s) <= hidden:
		return "…"
	}
	shown := strings.ToValidUTF8(s[:head], "") + "…" + strings.ToValidUTF8(s[len(s)-tail:], "")
	if Numbers(s) != s || strings.ContainsAny(s, "@＠%") && mailPattern.MatchString(s) {
		return "…" // the first four digits of an identity card or phone number narrow it down
	}
	return shown
}

// Value shows a value of a message as its length in characters: its first letter is
// often a surname.
func Value(s string) string {
	if s == "" {
		return ""
	}
	return "…(" + strconv.Itoa(utf8.RuneCountInString(s)) + ")"
}

// numbers replaces the matches of pattern that are not parts of longer numbers. A match has
// so many digits at least, or one of the signs and six.
func numbers(s string, pattern *regexp.Regexp, digits int, signs string, masked func(string) string) string {
	plain, place := plainText(s)
	if strings.ContainsAny(plain, signs) {
		digits = 6 // +1 2 34 56 and A123456(A)
	}
	if fewer(digits, plain) {
		return s
	}
	var b strings.Builder
	end := 0
	for _, at := range pattern.FindAllStringIndex(plain, -1) {
		if digitBefore(plain, at[0]) || digitAfter(plain, at[1]) {
			continue
		}
		from, to := place(at[0]), place(at[1])
		b.WriteString(s[end:from])
		b.WriteString(masked(s[from:to]))
		end = to
	}
	if end == 0 {
		return s
	}
	b.WriteString(s[end:])
	return b.String()
}

// fewer reports quickly that plain text has no number of so many digits, with nothing but
// signs between them.
func fewer(digits int, plain string) bool {
	const signs = " -.()+"
	n := 0
	for i := range len(plain) {
		switch {
		case isDigit(plain[i]):
			if n++; n == digits {
				return false
			}
		case strings.IndexByte(signs, plain[i]) < 0:
			n = 0
		}
	}
	return true
}

// plainText writes numbers as a keyboard does: full-width digits, letters and signs, which
// Chinese input methods write, and dashes and spaces of all kinds become one byte of ASCII
// each; characters without a width are left out; any other character becomes one byte
// that is part of no number. place returns where a byte of the result is in s.
func plainText(s string) (plain string, place func(int) int) {
	if isASCII(s) {
		return s, func(i int) int { return i }
	}
	text, places := make([]byte, 0, len(s)), make([]int, 0, len(s)+1)
	for i, r := range s {
		switch {
		case r >= '！' && r <= '～':
			r -= '！' - '!'
		case unicode.Is(unicode.Pd, r):
			r = '-'
		case unicode.Is(unicode.Zs, r):
			r = ' '
		case unicode.Is(unicode.Cf, r):
			continue
		}
		if r > unicode.MaxASCII {
			r = 0
		}
		text, places = append(text, byte(r)), append(places, i)
	}
	places = append(places, len(s))
	return string(text), func(i int) int { return places[i] }
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return false
		}
	}
	return true
}

func digitBefore(s string, i int) bool { return i > 0 && isDigit(s[i-1]) }
func digitAfter(s string, i int) bool  { return i < len(s) && isDigit(s[i]) }
func isDigit(c byte) bool              { return c >= '0' && c <= '9' }

// digitsMasked keeps the last two digits of a number and hides the others.
func digitsMasked(number string) string {
	runes := []rune(number)
	kept := 2
	for i, c := range slices.Backward(runes) {
		switch {
		case (c < '0' || c > '9') && (c < '０' || c > '９'):
		case kept > 0:
			kept--
		default:
			runes[i] = '*'
		}
	}
	return string(runes)
}
