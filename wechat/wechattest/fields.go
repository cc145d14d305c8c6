package wechattest

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// checkFields compares the message with the template's keys and their types
// (docs: 类目模板, 参数值限制说明). It returns the errcode and the errmsg, which
// names the first key at fault. It shares no code with package wechat, so that
// each tests the other.
func (t *template) checkFields(m *message) (wechat.Code, string) {
	for _, line := range t.lines {
		value := m.values[line.Key]
		kind := fieldKind(line.Key)
		switch {
		case kind == "":
			continue // a historic key, whose value WeChat does not check
		case kind == "const" && value == "":
			continue // must be an approved value or empty
		case strings.TrimSpace(value) == "":
			return 47003, "argument invalid! data." + line.Key + ".value is empty"
		case !validField(kind, value), !t.allowed(line.Key, value):
			return 47003, "argument invalid! data." + line.Key + ".value invalid"
		}
	}
	return 0, ""
}

func (t *template) allowed(key, value string) bool {
	list := t.Const[key]
	return list == nil || slices.Contains(list, value)
}

// fieldKind is the type, which comes before the key's number. Empty for historic
// keys.
func fieldKind(key string) string {
	kind := strings.TrimRight(key, "0123456789")
	if kind == key || kind == "keyword" {
		return ""
	}
	return kind
}

func validField(kind, value string) bool {
	if strings.ContainsFunc(value, unicode.IsControl) {
		return false
	}
	switch kind {
	case "thing", "const", "short_thing": // short_thing's limit is not documented
		return units(value) <= 20
	case "character_string":
		return units(value) <= 32 && !strings.ContainsFunc(value, isHan)
	case "time", "date":
		return validTime(value)
	case "amount":
		return validAmount(value)
	case "phone_number":
		return units(value) <= 17 && !strings.ContainsFunc(value, unicode.IsLetter)
	case "car_number":
		return units(value) <= 8
	case "number":
		return units(value) <= 32 && only(value, isDecimal)
	case "letter":
		return units(value) <= 32 && only(value, isLetter)
	case "symbol":
		return units(value) <= 5
	case "name": // 10 Chinese characters or 20 letters
		return halves(value) <= 20
	case "phrase": // 5 Chinese characters
		return halves(value) <= 10
	}
	return true
}

// halves counts a Chinese character as two.
func halves(s string) int {
	n := 0
	for _, r := range s {
		n++
		if isHan(r) || r > 0xFFFF {
			n++
		}
	}
	return n
}

func isHan(r rune) bool { return unicode.Is(unicode.Han, r) }

// units counts UTF-16 units: an emoji is two, the stricter of two readings of
// WeChat's page.
func units(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

func only(s string, ok func(rune) bool) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !ok(r) })
}

func isDigit(r rune) bool   { return r >= '0' && r <= '9' }
func isDecimal(r rune) bool { return isDigit(r) || r == '.' || r == '-' || r == '+' }
func isLetter(r rune) bool  { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// validAmount accepts one currency sign, up to 12 digits with or without commas,
// decimals, and 元.
func validAmount(value string) bool {
	value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "元"))
	value = strings.TrimPrefix(value, "-")
	if r, size := utf8.DecodeRuneInString(value); unicode.Is(unicode.Sc, r) {
		value = strings.TrimPrefix(strings.TrimSpace(value[size:]), "-")
	}
	whole, decimals, point := strings.Cut(value, ".")
	if whole == "" || !isDigit(rune(whole[0])) || point && decimals == "" {
		return false
	}
	whole = strings.ReplaceAll(whole, ",", "")
	return len(whole) <= 12 && only(whole, isDigit) && only(decimals, isDigit)
}

// validTime accepts a date, a time of day, or both, and a range of two with ~.
func validTime(value string) bool {
	from, to, isRange := strings.Cut(strings.ReplaceAll(value, "～", "~"), "~")
	return validMoment(strings.TrimSpace(from)) && (!isRange || validMoment(strings.TrimSpace(to)))
}

func validMoment(s string) bool {
	day, hour, both := strings.Cut(s, "日")
	if !both {
		day, hour, both = strings.Cut(s, " ")
	}
	if !both {
		return validDay(s) || validHour(s)
	}
	hour = strings.TrimSpace(hour)
	return validDay(day) && (hour == "" || validHour(hour))
}

func validDay(s string) bool {
	n, count := numbers(s, func(r rune) bool { return r == '-' || r == '/' || r == '.' || r == '年' || r == '月' })
	switch {
	case count == 2 && n[0] > 12: // 2019年10月
		return n[1] >= 1 && n[1] <= 12
	case count == 2: // 10月1日
		return n[0] >= 1 && n[1] >= 1 && n[1] <= 31
	}
	return count == 3 && n[1] >= 1 && n[1] <= 12 && n[2] >= 1 && n[2] <= 31
}

func validHour(s string) bool {
	n, count := numbers(s, func(r rune) bool { return strings.ContainsRune(":：时点分秒", r) })
	return n[0] <= 24 && n[1] < 60 && n[2] < 60 && (count >= 2 || count == 1 && !only(s, isDigit))
}

// numbers reads up to three numbers of up to four digits between separators. One
// separator may follow the last, as in 10月. The count is 0 when s has another
// form.
func numbers(s string, separator func(rune) bool) (n [3]int, count int) {
	digits := 0
	for _, r := range s {
		switch {
		case isDigit(r) && digits < 4 && count < 3:
			n[count] = n[count]*10 + int(r-'0')
			digits++
		case separator(r) && digits > 0:
			count, digits = count+1, 0
		default:
			return n, 0
		}
	}
	if digits > 0 {
		count++
	}
	return n, count
}
