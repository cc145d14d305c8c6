package console

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

// parse reads a drawing and returns the rectangles of a class: x, y, width, height.
func parse(t *testing.T, svg, class string) (list [][4]float64) {
	t.Helper()
	for in := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("%v: %s", err, svg)
		}
		element, ok := token.(xml.StartElement)
		if !ok || element.Name.Local != "rect" {
			continue
		}
		var r [4]float64
		found := false
		for _, a := range element.Attr {
			for i, name := range []string{"x", "y", "width", "height"} {
				if a.Name.Local == name {
					if _, err := fmt.Sscan(a.Value, &r[i]); err != nil {
						t.Fatal(err)
					}
				}
			}
			found = found || a.Name.Local == "class" && a.Value == class
		}
		if found {
			list = append(list, r)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 0.2 }

// Columns stand on each other, in their places, and none leaves the drawing.
func TestColumnsAreStackedToScale(t *testing.T) {
	t.Parallel()
	good, bad := make([]int64, 24), make([]int64, 24)
	good[0], bad[0], good[23] = 30, 10, 20 // the scale ends at 40
	svg := string(columns("a <title>", []series{{"c-good", good}, {"c-bad", bad}}, map[int]string{0: "00"}, &mark{12, "half"}))
	greens, reds := parse(t, svg, "c-good"), parse(t, svg, "c-bad")
	if len(greens) != 2 || len(reds) != 1 {
		t.Fatalf("got %v and %v", greens, reds)
	}
	if !near(greens[0][3], plotHeight*0.75) || !near(reds[0][3], plotHeight*0.25) || !near(greens[1][3], plotHeight*0.5) {
		t.Errorf("heights %v and %v", greens, reds)
	}
	if !near(reds[0][1]+reds[0][3], greens[0][1]) || !near(reds[0][1], plotTop) || !near(greens[1][1]+greens[1][3], plotTop+plotHeight) {
		t.Errorf("not on each other: %v and %v", greens, reds)
	}
	if greens[0][0] < plotLeft || greens[1][0]+greens[1][2] > chartWidth {
		t.Errorf("outside: %v", greens)
	}
	if strings.Contains(svg, "<title>") || !strings.Contains(svg, ">half</text>") || !strings.Contains(svg, fmt.Sprintf("M%.1f ", plotLeft+(chartWidth-plotLeft)/2.0)) {
		t.Errorf("title or mark: %s", svg)
	}
}

// A chart of nothing, of one and of very much is a drawing, too.
func TestChartsTakeAnyNumber(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, 2, 3, 999, 123_456_789, math.MaxInt64 / 4} {
		svg := string(columns("t", []series{{"c-good", []int64{n}}}, nil, nil)) + string(bars("t", []bar{{"c-bad", "失败", n}, {"c-good", "x", 0}}))
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, `="-`) {
			t.Errorf("%d: %s", n, svg)
		}
		for _, class := range []string{"c-good", "c-bad"} {
			for _, r := range parse(t, "<svg>"+svg+"</svg>", class) {
				if r[0]+r[2] > chartWidth || r[3] > plotHeight+0.1 {
					t.Errorf("%d: outside: %v", n, r)
				}
			}
		}
	}
}

func TestTheScaleIsRound(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]int64{1: 1, 2: 2, 3: 4, 5: 6, 9: 10, 11: 20, 39: 40, 41: 60, 100_001: 200_000} {
		if got := roundUp(n); got != want {
			t.Errorf("%d: %d, want %d", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 9999: "9999", 10_000: "10k", 2_000_000: "2.0M", 40_000_000: "40M"} {
		if got := shortNumber(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
