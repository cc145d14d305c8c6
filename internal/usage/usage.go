// Package usage has the errors of wrong usage and wrong configuration, which end the
// program with exit code 2, and what their texts may show of what was typed.
package usage

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

type wrongUsage struct{ error }

// Unwrap returns the cause.
func (e wrongUsage) Unwrap() error { return e.error }

// Wrap makes wrong usage of err, which is not nil: the caller can mend it, and a repetition
// cannot. The text stays.
func Wrap(err error) error { return wrongUsage{err} }

// Errorf is Wrap of fmt.Errorf.
func Errorf(format string, args ...any) error { return Wrap(fmt.Errorf(format, args...)) }

// Is reports whether err is, or wraps, wrong usage.
func Is(err error) bool {
	_, is := errors.AsType[wrongUsage](err)
	return is
}

// Quote shows a short text. A longer one, and a word of eight or more characters that
// mixes letters and digits, may be a secret in the wrong place.
func Quote(text string) string {
	const longest, shortestSecret = 24, 8
	letters, digits := strings.IndexFunc(text, unicode.IsLetter) >= 0, strings.ContainsAny(text, "0123456789")
	if len(text) > longest || len(text) >= shortestSecret && letters && digits && !strings.Contains(text, " ") {
		return fmt.Sprintf("a text of %d bytes", len(text))
	}
	return strconv.Quote(text)
}

// Nearest returns the name that takes the fewest changes of a letter, the first
// by alphabet among equals.
func Nearest(name string, names iter.Seq[string]) string {
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
