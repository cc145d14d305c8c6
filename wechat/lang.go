package wechat

import "fmt"

// Lang is a language of the texts that people read: remedies, faults, meanings.
// Codes, names and states are the same in every language.
type Lang string

// The languages. Any other value, the empty one too, reads as English.
const (
	English Lang = "en"
	Chinese Lang = "zh"
)

// Choose returns the text in this language.
func (l Lang) Choose(en, zh string) string {
	if l == Chinese {
		return zh
	}
	return en
}

// words is a text in each language.
type words struct{ en, zh string }

func (w words) in(lang Lang) string { return lang.Choose(w.en, w.zh) }

// with fills in args: those of English and Chinese are the same, in the same order.
func (w words) with(args ...any) words {
	return words{fmt.Sprintf(w.en, args...), fmt.Sprintf(w.zh, args...)}
}
