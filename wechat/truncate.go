package wechat

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

const ellipsis = "…"

// Truncate returns a copy of m in which every thing and short_thing value that is
// too long ends with an ellipsis within its limit, and the paths of these values.
// It does not change m, and returns m when nothing is too long. It does not
// truncate other types: a truncated order number, amount or time is wrong.
func Truncate(m *TemplateMessage) (*TemplateMessage, []string) {
	if m == nil {
		return nil, nil
	}
	var paths []string
	short := *m
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		prefix := strings.TrimRight(key, "0123456789")
		f := m.Data[key]
		limit := typeOf(key).limit
		if prefix != "thing" && prefix != "short_thing" || limit == 0 || units16(f.Value) <= limit {
			continue
		}
		if paths == nil {
			short.Data = maps.Clone(m.Data)
		}
		f.Value = truncateText(f.Value, limit)
		short.Data[key] = f
		paths = append(paths, keyPath(key)+".value")
	}
	if paths == nil {
		return m, nil
	}
	return &short, paths
}

// truncateText cuts between visible characters: never between a letter and its
// accent, nor inside a joined emoji.
func truncateText(text string, limit int) string {
	runes := []rune(text)
	end, units := 0, len(ellipsis[:1])
	for end < len(runes) {
		units += units16(string(runes[end]))
		if units > limit {
			break
		}
		end++
	}
	for end > 0 && (isJoined(runes[end]) || runes[end-1] == zeroWidthJoiner) {
		end--
	}
	return strings.TrimRightFunc(string(runes[:end]), unicode.IsSpace) + ellipsis
}

const zeroWidthJoiner = '\u200D'

// isJoined reports whether r is a part of the character before it.
func isJoined(r rune) bool {
	return r == zeroWidthJoiner || unicode.Is(unicode.M, r) || 0xFE00 <= r && r <= 0xFE0F || 0x1F3FB <= r && r <= 0x1F3FF
}
