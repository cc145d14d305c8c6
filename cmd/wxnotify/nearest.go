package main

import (
	"iter"
	"slices"
)

// nearest returns the name that takes the fewest changes of a letter, the first
// by alphabet among equals.
func nearest(name string, names iter.Seq[string]) string {
	best, least := "", -1
	for _, other := range slices.Sorted(names) {
		if d := distance(name, other); least < 0 || d < least {
			best, least = other, d
		}
	}
	return best
}

// distance is Levenshtein's: insertions, deletions and substitutions of bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
