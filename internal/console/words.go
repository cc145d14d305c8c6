package console

import (
	_ "embed" // the table
	"fmt"
	"html/template"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// chineseTable has a line for each text: the English one, a tab, the Chinese one. A test
// compares it with the pages.
//
//go:embed words.zh.txt
var chineseTable string

// words are the texts of one language by their English text. Nil: English.
type words map[string]string

// wordsOf are the texts of each language.
func wordsOf() map[wechat.Lang]words {
	chinese := words{}
	for line := range strings.Lines(chineseTable) {
		english, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		chinese[english] = text
	}
	return map[wechat.Lang]words{wechat.English: nil, wechat.Chinese: chinese}
}

// say is the text with args filled in; the English one where there is no other.
func (w words) say(english string, args ...any) string {
	text := english
	if other, known := w[english]; known {
		text = other
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// inPage is say for pages: a time element among args stays an element.
func (w words) inPage(english string, args ...any) any {
	var elements bool
	escaped := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case template.HTML:
			escaped[i], elements = arg, true
		case string:
			escaped[i] = template.HTMLEscapeString(arg)
		default:
			escaped[i] = arg
		}
	}
	if !elements {
		return w.say(english, args...)
	}
	return template.HTML(w.say(english, escaped...)) //nolint:gosec // our texts, elements, and what was escaped
}
