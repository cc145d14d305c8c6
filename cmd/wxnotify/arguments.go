package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/wxnotify/wxnotify/internal/usage"
)

var errTwice = errors.New("given twice")

// once is the value of a flag that takes one value. pflag takes the last one of several:
// of two recipients the first would get nothing, without a word.
type once struct {
	pflag.Value

	set bool
}

// Set fails with errTwice when the flag has a value from the command line already.
func (o *once) Set(text string) error {
	if o.set {
		return errTwice
	}
	o.set = true
	return o.Value.Set(text) //nolint:wrapcheck // see flagFault
}

// takeOnce makes f refuse a second value, unless it takes several.
func takeOnce(f *pflag.Flag) {
	if _, several := f.Value.(pflag.SliceValue); !several {
		f.Value = &once{Value: f.Value}
	}
}

// emptyFlags refuses flags that are given without a text, where a script's variable is
// empty: a search by it would find everything. It also refuses durations below zero, which
// would mean none, or no end.
func emptyFlags(fs *pflag.FlagSet) error {
	var faults []error
	fs.Visit(func(f *pflag.Flag) {
		switch text := strings.TrimSpace(f.Value.String()); {
		case text == "" || text == "[]":
			faults = append(faults, fmt.Errorf("--%s is empty: give a value, or leave it out", f.Name))
		case f.Value.Type() == "duration" && strings.HasPrefix(text, "-"):
			faults = append(faults, fmt.Errorf("--%s: %s is below zero: give how long, such as 10m", f.Name, text))
		}
	})
	if len(faults) == 0 {
		return nil
	}
	return usage.Wrap(errors.Join(faults...))
}

// asksForJSON reports whether args ask for JSON, also behind a flag that is wrong and ended
// their parsing.
func asksForJSON(args []string) bool {
	for i, arg := range args {
		switch {
		case arg == "--":
			return false
		case arg == "json" && i > 0 && (args[i-1] == "-o" || args[i-1] == "--output"),
			arg == "--output=json", arg == "-o=json", arg == "-ojson":
			return true
		}
	}
	return false
}

// checkArguments refuses arguments that are not UTF-8: a terminal or a program writes
// another encoding. The text is not quoted, since it may be a person's.
func checkArguments(args []string) error {
	for i, arg := range args {
		if utf8.ValidString(arg) {
			continue
		}
		name := "an argument"
		if flag, _, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(flag, "--") && utf8.ValidString(flag) {
			name = flag
		} else if i > 0 && strings.HasPrefix(args[i-1], "--") && !strings.Contains(args[i-1], "=") {
			name = args[i-1]
		}
		return usage.Errorf("%s: is not UTF-8: set the terminal, or the program that calls wxnotify, to UTF-8; messages in another encoding are read by send --json FILE --encoding", name)
	}
	return nil
}
