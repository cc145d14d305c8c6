package figure_test

import (
	"math"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{1, 1000, 2}, 2},
	} {
		before := append([]float64(nil), tc.values...)
		if got := figure.Median(tc.values); got != tc.want {
			t.Errorf("Median(%v) = %v, want %v", tc.values, got, tc.want)
		}
		for i := range before {
			if tc.values[i] != before[i] {
				t.Errorf("Median sorted its argument: %v", tc.values)
			}
		}
	}
	if got := figure.Median(nil); !math.IsNaN(got) {
		t.Errorf("Median of nothing = %v", got)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for share, want := range map[float64]float64{0.5: 50, 0.99: 99, 1: 100, 0: 1} {
		if got := figure.Percentile(hundred, share); got != want {
			t.Errorf("Percentile(1..100, %v) = %v, want %v", share, got, want)
		}
	}
	if got := figure.Percentile([]float64{7, 8}, 0.99); got != 8 {
		t.Errorf("the 0.99 of two is the larger, got %v", got)
	}
	if got := figure.Percentile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	// A slow third round hits both sides and does not move the ratio, whereas
	// the ratio of the medians would be 1.5.
	if got := figure.Ratio([]float64{20, 30, 10}, []float64{10, 15, 5}); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if got := figure.Ratio([]float64{3, 1, 100}, []float64{1, 0, 50}); got != 2.5 {
		t.Errorf("a round without a ratio counts: got %v, want 2.5", got)
	}
	if got := figure.Ratio(nil, []float64{1}); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestGoal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		goal  figure.Goal
		value float64
		want  string
	}{
		{figure.AtLeast(1), 1, "yes"},
		{figure.AtLeast(1), 0.99, "no"},
		{figure.AtMost(0.05), 0.05, "yes"},
		{figure.AtMost(0.05), 0.06, "no"},
		{figure.AtMost(1), math.NaN(), "–"},
		{figure.Goal{}, 5, "–"},
	} {
		if got := tc.goal.Met(tc.value); got != tc.want {
			t.Errorf("%v of %v: got %q, want %q", tc.goal, tc.value, got, tc.want)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		1234567: "1 234 567", 999.6: "1000", 123: "123", 12.34: "12.3", 1.234: "1.23", 0.0123: "0.012", 0: "0", -4321: "-4 321",
	} {
		if got := figure.Number(v); got != want {
			t.Errorf("Number(%v) = %q, want %q", v, got, want)
		}
	}
	if got := figure.Number(math.NaN()); got != "–" {
		t.Errorf("NaN: %q", got)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	none := math.NaN()
	err := figure.Write(&out, []figure.Row{
		{Number: "P1", Measure: "messages/s", Ours: 9500, With: "bare asynq", Theirs: 10000, Ratio: 0.95, Goal: figure.AtLeast(1)},
		{Number: "P8", Measure: "p99, ms", Ours: 12, Theirs: none, Ratio: none, Goal: figure.AtMost(50)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `goal  measure     wxnotify  compared with      ratio  bound  met?
P1    messages/s     9 500  bare asynq 10 000   0.95  ≥ 1    no
P8    p99, ms         12.0  –                      –  ≤ 50   yes
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
