package wechat

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// fieldType is the rule of one key prefix (docs: 发送模板消息 § 参数值内容限制说明).
type fieldType struct {
	limit  int                      // in units; 0: none documented
	units  func(string) int         // counts the units of a value
	form   func(value string) words // what is wrong with the form, or empty
	blank  bool                     // may be empty
	advice words                    // remedy for a value that is too long
}

// fieldTypes are the rules by the key's prefix, the letters and underscores before the
// number.
//
//nolint:gochecknoglobals // never changed
var fieldTypes = map[string]fieldType{
	"thing":            {limit: 20, units: units16, advice: words{"shorten the text", "请缩短文本"}},
	"short_thing":      {limit: 20, units: units16, advice: words{"shorten the text", "请缩短文本"}}, // its own limit is not documented
	"character_string": {limit: 32, units: units16, form: without(isHan, words{"has Chinese characters: a character_string accepts digits, letters and symbols", "含有汉字：character_string 只接受数字、字母和符号"})},
	"time":             {form: timeForm},
	"date":             {form: dateForm},
	"amount":           {form: amountForm},
	"phone_number":     {limit: 17, units: units16, form: noLetters},
	// The plate of a new-energy or foreign car has the same form.
	"car_number": {limit: 8, units: units16, form: like(`^[A-Za-z0-9\p{Han}][A-Za-z0-9]*[A-Za-z0-9\p{Han}]?$`, words{"is not a number plate: write letters and digits, where the first and the last may be Chinese, such as 粤A8Z888挂", "不是车牌号：请写字母和数字，首尾可为汉字，例如 粤A8Z888挂"})},
	"const":      {limit: 20, units: units16, blank: true},
	"number":     {limit: 32, units: digits, form: like(`^[+-]?[0-9]+(\.[0-9]+)?$`, words{"is not a number: write digits with or without decimals", "不是数字：请写数字，可带小数"})},
	"letter":     {limit: 32, units: units16, form: like(`^[A-Za-z]+$`, words{"has characters other than letters", "含有字母以外的字符"})},
	"symbol":     {limit: 5, units: units16, form: without(isLetterOrDigit, words{"has characters other than symbols", "含有符号以外的字符"})},
	"name": {
		limit: 20, units: nameUnits, form: without(unicode.IsDigit, words{"has digits: a name accepts Chinese characters, letters and symbols", "含有数字：name 只接受汉字、字母和符号"}),
		advice: words{"10 characters when one of them is Chinese, else 20", "含汉字时 10 个字，否则 20 个字"},
	},
	"phrase": {
		limit: 5, units: utf8.RuneCountInString, form: without(isNotHan, words{"has other characters than Chinese ones: a phrase accepts 1 to 5 Chinese characters, such as 配送中", "含有汉字以外的字符：phrase 只接受 1 到 5 个汉字，例如“配送中”"}),
		advice: words{"5 Chinese characters", "5 个汉字"},
	},
	"first":  {blank: true}, // not shown
	"remark": {blank: true},
}

// without is a form that has no such characters.
func without(bad func(rune) bool, wrong words) func(string) words {
	return func(text string) words {
		if strings.ContainsFunc(text, bad) {
			return wrong
		}
		return words{}
	}
}

// like is a form that a pattern describes.
func like(pattern string, wrong words) func(string) words {
	form := regexp.MustCompile(pattern)
	return func(text string) words {
		if !form.MatchString(strings.TrimSpace(text)) {
			return wrong
		}
		return words{}
	}
}

// typeOf finds the rule of a key. Unknown prefixes and keys without a number have no
// rule: in historic templates name and time are free text.
func typeOf(key string) fieldType {
	prefix := strings.TrimRight(key, "0123456789")
	if prefix == key && key != "first" && key != "remark" {
		return fieldType{}
	}
	return fieldTypes[prefix]
}

// valueFault returns the first fault of a value of key, without its Path.
func valueFault(key, value string) (Fault, bool) {
	if strings.Contains(value, "\uFFFD") {
		return newFault("", FaultReplaced), true
	}
	t := typeOf(key)
	switch {
	case strings.TrimSpace(value) == "":
		return newFault("", FaultValueEmpty), !t.blank
	case !strings.ContainsFunc(value, isSeen):
		return faultOf("", FaultValueEmpty, words{
			"has only characters that are not seen: give a value that is", "只有不可见的字符：请给出可见的值",
		}), !t.blank
	}
	if t.limit > 0 {
		if n := t.units(value); n > t.limit {
			advice := cmp.Or(t.advice, words{"shorten it", "请缩短"})
			return faultOf("", FaultValueTooLong, words{
				fmt.Sprintf("is too long: it counts %d, at most %d are allowed: %s", n, t.limit, advice.en),
				fmt.Sprintf("过长：计 %d，最多 %d：%s", n, t.limit, advice.zh),
			}), true
		}
	}
	if t.form != nil {
		if wrong := t.form(value); wrong.en != "" {
			return faultOf("", FaultValueForm, lookalike(t.form, value, wrong)), true
		}
	}
	return Fault{}, false
}

// lookalike is the fault of a value that looks as its form requires, and else wrong.
func lookalike(form func(string) words, value string, wrong words) words {
	differs := func(plain string) bool { return plain != value && form(plain) != wrong }
	if at := strings.IndexFunc(value, isHidden); differs(withoutHidden(value)) {
		r, _ := utf8.DecodeRuneInString(value[at:])
		return words{"has the character %U, which is not seen: remove it", "含有不可见的字符 %U：请删除"}.with(r)
	}
	if differs(halfWidth(value)) {
		return words{
			"has full-width characters: write digits as 0-9, letters and signs in ASCII, too", "含有全角字符：数字请写 0-9，字母和符号也用半角",
		}
	}
	return wrong
}

// isHidden reports whether r has no picture of its own and takes no room, such as U+200B,
// U+FEFF and the controls of the writing direction.
func isHidden(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func isSeen(r rune) bool { return !unicode.IsSpace(r) && !isHidden(r) }

func withoutHidden(text string) string {
	return strings.Map(func(r rune) rune {
		if isHidden(r) {
			return -1
		}
		return r
	}, text)
}

// halfWidth writes the full-width forms of ASCII, U+FF01 to U+FF5E, and U+3000 in ASCII.
func halfWidth(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case '！' <= r && r <= '～':
			return r - '！' + '!'
		case r == '\u3000':
			return ' '
		}
		return r
	}, text)
}

// units16 counts UTF-16 units, the strictest known reading: an emoji is two.
func units16(text string) int {
	n := 0
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	return n
}

func isHan(r rune) bool           { return unicode.Is(unicode.Han, r) }
func isNotHan(r rune) bool        { return !isHan(r) }
func isLetterOrDigit(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// nameUnits counts each character as two when one of them is Chinese: a mixed name
// has the limit of a Chinese one.
func nameUnits(text string) int {
	if strings.ContainsFunc(text, isHan) {
		return 2 * utf8.RuneCountInString(text)
	}
	return units16(text)
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

func noLetters(text string) words {
	if strings.ContainsFunc(text, unicode.IsLetter) {
		return words{"has letters: a phone_number accepts digits and symbols, such as +86-0766-66888866", "含有字母：phone_number 只接受数字和符号，例如 +86-0766-66888866"}
	}
	if digits(text) == 0 {
		return words{"has no digits 0-9: a phone_number accepts digits and symbols, such as +86-0766-66888866", "没有数字 0-9：phone_number 只接受数字和符号，例如 +86-0766-66888866"}
	}
	return words{}
}

// amountPattern: at most one currency sign, up to 12 digits with or without commas,
// decimals, and 元.
var amountPattern = regexp.MustCompile(`^-?\p{Sc}?\s?-?([0-9][0-9,]*)(\.[0-9]+)?\s?元?$`)

func amountForm(text string) words {
	if isPlainAmount(text) {
		return words{}
	}
	m := amountPattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return words{"is not an amount: write digits with optional decimals, currency sign or 元, such as ¥100.21", "不是金额：请写数字，可带小数、货币符号或“元”，例如 ¥100.21"}
	}
	if digits(m[1]) > 12 {
		return words{"has more than 12 digits before the decimals", "整数部分超过 12 位"}
	}
	return words{}
}

// isPlainAmount reports the commonest form, such as ¥100.21, which costs a tenth of
// the pattern.
func isPlainAmount(text string) bool {
	yuan, cents, decimals := strings.Cut(strings.TrimPrefix(text, "¥"), ".")
	return yuan != "" && len(yuan) <= 12 && digits(yuan) == len(yuan) && (!decimals || cents != "" && digits(cents) == len(cents))
}

// Times as documented: 2019年10月1日 15:01, 15:01, 2019-10-01 15:01:02, and two
// of them joined by ~.
var timePattern = regexp.MustCompile(`^(?:(?:([0-9]{4})\s*[年/.-]\s*)?([0-9]{1,2})\s*[月/.-]\s*([0-9]{1,2})\s*日?)?` +
	`\s*(?:([0-9]{1,2})\s*[:：时点]\s*(?:([0-9]{1,2})\s*(?:分|[:：]\s*([0-9]{1,2}))?\s*秒?)?)?$`)

var monthPattern = regexp.MustCompile(`^([0-9]{4})\s*[年/.-]\s*([0-9]{1,2})\s*月?$`)

func notATime() words {
	return words{
		"is not a time: use the 24-hour clock, such as 2019年10月1日 15:01, 15:01, 2019-10-01 15:01:02, or two of them joined by ~",
		"不是时间：请用 24 小时制，例如 2019年10月1日 15:01、15:01、2019-10-01 15:01:02，或用 ~ 连接的两个时间",
	}
}

func notADate() words {
	return words{
		"is not a date: write year, month and day, such as 2019年10月1日 or 2019-10-01, with a time or without, or two of them joined by ~",
		"不是日期：请写年、月、日，例如 2019年10月1日 或 2019-10-01，可带时间，或用 ~ 连接的两个日期",
	}
}

func timeForm(text string) words { return rangeForm(text, false, notATime()) }

func dateForm(text string) words { return rangeForm(text, true, notADate()) }

// rangeForm accepts a moment, or two joined by ~. With needsDate the first one has
// a date.
func rangeForm(text string, needsDate bool, advice words) words {
	parts := strings.Split(strings.ReplaceAll(text, "～", "~"), "~")
	if len(parts) > 2 {
		return advice
	}
	for i, part := range parts {
		if fault := momentFault(strings.TrimSpace(part), needsDate && i == 0, advice); fault.en != "" {
			return fault
		}
	}
	return words{}
}

func momentFault(text string, needsDate bool, advice words) words {
	if isPlainTime(text) {
		return words{}
	}
	if m := monthPattern.FindStringSubmatch(text); m != nil {
		if inRange(m[2], 1, 12) {
			return words{}
		}
		return words{"has a month that does not exist", "月份不存在"}
	}
	m := timePattern.FindStringSubmatch(text)
	switch {
	case m == nil || text == "" || needsDate && m[3] == "":
		return advice
	case !isDay(m[1], m[2], m[3]):
		return words{"has a day that does not exist", "日期不存在"}
	case !inRange(m[4], 0, 24) || !inRange(m[5], 0, 59) || !inRange(m[6], 0, 59),
		inRange(m[4], 24, 24) && m[4] != "" && (!inRange(m[5], 0, 0) || !inRange(m[6], 0, 0)): // 24:00 is the end of a day
		return words{"has a time that does not exist: use the 24-hour clock", "时间不存在：请用 24 小时制"}
	default:
		return words{}
	}
}

// isDay is true without a day. Without a year, February has 29 days.
func isDay(year, month, day string) bool {
	if day == "" {
		return true
	}
	if !inRange(month, 1, 12) || !inRange(day, 1, 31) {
		return false
	}
	y, _ := strconv.Atoi(cmp.Or(year, "2000"))
	m, _ := strconv.Atoi(month)
	d, _ := strconv.Atoi(day)
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Day() == d
}

// isPlainTime reports the commonest form, 2019-10-01 15:01 with or without seconds,
// which costs a tenth of the patterns.
func isPlainTime(text string) bool {
	const short, form = len("2019-10-01 15:01"), "0000-00-00 00:00:00"
	if len(text) != short && len(text) != len(form) {
		return false
	}
	for i := range len(text) {
		if text[i] != form[i] && (form[i] != '0' || !isDigit(text[i])) {
			return false
		}
	}
	seconds := strings.TrimPrefix(text[short:], ":")
	return isDay(text[:4], text[5:7], text[8:10]) &&
		inRange(text[11:13], 0, 23) && inRange(text[14:16], 0, 59) && inRange(seconds, 0, 59)
}

// inRange is true for a missing part.
func inRange(digits string, low, high int) bool {
	if digits == "" {
		return true
	}
	n, err := strconv.Atoi(digits)
	return err == nil && low <= n && n <= high
}
