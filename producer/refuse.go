package producer

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/tracing"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	maxID    = 128
	maxUser  = 128
	maxAhead = 366 * 24 * time.Hour
)

// entry is a message made ready for the queue.
type entry struct {
	envelope  job.Envelope
	payload   []byte // of the task
	hash      string // tells whether another message has the same content
	state     State
	truncated []string
	index     int // in its chunk

	// What Redis answered: either, or neither for a message that was enqueued.
	old *ledger.Existing // the record that has its ID
	err error
}

func (e *entry) item() queue.Item {
	return queue.Item{ID: e.envelope.ID, Payload: e.payload, ProcessAt: e.envelope.NotBefore}
}

// Check says whether Enqueue would refuse m, without talking to Redis. The
// error is a *wechat.InvalidError with all faults at once.
func (p *Producer) Check(m Message) error {
	_, err := p.prepare(context.Background(), m, time.Now()) //nolint:forbidigo // nothing is called and no trace is kept
	return err
}

// prepare refuses what could never be sent, or writes the envelope.
func (p *Producer) prepare(ctx context.Context, m Message, now time.Time) (*entry, error) {
	e := &entry{state: Queued}
	message := m.Message
	if p.cfg.Truncate {
		message, e.truncated = wechat.Truncate(message)
	}
	class, err := p.check(m, message, now)
	if err != nil {
		return nil, err
	}
	own := *message
	own.ClientMsgID = job.ClientMsgID(m.ID) // the same in every attempt
	body, err := wechat.MarshalBody(&own)
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	e.envelope = job.Envelope{
		ID: m.ID, Class: class, To: own.ToUser, User: m.Terms.User, Template: own.TemplateID, Key: m.Terms.Key,
		QueuedAt: now.Truncate(time.Millisecond), NotBefore: m.Terms.NotBefore, NotAfter: m.Terms.NotAfter,
		AtLeastOnce: m.Terms.AtLeastOnce, Test: m.Terms.Test, Trace: tracing.Traceparent(ctx), Body: body,
	}
	if m.Terms.NotBefore.After(now) {
		e.state = Scheduled
	}
	if e.payload, e.hash, err = p.codec.Encode(e.envelope); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	return e, nil
}

// check collects every fault of the message and its terms.
func (p *Producer) check(m Message, message *wechat.TemplateMessage, now time.Time) (job.Class, error) {
	faults := append(idFaults(m.ID), termFaults(m.Terms, now)...)
	class, err := p.classOf(m.Terms)
	if err != nil {
		faults = append(faults, fault.New("class", fault.ClassUnknown))
	}
	if m.Terms.User == "" {
		err = message.Validate()
	} else {
		err = message.ValidateContent()
		if message != nil && message.ToUser != "" {
			faults = append(faults, fault.New("touser", fault.AddressTwice))
		}
	}
	if err != nil {
		var invalid *wechat.InvalidError
		if !errors.As(err, &invalid) {
			return "", fmt.Errorf("producer: %w", err)
		}
		faults = append(faults, invalid.Faults...)
	}
	faults = append(faults, p.templateFaults(message)...)
	if len(faults) > 0 {
		return "", &wechat.InvalidError{Faults: faults}
	}
	return class, nil
}

func idFaults(id string) []wechat.Fault {
	if id == "" {
		return []wechat.Fault{fault.New("id", fault.IDMissing)}
	}
	ok := len(id) <= maxID && !isDots(id)
	for i := range len(id) {
		ok = ok && id[i] > ' ' && id[i] < 0x7f && id[i] != '{' && id[i] != '}'
	}
	if ok {
		return nil
	}
	return []wechat.Fault{fault.New("id", fault.IDInvalid)}
}

func termFaults(t Terms, now time.Time) []wechat.Fault {
	var faults []wechat.Fault
	if t.User != "" {
		if f := userFault(t.User); f != nil {
			faults = append(faults, *f)
		}
	}
	if t.Key != "" && !usable(t.Key) {
		faults = append(faults, wechat.NewFault("key", fault.UserInvalid, "is not the ID of an API key", "不是 API 密钥的 ID"))
	}
	if t.NotBefore.After(now.Add(maxAhead)) {
		faults = append(faults, fault.New("not_before", fault.TooFarAhead))
	}
	switch {
	case t.NotAfter.IsZero():
	case !t.NotAfter.After(now):
		faults = append(faults, fault.New("not_after", fault.NotAfterPast))
	case !t.NotAfter.After(t.NotBefore):
		faults = append(faults, fault.New("not_after", fault.WindowEmpty))
	case t.NotAfter.After(now.Add(2 * maxAhead)):
		faults = append(faults, fault.New("not_after", fault.TooFarAhead))
	}
	return faults
}

// isDots reports the names of no file, which clients and servers take out of a path: a
// message or user of this name could not be asked for under its address.
func isDots(name string) bool { return name == "." || name == ".." }

func usable(user string) bool {
	if len(user) > maxUser || !utf8.ValidString(user) || isDots(user) {
		return false
	}
	for _, r := range user {
		if !unicode.IsPrint(r) || r == ' ' || r == '{' || r == '}' {
			return false
		}
	}
	return true
}

func (p *Producer) templateFaults(m *wechat.TemplateMessage) []wechat.Fault {
	if p.cfg.Templates == nil || m == nil || m.TemplateID == "" {
		return nil
	}
	keys, known := p.cfg.Templates.Keys(m.TemplateID)
	if !known {
		return []wechat.Fault{fault.New("template_id", fault.TemplateUnknown)}
	}
	return m.KeyFaults(keys)
}
