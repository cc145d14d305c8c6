package wechat

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths above which WeChat may not show a value in full.
const (
	historicShown   = 20
	shortThingShown = 10
)

// templateIDLength is the length of all template ids seen so far. WeChat does not
// document it.
const templateIDLength = 43

// The form of all openids and appids seen so far. WeChat does not document it.
const openIDLength = 28

var appIDForm = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

// Warnings lists what WeChat accepts but does not show as written, and what it may
// refuse: an openid, a template id or an appid of another form than WeChat's. The keys first,
// keyword1 and remark belong to historic templates, which still work but are shown
// in part. Docs: the notices of 2023-03-24 and 2023-05-04.
func (m *TemplateMessage) Warnings() []Fault {
	if m == nil {
		return nil
	}
	var warnings []Fault
	if (len(m.ToUser) != openIDLength || m.ToUser[0] != 'o') && isToken(m.ToUser, openIDLimit) {
		warnings = append(warnings, newFault("touser", WarnOpenID))
	}
	if len(m.TemplateID) != templateIDLength && isToken(m.TemplateID, templateIDLimit) {
		warnings = append(warnings, newFault("template_id", WarnTemplateID))
	}
	if p := m.MiniProgram; p != nil && !appIDForm.MatchString(p.AppID) && isToken(p.AppID, appIDLimit) {
		warnings = append(warnings, newFault("miniprogram.appid", WarnMiniProgram))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		warnings = append(warnings, fieldWarnings(key, m.Data[key])...)
	}
	return warnings
}

func fieldWarnings(key string, f Field) []Fault {
	var warnings []Fault
	path := keyPath(key)
	warn := func(code FaultCode, at string) { warnings = append(warnings, newFault(at, code)) }
	switch {
	case key == "first" || key == "remark":
		if f.Value != "" {
			warn(WarnHistoricHidden, path)
		}
	case isHistoric(key) && shownLength(f.Value) > historicShown:
		warn(WarnHistoricCut, path+".value")
	case strings.HasPrefix(key, "short_thing") && units16(f.Value) > shortThingShown:
		warn(WarnShortThing, path+".value")
	}
	if strings.ContainsAny(f.Value, "\n\r\u2028\u2029") {
		warn(WarnLineBreak, path+".value")
	}
	if strings.ContainsFunc(f.Value, isEmoji) {
		warn(WarnEmoji, path+".value")
	}
	if strings.ContainsAny(f.Value, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") {
		warn(WarnDirection, path+".value")
	}
	if f.Color != "" {
		warn(WarnColor, path+".color")
	}
	return warnings
}

// shownLength counts the characters of a historic keyword as WeChat does for
// display: a run of ASCII letters and digits is one.
func shownLength(text string) int {
	n, inRun := 0, false
	for _, r := range text {
		run := r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
		if !run || !inRun {
			n++
		}
		inRun = run
	}
	return n
}

// isEmoji reports whether r is in a Unicode block of emoji. It does not include
// every symbol that some fonts show in colour.
func isEmoji(r rune) bool {
	switch {
	case 0x1F000 <= r && r <= 0x1FAFF, 0x2600 <= r && r <= 0x27BF: // pictures, dingbats
		return true
	case r == 0x231A, r == 0x231B, 0x23E9 <= r && r <= 0x23FA: // watches, buttons of players
		return true
	case r == 0x2B1B, r == 0x2B1C, r == 0x2B50, r == 0x2B55: // squares, star, circle
		return true
	default:
		return r == 0xFE0F || r == 0x20E3 // marks that turn the character before them into an emoji
	}
}
