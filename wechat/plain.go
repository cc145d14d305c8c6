package wechat

import "strings"

// The usual forms of values, told without a regular expression or a parse. What
// is not among them is looked at with the whole rule, so these may know less than
// the rule but never more.

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// isPlainTime is true for 2026-11-22, 2026-11-22 08:30 and 2026-11-22 08:30:00.
func isPlainTime(text string) bool {
	const form = "0000-00-00 00:00:00"
	const date, minutes = len("0000-00-00"), len("0000-00-00 00:00")
	if n := len(text); n != date && n != minutes && n != len(form) {
		return false
	}
	for i := range len(text) {
		if b := text[i]; form[i] == '0' && !isDigit(b) || form[i] != '0' && b != form[i] {
			return false
		}
	}
	within := func(at, low, high int) bool {
		n := int(text[at]-'0')*10 + int(text[at+1]-'0')
		return low <= n && n <= high
	}
	return within(len("0000-"), 1, 12) && within(len("0000-00-"), 1, 31) &&
		(len(text) < minutes || within(len("0000-00-00 "), 0, 24) && within(len("0000-00-00 00:"), 0, 59)) &&
		(len(text) < len(form) || within(len("0000-00-00 00:00:"), 0, 59))
}

// isPlainAmount is true for up to 12 digits with or without decimals, and a yuan
// sign before them.
func isPlainAmount(text string) bool {
	whole, decimals, point := strings.Cut(strings.TrimPrefix(text, "¥"), ".")
	return len(whole) <= 12 && allDigits(whole) && (!point || allDigits(decimals))
}

func allDigits(text string) bool {
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return text != ""
}

// isPlainURL is true for a web address of unreserved characters, without a port,
// a user, a fragment or an escape.
func isPlainURL(text string) bool {
	rest, web := strings.CutPrefix(text, "https://")
	if !web {
		rest, web = strings.CutPrefix(text, "http://")
	}
	if !web || rest == "" || !isAlphanumeric(rest[0]) {
		return false
	}
	for i := range len(rest) {
		switch b := rest[i]; {
		case isAlphanumeric(b), b == '-', b == '.', b == '_', b == '~', b == '/', b == '?', b == '=', b == '&':
		default:
			return false
		}
	}
	return true
}

func isAlphanumeric(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
