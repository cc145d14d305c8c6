package locale

import (
	"fmt"
	"strings"
)

// Words are texts by their English text. Nil: each text is English.
type Words map[string]string

// ParseWords reads a table with a line for each text: the English one, a tab, the other.
func ParseWords(table string) Words {
	w := Words{}
	for line := range strings.Lines(table) {
		english, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		w[english] = text
	}
	return w
}

// Say is the text with args filled in; the English one where there is no other.
func (w Words) Say(english string, args ...any) string {
	text := english
	if other, known := w[english]; known {
		text = other
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}
