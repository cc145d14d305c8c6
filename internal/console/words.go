package console

import (
	_ "embed" // the table
	"html/template"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/wechat"
)

// chineseTable has a line for each text: the English one, a tab, the Chinese one. A test
// compares it with the pages.
//
//go:embed words.zh.txt
var chineseTable string

// wordsOf are the texts of each language.
func wordsOf() map[wechat.Lang]locale.Words {
	return map[wechat.Lang]locale.Words{wechat.English: nil, wechat.Chinese: locale.ParseWords(chineseTable)}
}

// inPage is Say for pages: a time element among args stays an element.
func inPage(w locale.Words, english string, args ...any) any {
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
		return w.Say(english, args...)
	}
	return template.HTML(w.Say(english, escaped...)) //nolint:gosec // our texts, elements, and what was escaped
}
