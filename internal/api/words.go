package api

import (
	_ "embed" // the table

	"github.com/wxnotify/wxnotify/internal/locale"
)

//go:embed words.zh.txt
var chineseTable string

// chinese has our texts in Chinese: of a problem's detail, with the verbs of fmt in the
// same order, and of faults. A test compares it with the code.
//
//nolint:gochecknoglobals // never changed
var chinese = locale.ParseWords(chineseTable)
