package job

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Version is the envelope version that Encode writes. Version 2 is a sealed one, see Codec.
const Version = 1

// ErrMalformed is in the chain of every error of Parse except NewerVersionError and
// SealedError: no worker of any version can read such a task.
var ErrMalformed = errors.New("malformed envelope")

// NewerVersionError reports an envelope written by a newer producer. The worker
// puts the task back for a worker that has been updated already.
type NewerVersionError struct{ Version int }

func (e *NewerVersionError) Error() string {
	return fmt.Sprintf("envelope version %d is newer than %d: update this worker", e.Version, Version)
}

// Envelope is a message with its delivery terms. The JSON names are short because
// a million envelopes may wait in Redis; a name is never reused for another field.
type Envelope struct {
	ID          string    `json:"id"`
	Class       Class     `json:"c"`
	To          string    `json:"to,omitempty"` // openid; empty when User is set
	User        string    `json:"u,omitempty"`  // the business's own user id, resolved to an openid at send time
	Template    string    `json:"t,omitempty"`
	Key         string    `json:"k,omitempty"`    // ID of the API key that enqueued it; empty: none did
	Test        bool      `json:"test,omitempty"` // not sent to WeChat, costs no quota
	QueuedAt    time.Time `json:"-"`              // millisecond precision, as the next two
	NotBefore   time.Time `json:"-"`              // zero: send as soon as possible
	NotAfter    time.Time `json:"-"`              // zero: never expires
	AtLeastOnce bool      `json:"-"`              // retry beyond WeChat's deduplication window
	Trace       string    `json:"-"`              // traceparent of the trace that enqueued it; empty: none
	Body        []byte    `json:"-"`              // the request body, byte for byte as it goes to WeChat
	Fingerprint string    `json:"-"`              // of a message that was sealed, as its record has it; empty: it was in clear
}

// Encode writes the envelope: one line of JSON with the terms, then the body
// unchanged. It refuses what Parse would refuse. Times are cut to milliseconds.
func Encode(e Envelope) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	out, err := appendTerms(make([]byte, 0, 256+len(e.Body)), &line{
		V: Version, Envelope: e, QueuedAt: millis(e.QueuedAt), NotBefore: millis(e.NotBefore),
		NotAfter: millis(e.NotAfter), AtLeastOnce: e.AtLeastOnce, Trace: e.Trace,
	})
	if err != nil {
		return nil, err
	}
	return append(append(out, '\n'), e.Body...), nil
}

// Parse reads what Encode of this or an earlier version wrote. Body aliases
// data. The error is *NewerVersionError, *SealedError, or wraps ErrMalformed; it never
// quotes the envelope.
func Parse(data []byte) (Envelope, error) {
	terms, body, found := bytes.Cut(data, []byte{'\n'})
	if !found {
		return Envelope{}, fmt.Errorf("%w: no line with the delivery terms", ErrMalformed)
	}
	l, err := parseTerms(terms)
	switch {
	case l.V > Version:
		if s, ok := parseSealed(data); ok {
			return Envelope{}, &SealedError{s.key}
		}
		return Envelope{}, &NewerVersionError{Version: l.V}
	case err != nil:
		return Envelope{}, fmt.Errorf("%w: the delivery terms are not the expected JSON", ErrMalformed)
	case l.V < 1:
		return Envelope{}, fmt.Errorf("%w: version %d", ErrMalformed, l.V)
	}
	e := l.Envelope
	e.QueuedAt, e.NotBefore, e.NotAfter = fromMillis(l.QueuedAt), fromMillis(l.NotBefore), fromMillis(l.NotAfter)
	e.AtLeastOnce, e.Trace, e.Body = l.AtLeastOnce, l.Trace, body
	if err := e.check(); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return e, nil
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
	// encoding/json replaces invalid UTF-8, so the envelope would change in transit.
	for _, text := range []string{e.ID, e.To, e.User, e.Template, e.Trace, e.Key} {
		fault(!utf8.ValidString(text), "text is not UTF-8")
	}
	return errors.Join(faults...)
}

// Hash is the fingerprint of what is sent and to whom, without the other terms:
// a message with other terms is the same message, but a test is not the one that
// is sent. That of a message that was sealed is the one that it came with.
func (e Envelope) Hash() string {
	if e.Fingerprint != "" {
		return e.Fingerprint
	}
	if prefix := e.contentPrefix(); prefix != "" {
		return hash([]byte(prefix), e.Body)
	}
	return Hash(e.Body)
}

// contentPrefix is what belongs to the content beside the body.
func (e Envelope) contentPrefix() string {
	switch {
	case e.Test:
		return "test:" + e.User + "\n"
	case e.User == "":
		return ""
	}
	return "user:" + e.User + "\n" // the body has no recipient yet
}

// millis is 0 for the zero time.
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
