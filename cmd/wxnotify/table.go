package main

import (
	"bytes"
	"io"
	"text/tabwriter"

	"golang.org/x/text/width"
)

// table aligns cells that tabs end, as text/tabwriter does, and counts a Chinese
// character as the two columns that it takes in a terminal.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer) table {
	return table{tabwriter.NewWriter(withoutFillers{out}, 0, 4, 2, ' ', 0)}
}

// filler follows each character of two columns on its way through tabwriter, which
// counts characters. No text that is printed has it.
const filler = 0

// Write implements io.Writer.
func (t table) Write(p []byte) (int, error) {
	var wide bytes.Buffer
	for _, r := range string(p) {
		wide.WriteRune(r)
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			wide.WriteByte(filler)
		}
	}
	if _, err := t.Writer.Write(wide.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// withoutFillers removes the fillers.
type withoutFillers struct{ io.Writer }

// Write implements io.Writer.
func (w withoutFillers) Write(p []byte) (int, error) {
	if _, err := w.Writer.Write(bytes.ReplaceAll(p, []byte{filler}, nil)); err != nil {
		return 0, err //nolint:wrapcheck // of the program's own output
	}
	return len(p), nil
}

// texts are the names of a list of states or scopes.
func texts[T ~string](list []T) []string {
	names := make([]string, len(list))
	for i, name := range list {
		names[i] = string(name)
	}
	return names
}
