package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// Receipt is WeChat's event TEMPLATESENDJOBFINISH (docs: 模板消息 § 事件推送).
type Receipt struct {
	MsgID  wechat.MessageID
	OpenID string    // of the recipient
	Status string    // WeChat's own words
	At     time.Time // the event's CreateTime. Zero: now
}

// Settled is the message of a receipt, as the receipt left it.
type Settled struct {
	Record
	Resend *Resend // put it on its queue again; nil: nothing is to be done
}

// Resend is a message to be enqueued once more, under its own ID and class, for
// After. WeChat may have pushed the receipt before the first task was completed:
// where the queue has that ID already and no task of it waits, the enqueueing has
// failed. Handle the receipt again then: until the attempt has begun, each time
// says the same.
type Resend struct {
	Payload []byte
	After   time.Time
}

// blockFor is how long a follower who refuses the account's messages is not
// written to: they can allow them again, and no event tells.
const blockFor = 30 * 24 * time.Hour

// Waits before the next attempt after a failed receipt. WeChat drops a second
// message of the same openid and client_msg_id for ten minutes.
func resendWaits(words string) []time.Duration {
	switch words {
	case systemFailed:
		return []time.Duration{11 * time.Minute}
	case freqLimit:
		return []time.Duration{time.Hour, 3 * time.Hour}
	default:
		return nil
	}
}

// Receipt settles the message of r's msgid: delivered, or rejected with the
// receipt as its reason, or set up to be sent again (Config.Resend). It may come
// before Accepted, or twice.
//
// A msgid that is not known is kept for a day, and nil is returned: call Match
// about a minute later. MsgID 0 names no message and is not kept: it settles the
// oldest one that was accepted for r.OpenID and has no receipt, within
// receiptWindow; nil when there is none.
//
// A follower who refuses the account's messages is suppressed for 30 days.
func (l *Ledger) Receipt(ctx context.Context, r Receipt) (*Settled, error) {
	now := time.Now()
	if r.At.IsZero() {
		r.At = now
	}
	found, err := l.receipt(ctx, r, now)
	if err != nil {
		return nil, err
	}
	if words, _ := receiptWords(r.Status); words != userBlock || found != nil && found.Erased {
		return found, nil
	}
	s := Suppression{OpenID: r.OpenID, Reason: userBlock, Until: r.At.Add(blockFor)}
	if s.OpenID == "" && found != nil {
		s.OpenID = found.To
	}
	if s.OpenID == "" || !s.Until.After(now) {
		return found, nil
	}
	return found, l.Suppress(ctx, s)
}

func (l *Ledger) receipt(ctx context.Context, r Receipt, now time.Time) (*Settled, error) {
	if r.MsgID == 0 {
		return l.guess(ctx, r, now, false)
	}
	id, err := l.park(ctx, r)
	if err != nil || id == "" {
		return nil, err
	}
	return l.settle(ctx, r, id, now)
}

// park finds the id of the message, or leaves the receipt for Accepted. The id
// has to be known before the record's key can be named, hence two steps; either
// order of Accepted and this one ends in the same state.
func (l *Ledger) park(ctx context.Context, r Receipt) (string, error) {
	words, state := receiptWords(r.Status)
	o := &op{
		script: l.scripts.park,
		keys:   []string{l.msgidKey(int64(r.MsgID))},
		args:   []any{"!" + state.letter() + stamp(r.At) + " " + words, millis(indexKeep)},
	}
	if err := l.batch.do(ctx, o); err != nil {
		return "", fmt.Errorf("ledger: keep the receipt: %w", err)
	}
	id, _ := o.cmd.Val().(string)
	return id, nil
}

// settle gives the receipt to the message that it names.
func (l *Ledger) settle(ctx context.Context, r Receipt, id string, now time.Time) (*Settled, error) {
	words, state := receiptWords(r.Status)
	args := []any{
		state.letter(), words, stamp(r.At), millis(l.cfg.Keep), millis(repeatKeep),
		id, stamp(now), r.MsgID.String(), millis(live), millis(indexKeep),
	}
	for _, wait := range resendWaits(words) {
		args = append(args, millis(wait))
	}
	o := &op{
		script: l.scripts.receipt,
		keys: []string{
			l.recordKey(id), l.countsKey(day(now)), l.msgidKey(int64(r.MsgID)), l.awaitKey(),
			l.nearKey(r.OpenID), l.payloadKey(id),
		},
		args: args,
	}
	if err := l.batch.do(ctx, o); err != nil {
		return nil, fmt.Errorf("ledger: record the receipt: %w", err)
	}
	reply, ok := o.cmd.Val().([]any)
	if !ok || len(reply) != 3 {
		return nil, fmt.Errorf("ledger: the receipt's script answered %T", o.cmd.Val())
	}
	record := parse(id, pairs(reply[0]), now)
	if record == nil {
		return nil, nil //nolint:nilnil // documented: no message is known
	}
	out := &Settled{Record: *record}
	payload, _ := reply[1].(string)
	due, _ := reply[2].(string)
	if payload != "" && due != "" {
		out.again([]byte(payload), moment(due))
	}
	return out, nil
}

// again makes the envelope one of its own: a worker that remembers an answer for
// the first one must not take it for the answer to this one.
func (s *Settled) again(payload []byte, due time.Time) {
	s.Resend = &Resend{Payload: payload, After: due}
	e, err := job.Parse(payload)
	if err != nil {
		return // of a newer version: its workers know what to do
	}
	s.Class, e.QueuedAt = e.Class, due
	if own, err := job.Encode(e); err == nil {
		s.Resend.Payload = own
	}
}

// WeChat's statuses as we say them.
const (
	userBlock    = "user-block"
	systemFailed = "system-failed"
	freqLimit    = "freq-limit"
)

// receiptWords normalises WeChat's status: documented are "success",
// "failed:user block" and "failed: system failed" (the space is WeChat's).
// Anything else is kept as it is and counts as rejected.
func receiptWords(status string) (string, State) {
	word := strings.Join(strings.Fields(strings.ToLower(status)), " ")
	if word == "success" {
		return word, Delivered
	}
	word = strings.TrimSpace(strings.TrimPrefix(word, "failed:"))
	switch word {
	case "user block":
		return userBlock, Rejected
	case "system failed":
		return systemFailed, Rejected
	case "freq limit":
		return freqLimit, Rejected
	case "":
		return "empty-status", Rejected
	default:
		return short(word, maxReason), Rejected
	}
}
