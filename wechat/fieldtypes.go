package wechat

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// fieldType is the rule of one key prefix (docs: 发送模板消息 § 参数值内容限制说明).
type fieldType struct {
	limit  int                       // in units; 0: none documented
	units  func(string) int          // counts the units of a value
	form   func(value string) string // what is wrong with the form, or empty
	blank  bool                      // may be empty
	advice string                    // remedy for a value that is too long
}

// typeOf finds the rule by the key's prefix, the letters and underscores before
// the number. Unknown prefixes and keys without a number have no rule: in
// historic templates name and time are free text.
func typeOf(key string) fieldType {
	prefix := strings.TrimRight(key, "0123456789")
	if prefix == key && key != "first" && key != "remark" {
		return fieldType{}
	}
	switch prefix {
	case "thing", "short_thing": // short_thing's own limit is not documented
		return fieldType{limit: 20, units: units16, advice: "shorten the text"}
	case "character_string":
		return fieldType{limit: 32, units: units16, form: noHan}
	case "time", "date":
		return fieldType{form: timeForm}
	case "amount":
		return fieldType{form: amountForm}
	case "phone_number":
		return fieldType{limit: 17, units: units16, form: noLetters}
	case "car_number":
		return fieldType{limit: 8, units: units16}
	case "const":
		return fieldType{limit: 20, units: units16, blank: true}
	case "number":
		return fieldType{limit: 32, units: digits, form: numberForm}
	case "letter":
		return fieldType{limit: 32, units: units16, form: lettersOnly}
	case "symbol":
		return fieldType{limit: 5, units: units16}
	case "name":
		return fieldType{limit: 20, units: halfWidths, advice: "10 Chinese characters or 20 letters"}
	case "phrase":
		return fieldType{limit: 10, units: halfWidths, advice: "5 Chinese characters"}
	case "first", "remark": // not shown
		return fieldType{blank: true}
	default:
		return fieldType{}
	}
}

// valueFault returns the first fault of a value of key, without its Path.
func valueFault(key, value string) (Fault, bool) {
	t := typeOf(key)
	if strings.TrimSpace(value) == "" {
		return newFault("", FaultValueEmpty), !t.blank
	}
	if t.limit > 0 {
		if n := t.units(value); n > t.limit {
			return faultf("", FaultValueTooLong, "is too long: it counts %d, at most %d are allowed: %s", n, t.limit, cmp.Or(t.advice, "shorten it")), true
		}
	}
	if t.form != nil {
		if wrong := t.form(value); wrong != "" {
			return faultf("", FaultValueForm, "%s", wrong), true
		}
	}
	return Fault{}, false
}

// units16 counts UTF-16 units, the strictest known reading: an emoji is two.
func units16(text string) int {
	n := 0
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	return n
}

// halfWidths counts a Chinese character as two.
func halfWidths(text string) int {
	n := 0
	for _, r := range text {
		n++
		if unicode.Is(unicode.Han, r) || r > 0xFFFF {
			n++
		}
	}
	return n
}

func digits(text string) int {
	n := 0
	for i := range len(text) {
		if isDigit(text[i]) {
			n++
		}
	}
	return n
}

func noHan(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		return "has Chinese characters: a character_string accepts digits, letters and symbols"
	}
	return ""
}

func noLetters(text string) string {
	if strings.ContainsFunc(text, unicode.IsLetter) {
		return "has letters: a phone_number accepts digits and symbols, such as +86-0766-66888866"
	}
	if digits(text) == 0 {
		return "has no digits: a phone_number accepts digits and symbols, such as +86-0766-66888866"
	}
	return ""
}

var (
	numberPattern = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)
	letterPattern = regexp.MustCompile(`^[A-Za-z]+$`)
	// At most one currency sign, up to 12 digits with or without commas, decimals,
	// and 元.
	amountPattern = regexp.MustCompile(`^-?\p{Sc}?\s?-?([0-9][0-9,]*)(\.[0-9]+)?\s?元?$`)
)

func numberForm(text string) string {
	if !numberPattern.MatchString(strings.TrimSpace(text)) {
		return "is not a number: write digits with or without decimals"
	}
	return ""
}

func lettersOnly(text string) string {
	if !letterPattern.MatchString(strings.TrimSpace(text)) {
		return "has characters other than letters"
	}
	return ""
}

func amountForm(text string) string {
	m := amountPattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return "is not an amount: write digits with optional decimals, currency sign or 元, such as ¥100.21"
	}
	if digits(m[1]) > 12 {
		return "has more than 12 digits before the decimals"
	}
	return ""
}

// Times as documented: 2019年10月1日 15:01, 15:01, 2019-10-01 15:01:02, and two
// of them joined by ~.
var timePattern = regexp.MustCompile(`^(?:(?:([0-9]{4})\s*[年/.-]\s*)?([0-9]{1,2})\s*[月/.-]\s*([0-9]{1,2})\s*日?)?` +
	`\s*(?:([0-9]{1,2})\s*[:：时点]\s*(?:([0-9]{1,2})\s*(?:分|[:：]\s*([0-9]{1,2}))?\s*秒?)?)?$`)

var monthPattern = regexp.MustCompile(`^([0-9]{4})\s*[年/.-]\s*([0-9]{1,2})\s*月?$`)

const timeAdvice = "is not a time: use the 24-hour clock, such as 2019年10月1日 15:01, 15:01, 2019-10-01 15:01:02, or two of them joined by ~"

func timeForm(text string) string {
	parts := strings.Split(strings.ReplaceAll(text, "～", "~"), "~")
	if len(parts) > 2 {
		return timeAdvice
	}
	for _, part := range parts {
		if !isTime(strings.TrimSpace(part)) {
			return timeAdvice
		}
	}
	return ""
}

func isTime(text string) bool {
	if m := monthPattern.FindStringSubmatch(text); m != nil {
		return inRange(m[2], 1, 12)
	}
	m := timePattern.FindStringSubmatch(text)
	if m == nil || text == "" {
		return false
	}
	return inRange(m[2], 1, 12) && inRange(m[3], 1, 31) &&
		inRange(m[4], 0, 24) && inRange(m[5], 0, 59) && inRange(m[6], 0, 59)
}

// inRange is true for a missing part.
func inRange(digits string, low, high int) bool {
	if digits == "" {
		return true
	}
	n, err := strconv.Atoi(digits)
	return err == nil && low <= n && n <= high
}
