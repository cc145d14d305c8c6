package main

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/cost"
)

func TestMedianIsTheMiddle(t *testing.T) {
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
		before := slices.Clone(tc.values)
		if got := median(tc.values); got != tc.want {
			t.Errorf("median(%v) = %v, want %v", tc.values, got, tc.want)
		}
		if !slices.Equal(before, tc.values) {
			t.Errorf("median sorted its argument: %v", tc.values)
		}
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for share, want := range map[float64]float64{0.5: 50, 0.99: 99, 1: 100, 0: 1} {
		if got := percentile(hundred, share); got != want {
			t.Errorf("percentile(1..100, %v) = %v, want %v", share, got, want)
		}
	}
	if got := percentile([]float64{7, 8}, 0.99); got != 8 {
		t.Errorf("the 0.99 of two is %v, want the larger", got)
	}
}

// A slow third round is in both figures and does not move the ratio.
func TestRatioIsTheMedianOfTheRounds(t *testing.T) {
	t.Parallel()
	jobs := []job{{Build: "ours"}, {Build: "x"}, {Build: "bare", Label: "bare, slow"}}
	measured := [][]reading{{{rate: 20}, {rate: 30}, {rate: 10}}, nil, {{rate: 10}, {rate: 15}, {rate: 5}}}
	got := figure{"P1", "messages/s", 2, "≥ 1.1", rate}.row(jobs, measured)
	if want := (row{"P1", "messages/s", 20, "bare, slow", 10, 2, "≥ 1.1", jobs[0]}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if alone := (figure{"P1", "messages/s", 0, "≥ 9", rate}).row(jobs, measured); alone.with != "" || alone.ours != 20 || alone.met() != "yes" {
		t.Errorf("got %+v", alone)
	}
}

func TestRowIsMetByItsRatioOrByItself(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		row  row
		want string
	}{
		{row{bound: "≥ 1", ours: 1}, "yes"},
		{row{bound: "≥ 1", ours: 0.99}, "no"},
		{row{bound: "≤ 0.05", ours: 0.05}, "yes"},
		{row{bound: "≤ 0.05", ours: 0.06}, "no"},
		{row{bound: "≥ 1", ours: 9000, with: "bare", ratio: 0.9}, "no"},
		{row{bound: "≤ 1", ours: 9000, with: "bare", ratio: 0.9}, "yes"},
		{row{bound: "≤ 1", ours: math.NaN()}, "no"},
		{row{ours: 5}, "–"},
	} {
		if got := tc.row.met(); got != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.row, got, tc.want)
		}
	}
}

func TestRowsAreLinesOfATable(t *testing.T) {
	t.Parallel()
	spaces := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	for want, r := range map[string]row{
		"| P1 | messages/s | 9500 | bare: 10000 | 0.95 | ≥ 1.1 | no |": {
			goal: "P1", measure: "messages/s", ours: 9500, with: "bare", theirs: 10000, ratio: 0.95, bound: "≥ 1.1",
		},
		"| P8 | p99, ms | 12 | – | – | ≤ 20 | yes |": {goal: "P8", measure: "p99, ms", ours: 12, bound: "≤ 20"},
		"| P0 | CPU µs | 0.5 | – | – | – | – |":      {goal: "P0", measure: "CPU µs", ours: 0.5},
	} {
		if got := spaces(r.String()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestNumberHasThreeDigits(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		1234567: "1234567", 999.6: "1000", 999.4: "999", 123: "123", 12.34: "12.3", 1.234: "1.23", 0.0123: "0.0123", 0: "0", -4321: "-4321",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestOthersIsWhatWeDidNotUse(t *testing.T) {
	t.Parallel()
	from := load{Time: cost.Time{Busy: 1, Idle: 8}, own: 1}
	till := load{Time: cost.Time{Busy: 3, Idle: 11}, own: 2.5} // of the 2 s that were not idle
	if got := from.others(till); got != 0.1 {
		t.Errorf("others used %v, want 0.1", got)
	}
	if got := from.others(from); got != 0 {
		t.Errorf("no time has passed: %v", got)
	}
}

func TestGoalsAreInThePlanOnce(t *testing.T) {
	t.Parallel()
	want := strings.Fields("P0 P1 P2 P3 P4 P4b P5 P6 P7 P8 P8b P9 P10 P11 P12 P13 P14 P15 P16 P17 P18 P19")
	got := goals()
	if len(got) != len(want) {
		t.Errorf("goals %v", got)
	}
	for _, goal := range want {
		if !slices.Contains(got, goal) {
			t.Errorf("%s is not measured", goal)
		}
	}
}
