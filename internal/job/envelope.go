package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Version is what Encode writes.
const Version = 1

// ErrMalformed is in the chain of every error of Parse but NewerVersionError:
// no worker of any version can read such a task.
var ErrMalformed = errors.New("malformed envelope")

// NewerVersionError says that a newer producer wrote the envelope. A worker puts
// such a task back: it is for the workers that are updated already.
type NewerVersionError struct{ Version int }

func (e *NewerVersionError) Error() string {
	return fmt.Sprintf("envelope version %d is newer than %d: update this worker", e.Version, Version)
}

// terms is the first line. Its names are short, since a million of them wait in
// Redis, and are never reused for something else.
type terms struct {
	V           int    `json:"v"`
	ID          string `json:"id"`
	Class       Class  `json:"c"`
	To          string `json:"to,omitempty"`
	User        string `json:"u,omitempty"`
	Template    string `json:"t,omitempty"`
	QueuedAt    int64  `json:"q,omitempty"` // Unix milliseconds, as the next two
	NotBefore   int64  `json:"nb,omitempty"`
	NotAfter    int64  `json:"na,omitempty"`
	AtLeastOnce bool   `json:"alo,omitempty"`
}

// Encode writes the envelope: a line of JSON with the terms, then the body as it
// is. It refuses what Parse would refuse. Times are cut to milliseconds.
func Encode(e Envelope) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	t := terms{
		V: Version, ID: e.ID, Class: e.Class, To: e.To, User: e.User, Template: e.Template,
		QueuedAt: millis(e.QueuedAt), NotBefore: millis(e.NotBefore), NotAfter: millis(e.NotAfter),
		AtLeastOnce: e.AtLeastOnce,
	}
	out := make([]byte, 0, 256+len(e.Body))
	if plain, ok := appendTerms(out, &t); ok {
		return append(plain, e.Body...), nil
	}
	line := bytes.NewBuffer(out)
	enc := json.NewEncoder(line) // ends the line
	enc.SetEscapeHTML(false)
	if err := enc.Encode(t); err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	line.Write(e.Body)
	return line.Bytes(), nil
}

// Parse reads what Encode of this or an earlier version wrote. Body aliases
// data. The error is *NewerVersionError or wraps ErrMalformed; it never quotes
// the envelope.
func Parse(data []byte) (Envelope, error) {
	line, body, found := bytes.Cut(data, []byte{'\n'})
	if !found {
		return Envelope{}, fmt.Errorf("%w: no line with the delivery terms", ErrMalformed)
	}
	var t terms
	if !readTerms(line, &t) {
		t = terms{}
		if err := json.Unmarshal(line, &t); err != nil {
			return Envelope{}, olderCannotRead(line)
		}
	}
	if t.V > Version {
		return Envelope{}, &NewerVersionError{Version: t.V}
	}
	if t.V < 1 {
		return Envelope{}, fmt.Errorf("%w: version %d", ErrMalformed, t.V)
	}
	e := Envelope{
		ID: t.ID, Class: t.Class, To: t.To, User: t.User, Template: t.Template,
		QueuedAt: fromMillis(t.QueuedAt), NotBefore: fromMillis(t.NotBefore), NotAfter: fromMillis(t.NotAfter),
		AtLeastOnce: t.AtLeastOnce, Body: body,
	}
	if err := e.check(); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return e, nil
}

// olderCannotRead tells a newer version that gave a field another type from
// plain damage.
func olderCannotRead(line []byte) error {
	var only struct {
		V int `json:"v"`
	}
	if json.Unmarshal(line, &only) == nil && only.V > Version {
		return &NewerVersionError{Version: only.V}
	}
	return fmt.Errorf("%w: the delivery terms are not the expected JSON", ErrMalformed)
}

func (e Envelope) check() error {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New(text))
		}
	}
	fault(e.ID == "", "id is empty")
	fault(e.To == "" && e.User == "", "neither to nor user is set")
	fault(e.To != "" && e.User != "", "both to and user are set")
	fault(len(e.Body) < 2 || e.Body[0] != '{', "body is not a JSON object")
	fault(e.Class != Critical && e.Class != Default && e.Class != Bulk, "class is not known")
	// JSON would replace other bytes, and the envelope would come back changed.
	for _, text := range []string{e.ID, e.To, e.User, e.Template} {
		fault(!utf8.ValidString(text), "text is not UTF-8")
	}
	return errors.Join(faults...)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
