package intake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// valueLimit is how large one message of a stream may be. WeChat takes 16 KB.
const valueLimit = 1 << 20

// Line is one message of a stream.
type Line struct {
	Number  int // of the line on which it begins, from 1
	Request Request
	Err     error // as Parse returns it
}

// Reader reads messages from a stream, in either form of Parse: one a line, one
// array of them, or JSON objects one after another that may have several lines. It
// holds one message at a time, of at most 1 MB.
type Reader struct {
	wasGB18030 bool

	// One message a line.
	lines   *bufio.Reader
	pending []rawLine // were read to find out the form of the stream
	number  int       // of the last line that was read

	// A document.
	document *document
}

type rawLine struct {
	number int
	text   []byte
	long   bool
}

// NewReader finds out the form of the stream. Byte order marks are dropped: joined files may have two. The
// encoding is one of Encodings; empty: UTF-8. The error says what the stream is
// instead, such as UTF-16, CSV or empty.
func NewReader(in io.Reader, encodingName string) (*Reader, error) {
	text, wasGB18030, err := decoded(in, encodingName)
	if err != nil {
		return nil, err
	}
	r := &Reader{wasGB18030: wasGB18030, lines: text}
	start, err := r.skipBlanks()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("has no messages: it is empty")
	} else if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if start == '[' { // perhaps all messages in one line
		return r.asDocument(), nil
	}
	first, err := r.line()
	if err != nil {
		return nil, err
	}
	r.pending = append(r.pending, first)
	switch {
	case start != '{':
		return nil, notJSON(first.text)
	case first.long || json.Valid(first.text) || !utf8.Valid(first.text):
		return r, nil
	}
	// The first line is a message with a fault, or the begin of one that has several
	// lines. Those go on with a key or a brace that closes.
	second, err := r.filled()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err == nil {
		r.pending = append(r.pending, second)
	}
	if bytes.HasPrefix(bytes.TrimLeft(second.text, " \t\r\n"), []byte{'{'}) {
		return r, nil
	}
	return r.asDocument(), nil
}

// skipBlanks returns the first byte that is not a blank, without reading it.
func (r *Reader) skipBlanks() (byte, error) {
	for {
		b, err := r.lines.ReadByte()
		if err != nil {
			return 0, err //nolint:wrapcheck // io.EOF as it is
		}
		switch b {
		case '\n':
			r.number++
		case ' ', '\t', '\r':
		default:
			return b, r.lines.UnreadByte() //nolint:wrapcheck // cannot fail after ReadByte
		}
	}
}

// notJSON names the form of a text that does not begin as a JSON object or array does.
func notJSON(start []byte) error {
	line, _, _ := bytes.Cut(start, []byte{'\n'})
	const want = `write one message a line, {"id":…,"message":{…}}, or WeChat's body`
	first, _ := utf8.DecodeRune(line)
	switch {
	case first == '<':
		return errors.New("is XML or HTML, not JSON: " + want)
	case !unicode.IsPrint(first):
		return fmt.Errorf("begins with the character %U, which is not seen: remove it", first)
	case json.Valid(line):
		return errors.New("is not a JSON object: " + want)
	case bytes.ContainsRune(line, '{'):
		return errors.New("is not JSON: " + want)
	case bytes.ContainsAny(line, ",;\t") && line[0] != '"' || bytes.Contains(line, []byte(`","`)):
		return errors.New("looks like CSV, not JSON: " + want)
	case !utf8.Valid(line):
		return errors.New("is not JSON in UTF-8: " + want)
	default:
		return errors.New("is not JSON: " + want)
	}
}

// Next returns the next message, or io.EOF after the last. Another error ends the
// stream, and continues a sentence that begins with the stream's name, such as "is
// not JSON on line 7: …".
func (r *Reader) Next() (Line, error) {
	if r.document != nil {
		raw, number, err := r.document.next()
		if err != nil {
			return Line{Number: number}, err
		}
		return r.parse(rawLine{number: number, text: raw}), nil
	}
	var raw rawLine
	if len(r.pending) > 0 {
		raw, r.pending = r.pending[0], r.pending[1:]
	} else {
		var err error
		if raw, err = r.filled(); err != nil {
			return Line{Number: r.number}, err
		}
	}
	return r.parse(raw), nil
}

func (r *Reader) parse(raw rawLine) Line {
	line := Line{Number: raw.number}
	switch {
	case raw.long:
		line.Err = &wechat.InvalidError{Faults: []wechat.Fault{{
			Code: wechat.FaultBodyTooLarge, Message: fmt.Sprintf("is longer than %d bytes: write one message a line", valueLimit),
		}}}
	case !utf8.Valid(raw.text):
		line.Err = notUTF8(raw.text)
	default:
		if r.wasGB18030 {
			line.Err = wasUTF8(raw.text)
		}
		if line.Err == nil {
			line.Request, line.Err = Parse(raw.text)
		}
	}
	return line
}

// filled reads the next line that is not blank.
func (r *Reader) filled() (rawLine, error) {
	for {
		line, err := r.line()
		if err != nil {
			return line, err
		}
		if line.long || len(trimmed(line.text)) > 0 {
			return line, nil
		}
	}
}

// line reads one line of at most valueLimit bytes; the rest of a longer one is
// skipped.
func (r *Reader) line() (rawLine, error) {
	line := rawLine{number: r.number + 1}
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(line.text)+len(part) > valueLimit {
			line.long = true
		} else {
			line.text = append(line.text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil, errors.Is(err, io.EOF) && (len(line.text) > 0 || line.long):
			r.number = line.number
			return line, nil
		case errors.Is(err, io.EOF):
			return line, io.EOF
		default:
			return line, fmt.Errorf("cannot be read: %w", err)
		}
	}
}

// asDocument goes on with JSON values that may have several lines.
func (r *Reader) asDocument() *Reader {
	var before []io.Reader
	at := 1
	for _, line := range r.pending {
		before = append(before, bytes.NewReader(bytes.Repeat([]byte{'\n'}, line.number-at)), bytes.NewReader(line.text))
		at = line.number + 1
	}
	if len(r.pending) == 0 {
		before = append(before, bytes.NewReader(bytes.Repeat([]byte{'\n'}, r.number)))
	}
	r.document = newDocument(io.MultiReader(append(before, r.lines)...))
	return r
}
