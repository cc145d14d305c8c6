package main

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/width"
)

// Columns of Chinese, Latin and mixed cells begin at the same column of a terminal.
func TestTableAlignsChinese(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	w := newTable(&out)
	for _, row := range [][3]string{{"类别", "待发", "|"}, {"critical", "10", "|"}, {"id", "状态 rejected", "|"}, {"", "（无）", "|"}, {"¥…é", "x", "|"}} {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	check(t, w.Flush())
	for line := range strings.Lines(out.String()) {
		columns := 0
		for _, r := range line[:strings.Index(line, "|")] {
			columns++
			if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
				columns++
			}
		}
		if want := len("critical") + 2 + len("xxxx rejected") + 2; columns != want {
			t.Errorf("%q: the last cell begins at column %d, want %d", line, columns, want)
		}
		if strings.Contains(line, "\x00") {
			t.Errorf("%q has a filler", line)
		}
	}
}
