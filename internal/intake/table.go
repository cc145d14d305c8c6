package intake

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// recordLimit is the longest line of a table in bytes, quoted line breaks included.
const recordLimit = 1 << 16

// Row is one line of a Table that is not empty.
type Row struct {
	Number int      // of its first line in the file, from 1
	Values []string // of the table's columns; empty where the line has fewer
	Err    error    // *wechat.InvalidError: the line cannot be used, the next ones can
}

// Table reads a CSV file with known columns, one line at a time: it keeps no more than
// one in memory.
type Table struct {
	columns    []string
	required   int
	places     []int // of each column in a line; -1: the file does not have it
	width      int   // of a line
	in         *csv.Reader
	meter      *recordMeter
	wasGB18030 bool
	line       int  // that was read last
	first      *Row // was read to look for a header
}

// NewTable begins to read. The first required columns must be in the file. If its first
// line has names of columns, it says their order; else they are in the order of columns. A
// byte order mark is skipped. An error continues a sentence that begins with the file's
// name, such as "is UTF-16: …".
func NewTable(in io.Reader, encoding string, columns []string, required int) (*Table, error) {
	text, wasGB18030, err := decoded(in, encoding)
	if err != nil {
		return nil, err
	}
	t := &Table{columns: columns, required: required, wasGB18030: wasGB18030, meter: &recordMeter{in: text}}
	t.in = csv.NewReader(t.meter)
	t.in.FieldsPerRecord = -1
	for i := range columns {
		t.places = append(t.places, i)
	}
	t.width = len(columns)
	return t, t.header()
}

// header reads the first line.
func (t *Table) header() error {
	cells, number, err := t.read()
	var invalid *wechat.InvalidError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("has no lines")
	case errors.As(err, &invalid):
		t.first = &Row{Number: number, Err: err}
		return nil
	case err != nil:
		return err
	}
	if len(cells) == 1 {
		if sign := strings.IndexAny(cells[0], ";\t|，；"); sign >= 0 {
			r, _ := utf8.DecodeRuneInString(cells[0][sign:])
			return fmt.Errorf("is separated by %q: save it as CSV with commas", r)
		}
	}
	names := make([]string, len(cells))
	known := 0
	for i, cell := range cells {
		names[i] = strings.ToLower(strings.TrimSpace(cell))
		if slices.Contains(t.columns, names[i]) {
			known++
		}
	}
	if known == 0 {
		row := t.row(cells, number, nil)
		t.first = &row
		return nil
	}
	if errors.As(t.textFault(cells), &invalid) {
		return fmt.Errorf("has a first line that %s", invalid.Faults[0].Message)
	}
	return t.order(names)
}

// order takes the names of the first line.
func (t *Table) order(names []string) error {
	for i, name := range names {
		switch {
		case !slices.Contains(t.columns, name):
			return fmt.Errorf("has on its first line the column %.40q: the columns are %s; remove it, or the whole line", name, strings.Join(t.columns, ", "))
		case slices.Contains(names[:i], name):
			return fmt.Errorf("has the column %s twice on its first line", name)
		}
	}
	for i, name := range t.columns {
		t.places[i] = slices.Index(names, name)
		if t.places[i] < 0 && i < t.required {
			return fmt.Errorf("has no column %s on its first line: the columns are %s", name, strings.Join(t.columns, ", "))
		}
	}
	t.width = len(names)
	return nil
}

// Next returns the next line, or io.EOF after the last. Another error ends the table, and
// continues a sentence that begins with the file's name.
func (t *Table) Next() (Row, error) {
	if first := t.first; first != nil {
		t.first = nil
		return *first, nil
	}
	cells, number, err := t.read()
	var invalid *wechat.InvalidError
	if err != nil && !errors.As(err, &invalid) {
		return Row{Number: number}, err
	}
	return t.row(cells, number, err), nil
}

// read returns the cells of a line. An *wechat.InvalidError is the fault of this line alone.
func (t *Table) read() ([]string, int, error) {
	t.meter.left = recordLimit
	cells, err := t.in.Read()
	var syntax *csv.ParseError
	switch {
	case err == nil:
		t.line, _ = t.in.FieldPos(0)
		return cells, t.line, nil
	case errors.Is(err, io.EOF):
		return nil, 0, io.EOF
	case errors.As(err, &syntax):
		return nil, syntax.StartLine, lineFault(wechat.FaultJSON,
			`is not CSV: a value with a quote or a comma is written in quotes, and a quote in it twice ("")`)
	case errors.Is(err, errRecord):
		return nil, t.line, fmt.Errorf("has after line %d %w; the rest was not read", t.line, errRecord)
	default:
		return nil, 0, fmt.Errorf("cannot be read: %w", err)
	}
}

func lineFault(code wechat.FaultCode, message string) error {
	return &wechat.InvalidError{Faults: []wechat.Fault{{Code: code, Message: message}}}
}

// row checks the text of a line and puts it into the order of the columns.
func (t *Table) row(cells []string, number int, err error) Row {
	row := Row{Number: number, Values: make([]string, len(t.columns)), Err: err}
	if err != nil {
		return row
	}
	if row.Err = t.fault(cells); row.Err != nil {
		return row
	}
	for i, place := range t.places {
		if place >= 0 && place < len(cells) {
			row.Values[i] = strings.TrimSpace(cells[place])
		}
	}
	return row
}

func (t *Table) fault(cells []string) error {
	if err := t.textFault(cells); err != nil {
		return err
	}
	if len(cells) > t.width || len(cells) < t.required {
		return lineFault(wechat.FaultFieldUnknown, fmt.Sprintf("has %d values: the columns are %s", len(cells), strings.Join(t.columns, ", ")))
	}
	return nil
}

// textFault says why the text of a line cannot be used.
func (t *Table) textFault(cells []string) error {
	for _, cell := range cells {
		switch {
		case !utf8.ValidString(cell):
			return notUTF8([]byte(cell))
		case strings.ContainsRune(cell, utf8.RuneError):
			return lineFault(wechat.FaultEncoding, "has the sign � in place of text that was lost before: export the file again")
		case strings.ContainsFunc(cell, unicode.IsControl):
			return lineFault(wechat.FaultControl, "has a line break or another control character in a value: remove it")
		}
	}
	if t.wasGB18030 {
		return wasUTF8([]byte(strings.Join(cells, ",")))
	}
	return nil
}

var errRecord = fmt.Errorf("a line longer than %d bytes, such as by a quote that is not closed", recordLimit)

// recordMeter bounds what is read for one line.
type recordMeter struct {
	in   io.Reader
	left int
}

// Read implements io.Reader.
func (m *recordMeter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errRecord
	}
	p = p[:min(len(p), m.left)]
	n, err := m.in.Read(p)
	m.left -= n
	return n, err //nolint:wrapcheck // io.EOF as it is
}
