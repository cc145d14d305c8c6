package wechat

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Preview is the card of a message as the follower sees it.
type Preview struct {
	// Lines in the order of the template; without the template's content, in the
	// order of the numbers in the keys.
	Lines []PreviewLine `json:"lines"`
	// Opens is what tapping the card opens: "miniprogram APPID PAGE" or the URL.
	// Empty: nothing.
	Opens string `json:"opens,omitempty"`
}

// PreviewLine is one line of the card.
type PreviewLine struct {
	Key string `json:"key"`
	// Label is the text before the placeholder in the template's content. Empty:
	// not known.
	Label string `json:"label,omitempty"`
	Text  string `json:"text"`
}

// Preview returns the card of m as WeChat shows it since 2023-05-04: without first
// and remark, without emoji and colours, in one line a key, with long values of
// historic keys cut. Content is Template.Content, which has the labels and the
// order; empty: not known. It does not call Validate.
func (m *TemplateMessage) Preview(content string) Preview {
	p := Preview{Lines: []PreviewLine{}}
	if m == nil {
		return p
	}
	keys, labels := linesOf(content)
	if len(keys) == 0 {
		keys = slices.SortedFunc(maps.Keys(m.Data), byNumber)
	}
	for _, key := range keys {
		f, given := m.Data[key]
		if key == "first" || key == "remark" || !given {
			continue
		}
		p.Lines = append(p.Lines, PreviewLine{Key: key, Label: labels[key], Text: shownText(key, f.Value)})
	}
	switch mini := m.MiniProgram; {
	case mini != nil && *mini != MiniProgram{}:
		p.Opens = strings.TrimSpace("miniprogram " + mini.AppID + " " + mini.PagePath)
	default:
		p.Opens = m.URL
	}
	return p
}

// linePattern is a placeholder and the text before it in its line. Copies of WeChat's
// pages have placeholders with spaces.
var linePattern = regexp.MustCompile(`([^\n{}]*?)[:：]?\s*\{\s*\{\s*([A-Za-z_][A-Za-z0-9_]*)\.DATA\s*\}\s*\}`)

func linesOf(content string) (keys []string, labels map[string]string) {
	labels = map[string]string{}
	for _, found := range linePattern.FindAllStringSubmatch(content, -1) {
		if key := found[2]; !slices.Contains(keys, key) {
			keys, labels[key] = append(keys, key), strings.TrimSpace(found[1])
		}
	}
	return keys, labels
}

// byNumber sorts thing1, time2, thing10; keys without a number come first.
func byNumber(a, b string) int {
	number := func(key string) int {
		n, _ := strconv.Atoi(key[len(strings.TrimRight(key, "0123456789")):])
		return n
	}
	return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a, b))
}

func shownText(key, value string) string {
	shown := strings.Map(func(r rune) rune {
		switch {
		case isEmoji(r) || r == zeroWidthJoiner:
			return -1
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return ' '
		default:
			return r
		}
	}, value)
	if isHistoric(key) && shownLength(shown) > historicShown {
		shown = cutShown(shown, historicShown)
	}
	return strings.TrimSpace(shown)
}

// cutShown keeps the first characters, counted by shownLength.
func cutShown(text string, limit int) string {
	kept := 0
	for end := range text {
		if shownLength(text[:end]) > limit {
			break
		}
		kept = end
	}
	return strings.TrimRightFunc(text[:kept], unicode.IsSpace) + ellipsis
}
