package console

import (
	"fmt"

	"github.com/wxnotify/wxnotify/wechat"
)

// words are the texts of one language by their English text. Nil: English.
type words map[string]string

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

// wordsOf are the texts of each language.
func wordsOf() map[wechat.Lang]words {
	return map[wechat.Lang]words{wechat.English: nil, wechat.Chinese: chineseTexts()}
}
