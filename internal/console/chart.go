package console

import (
	"fmt"
	"html"
	"html/template"
	"slices"
	"strconv"
	"strings"
)

// A chart is an SVG that the server draws, in the colours of the style sheet. A table of
// the same numbers is beside each.

// series are the values of one colour, one for each column.
type series struct {
	class  string // of the style sheet
	values []int64
}

// mark is a line across the columns at a place between 0 and their number.
type mark struct {
	at   float64
	text string
}

const (
	chartWidth  = 360
	plotLeft    = 44 // room for the numbers of the scale
	plotTop     = 14
	plotHeight  = 104
	chartHeight = plotTop + plotHeight + 18 // and for the labels below
	rowHeight   = 26                        // of bars
	barLeft     = 112
)

// columns draws series as stacked columns. ticks label columns; m may be nil.
func columns(title string, list []series, ticks map[int]string, m *mark) template.HTML {
	n, top := len(list[0].values), int64(1)
	sums := make([]int64, n)
	for _, s := range list {
		for i, v := range s.values {
			sums[i] += v
			top = max(top, sums[i])
		}
	}
	top = roundUp(top)
	x := func(i float64) float64 { return plotLeft + (chartWidth-plotLeft)*i/float64(n) }
	y := func(v int64) float64 { return plotTop + plotHeight*(1-float64(v)/float64(top)) }
	var out strings.Builder
	open(&out, title, chartHeight)
	for _, v := range slices.Compact([]int64{0, top / 2, top}) {
		fmt.Fprintf(&out, `<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" class="end">%s</text>`,
			plotLeft, y(v), chartWidth, plotLeft-5, y(v)+4, shortNumber(v))
	}
	below := make([]int64, n)
	for _, s := range list {
		for i, v := range s.values {
			if v > 0 {
				fmt.Fprintf(&out, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
					s.class, x(float64(i))+1, y(below[i]+v), x(1)-x(0)-2, y(below[i])-y(below[i]+v))
			}
			below[i] += v
		}
	}
	for i := range n {
		if label := ticks[i]; label != "" {
			fmt.Fprintf(&out, `<text x="%.1f" y="%d">%s</text>`, x(float64(i)), chartHeight-4, html.EscapeString(label))
		}
	}
	if m != nil {
		anchor := "end"
		if m.at < float64(n)/2 {
			anchor = "start"
		}
		fmt.Fprintf(&out, `<path class="mark" d="M%.1f %dV%d"/><text x="%.1f" y="%d" class="%s marked">%s</text>`,
			x(m.at), plotTop, plotTop+plotHeight, x(m.at)+map[string]float64{"end": -4, "start": 4}[anchor], plotTop-3, anchor, html.EscapeString(m.text))
	}
	return template.HTML(out.String() + "</svg>") //nolint:gosec // texts are escaped, classes are ours
}

// bar is one row of bars.
type bar struct {
	Class string // of the style sheet
	Text  string
	Value int64
}

// bars draws values as horizontal bars below each other, with their numbers.
func bars(title string, list []bar) template.HTML {
	top := int64(1)
	for _, b := range list {
		top = max(top, b.Value)
	}
	var out strings.Builder
	open(&out, title, rowHeight*len(list))
	const width = chartWidth - barLeft - 56 // room for the number
	for i, b := range list {
		length := width * float64(b.Value) / float64(top)
		if b.Value > 0 {
			length = max(length, 2)
		}
		fmt.Fprintf(&out, `<text x="%d" y="%d" class="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/><text x="%.1f" y="%d">%s</text>`,
			barLeft-8, rowHeight*i+17, html.EscapeString(b.Text), b.Class, barLeft, rowHeight*i+4, length, rowHeight-8,
			barLeft+length+6, rowHeight*i+17, grouped(strconv.FormatInt(b.Value, 10)))
	}
	return template.HTML(out.String() + "</svg>") //nolint:gosec // as above
}

// open begins a drawing that scales with its place on the page.
func open(out *strings.Builder, title string, height int) {
	fmt.Fprintf(out, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, height, html.EscapeString(title))
}

// roundUp is the next of 1, 2, 4, 6, 8, 10, 20 and so on: half of it is whole from 2.
func roundUp(n int64) int64 {
	for scale := int64(1); ; scale *= 10 {
		for _, step := range []int64{1, 2, 4, 6, 8} {
			if step*scale >= n || step*scale == 8e18 {
				return step * scale
			}
		}
	}
}

// shortNumber has at most five characters.
func shortNumber(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return strconv.FormatInt(n, 10)
}
