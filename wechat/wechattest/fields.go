package wechattest

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// checkFields compares the message with the template's keys and their types
// (wechat docs: 类目模板, 参数值限制说明). It returns the errcode and WeChat's
// wording, which names the first key at fault.
func (t *template) checkFields(m *message) (wechat.Code, string) {
	for _, line := range t.lines {
		value := m.value(line.Key)
		kind := fieldKind(line.Key)
		switch {
		case kind == "":
			continue // a historic key: cut on display, never refused
		case kind == "const" && value == "" && t.Const[line.Key] != nil:
			continue // a const may be left empty
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

// fieldKind is the type in front of the key's number; empty for historic keys.
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
	case "thing", "const":
		return units(value) <= 20
	case "character_string":
		return units(value) <= 32 && only(value, isASCII)
	case "time", "date":
		return validTime(value)
	case "amount":
		return validAmount(value)
	case "phone_number":
		return units(value) <= 17 && only(value, isPhone)
	case "car_number":
		return units(value) <= 8
	case "number":
		return units(value) <= 32 && only(value, isDecimal)
	case "letter":
		return units(value) <= 32 && only(value, isLetter)
	case "symbol":
		return units(value) <= 5
	case "name":
		return units(value) <= 20 && (only(value, isASCII) || units(value) <= 10)
	case "phrase":
		return units(value) <= 5
	case "short_thing":
		return units(value) <= 10
	}
	return true
}

// units counts as UTF-16 does: an emoji is two, the stricter of the two
// readings that WeChat's page allows.
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

func isASCII(r rune) bool   { return r >= ' ' && r < 0x7F }
func isDigit(r rune) bool   { return r >= '0' && r <= '9' }
func isDecimal(r rune) bool { return isDigit(r) || r == '.' || r == '-' }
func isLetter(r rune) bool  { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func isPhone(r rune) bool   { return isASCII(r) && !isLetter(r) }

// validAmount takes one currency sign, up to 12 digits with decimals, and 元.
func validAmount(value string) bool {
	value = strings.TrimSuffix(value, "元")
	if r, size := utf8.DecodeRuneInString(value); unicode.Is(unicode.Sc, r) {
		value = value[size:]
	}
	whole, decimals, point := strings.Cut(value, ".")
	digits := len(whole) + len(decimals)
	return whole != "" && digits <= 12 && (!point || decimals != "") &&
		only(whole, isDigit) && only(decimals, isDigit)
}

// validTime takes a day, an hour, or both, and a range of two with ~.
func validTime(value string) bool {
	from, to, isRange := strings.Cut(value, "~")
	return validMoment(strings.TrimSpace(from)) && (!isRange || validMoment(strings.TrimSpace(to)))
}

func validMoment(s string) bool {
	s = strings.NewReplacer("年", "-", "月", "-", "日", " ", "/", "-", ".", "-").Replace(s)
	parts := strings.Fields(s)
	switch len(parts) {
	case 1:
		return validDay(parts[0]) || validHour(parts[0])
	case 2:
		return validDay(parts[0]) && validHour(parts[1])
	}
	return false
}

func validDay(s string) bool {
	n, ok := numbers(s, "-")
	switch {
	case !ok || len(n) < 2 || len(n) > 3:
		return false
	case len(n) == 2 && n[0] > 12: // 2019年10月
		return n[1] >= 1 && n[1] <= 12
	case len(n) == 2: // 10月1日
		n = append([]int{0}, n...)
	}
	return n[1] >= 1 && n[1] <= 12 && n[2] >= 1 && n[2] <= 31
}

func validHour(s string) bool {
	n, ok := numbers(strings.ReplaceAll(s, "：", ":"), ":")
	return ok && len(n) >= 2 && len(n) <= 3 && n[0] <= 24 && n[1] < 60 && (len(n) == 2 || n[2] < 60)
}

// numbers reads the numbers of up to four digits between separators; one
// separator at the end is allowed, as after 10月.
func numbers(s, separator string) ([]int, bool) {
	var list []int
	for part := range strings.SplitSeq(strings.TrimSuffix(s, separator), separator) {
		if part == "" || len(part) > 4 || !only(part, isDigit) {
			return nil, false
		}
		n := 0
		for _, d := range part {
			n = n*10 + int(d-'0')
		}
		list = append(list, n)
	}
	return list, true
}
