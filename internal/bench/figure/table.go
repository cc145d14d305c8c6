package figure

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// Row is one measure beside what it is compared with.
type Row struct {
	Number  string // of the goal: P1
	Measure string // with its unit
	Ours    float64
	With    string  // what it is compared with; empty: nothing
	Theirs  float64 // NaN: nothing
	Ratio   float64 // ours to theirs; NaN: the goal is for Ours
	Goal    Goal
}

// Judged is the figure that the goal is about.
func (r Row) Judged() float64 {
	if math.IsNaN(r.Ratio) {
		return r.Ours
	}
	return r.Ratio
}

func (r Row) cells() []string {
	with := r.With
	if !math.IsNaN(r.Theirs) {
		with += " " + Number(r.Theirs)
	}
	if with == "" {
		with = "–"
	}
	return []string{r.Number, r.Measure, Number(r.Ours), with, Number(r.Ratio), r.Goal.String(), r.Goal.Met(r.Judged())}
}

// Write prints the rows under a head, in aligned columns.
func Write(w io.Writer, rows []Row) error {
	lines := [][]string{{"goal", "measure", "wxnotify", "compared with", "ratio", "bound", "met?"}}
	for _, r := range rows {
		lines = append(lines, r.cells())
	}
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var out strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 2 || i == 4 { // numbers stand right
				cell, pad = pad+cell, ""
			}
			out.WriteString(cell + pad + "  ")
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(out.String(), " ")); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	return nil
}
