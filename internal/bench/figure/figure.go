// Package figure is the arithmetic of a benchmark: medians, ratios of runs that
// stood side by side, and a table of goals.
package figure

import (
	"math"
	"slices"
	"strconv"
)

// Median is the middle of values, the mean of the two middle ones when their
// number is even, and NaN when there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Percentile is the smallest value that share of all values, 0 to 1, do not
// exceed (nearest rank); NaN when there are none. The 0.99 of fewer than 100
// values is their largest.
func Percentile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Ratio is the median of a[i]/b[i]: both were measured in round i, so what slowed
// the machine in that round is in both. Rounds without a finite ratio do not
// count; NaN when none is left.
func Ratio(a, b []float64) float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if r := a[i] / b[i]; !math.IsNaN(r) && !math.IsInf(r, 0) {
			ratios = append(ratios, r)
		}
	}
	return Median(ratios)
}

// Goal is a bound that a figure should keep. The zero value is none.
type Goal struct {
	sign  string
	bound float64
}

// AtLeast is met from bound up.
func AtLeast(bound float64) Goal { return Goal{"≥", bound} }

// AtMost is met up to bound.
func AtMost(bound float64) Goal { return Goal{"≤", bound} }

func (g Goal) String() string {
	if g.sign == "" {
		return "–"
	}
	return g.sign + " " + strconv.FormatFloat(g.bound, 'f', -1, 64)
}

// Met says yes, no, or – when there is no goal or nothing was measured.
func (g Goal) Met(value float64) string {
	switch {
	case g.sign == "" || math.IsNaN(value):
		return "–"
	case g.sign == "≥" && value >= g.bound, g.sign == "≤" && value <= g.bound:
		return "yes"
	default:
		return "no"
	}
}

// Number writes a figure with three significant digits, thousands apart; – for NaN.
func Number(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case size >= 1000:
		return thousands(int64(math.Round(v)))
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size == 0:
		return "0"
	case size >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}
