package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// document reads an array of JSON values, or values one after another.
type document struct {
	d     *json.Decoder
	in    *meter
	begun bool
	array bool
}

func newDocument(in io.Reader) *document {
	m := &meter{in: in}
	return &document{d: json.NewDecoder(m), in: m}
}

// next returns a value and the number of its first line.
func (d *document) next() (json.RawMessage, int, error) {
	if !d.begun {
		d.begun = true
		if err := d.begin(); err != nil {
			return nil, 1, err
		}
	}
	if d.array && !d.d.More() {
		return nil, 0, d.end()
	}
	d.in.left = valueLimit
	var raw json.RawMessage
	if err := d.d.Decode(&raw); errors.Is(err, io.EOF) && !d.array {
		return nil, 0, io.EOF
	} else if err != nil {
		return nil, 0, d.fault(err)
	}
	return raw, d.in.lineAt(d.d.InputOffset() - int64(len(raw))), nil
}

// begin reads the bracket of an array.
func (d *document) begin() error {
	d.in.left = valueLimit
	first, err := d.in.peek()
	if err != nil || first != '[' {
		return err
	}
	d.array = true
	if _, err := d.d.Token(); err != nil {
		return d.fault(err)
	}
	if !d.d.More() {
		return errors.New("has no messages: the array is empty")
	}
	return nil
}

// end reads the bracket that closes, and refuses what follows it.
func (d *document) end() error {
	d.in.left = valueLimit
	if _, err := d.d.Token(); err != nil {
		return d.fault(err)
	}
	if _, err := d.d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("has text after the array, on line %d, which was not read: write one array with all messages", d.in.lineAt(d.d.InputOffset()))
	}
	return io.EOF
}

// fault names the line. Text in another encoding breaks the syntax, too.
func (d *document) fault(err error) error {
	if d.in.badLine > 0 {
		return fmt.Errorf("is not UTF-8 on line %d: --encoding gb18030 reads the Chinese of Windows; else convert it to UTF-8; the rest was not read", d.in.badLine)
	}
	at := d.d.InputOffset()
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		if at = max(at, syntax.Offset); rawjson.NotASCII(syntax) {
			err = errors.New("a character outside its texts is not ASCII, such as “ ” ： or ，: write the ASCII one")
		}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("is not JSON: the text ends too early, in what begins on line %d or after it", d.in.lineAt(at))
	case errors.Is(err, errLong):
		return fmt.Errorf("has on line %d %w; the rest was not read", d.in.lineAt(at), errLong)
	}
	return fmt.Errorf("is not JSON on line %d: %w; the rest was not read", d.in.lineAt(at), err)
}

var errLong = fmt.Errorf("a value longer than %d bytes", valueLimit)

// meter bounds what is read for one value and knows the lines.
type meter struct {
	in      io.Reader
	first   []byte // was peeked at
	left    int
	offset  int64   // of the next byte
	ends    []int64 // offsets of line breaks that lineAt has not passed
	passed  int     // line breaks that it has
	lines   int     // line breaks in all
	carry   []byte  // the begin of a rune
	badLine int     // the first that is not UTF-8
}

// peek returns the first byte that is not a blank.
func (m *meter) peek() (byte, error) {
	for {
		one := make([]byte, 1)
		if _, err := io.ReadFull(m.in, one); err != nil {
			return 0, fmt.Errorf("cannot be read: %w", err)
		}
		m.first = append(m.first, one[0])
		switch one[0] {
		case ' ', '\t', '\r', '\n':
		default:
			return one[0], nil
		}
	}
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errLong
	}
	p = p[:min(len(p), m.left)]
	var n int
	var err error
	if len(m.first) > 0 {
		n = copy(p, m.first)
		m.first = m.first[n:]
	} else if n, err = m.in.Read(p); err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("cannot be read: %w", err)
	}
	m.left -= n
	m.see(p[:n])
	return n, err
}

func (m *meter) see(p []byte) {
	for i, b := range p {
		if b == '\n' {
			m.ends = append(m.ends, m.offset+int64(i))
		}
	}
	m.offset += int64(len(p))
	if m.badLine > 0 {
		return
	}
	text := append(m.carry, p...)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			if utf8.FullRune(text) {
				m.badLine = m.lines + 1
			}
			break
		}
		if r == '\n' {
			m.lines++
		}
		text = text[size:]
	}
	m.carry = bytes.Clone(text)
	if m.badLine > 0 {
		m.carry = nil
	}
}

// lineAt is the line of an offset. Offsets do not decrease from call to call.
func (m *meter) lineAt(offset int64) int {
	for len(m.ends) > 0 && m.ends[0] < offset {
		m.ends = m.ends[1:]
		m.passed++
	}
	return m.passed + 1
}
