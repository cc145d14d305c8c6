package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// Acceptance is WeChat's yes.
type Acceptance struct {
	To        string           // the openid that it was sent to; empty: not known
	MsgID     wechat.MessageID // 0: WeChat gave none
	Duplicate bool             // possible duplicate
	Class     job.Class
	// Payload is the envelope as it was queued. It is kept until the receipt where
	// Config.Resend names Class, so that the message can be sent again.
	Payload []byte
}

// Accepted records WeChat's msgid and joins a receipt that came earlier. With
// MsgID 0 only [Ledger.Match] can join one. A message that was accepted before
// keeps its first msgid and is marked as a possible duplicate.
func (l *Ledger) Accepted(ctx context.Context, id string, a Acceptance) error {
	now := time.Now()
	keys := []string{
		l.recordKey(id), l.countsKey(day(now)), l.nearKey(a.To), l.awaitKey(), l.payloadKey(id),
	}
	if a.MsgID != 0 {
		keys = append(keys, l.msgidKey(int64(a.MsgID)))
	}
	if !slices.Contains(l.cfg.Resend, a.Class) {
		a.Payload = nil
	}
	o := &op{script: l.scripts.accepted, keys: keys, args: []any{
		stamp(now), id, a.MsgID.String(), flag(a.Duplicate), a.To, a.Payload,
		millis(l.cfg.Keep), millis(l.cfg.Keep + ReceiptWait), millis(indexKeep), millis(nearKeep),
		stamp(now.Add(-ReceiptWait)), classLetter(a.Class),
	}}
	if err := l.batch.do(ctx, o); err != nil {
		return fmt.Errorf("ledger: record the acceptance: %w", err)
	}
	return nil
}

// Outcome of an attempt that was not accepted.
type Outcome struct {
	To        string // the openid that it was sent to; empty: not known
	State     State  // retrying, queued (a deferral), or an end
	Errcode   wechat.Code
	Reason    string // cut at 60 bytes
	Attempt   bool   // counts against the budget
	Ambiguous bool   // keeps OpenSince
	Class     job.Class
	Payload   []byte // kept with a dead record so that it can be sent again
	Duplicate bool   // possible duplicate
}

// Failed records the outcome. A message that is accepted or has ended stays as
// it is: a late worker does not overrule it. OpenSince of an earlier attempt
// than this one is kept in any case: nothing that this attempt learned tells
// what became of that one. A message whose recipient was erased meanwhile is not
// tried again, whatever o says.
func (l *Ledger) Failed(ctx context.Context, id string, o Outcome) error {
	if o.State != Retrying && o.State != Queued && !o.State.Ended() {
		return fmt.Errorf("ledger: %q is not the outcome of an attempt", o.State)
	}
	now := time.Now()
	run := &op{
		script: l.scripts.failed,
		keys:   []string{l.recordKey(id), l.countsKey(day(now)), l.deadKey(), l.letterKey(id), l.nearKey(o.To)},
		args: []any{
			stamp(now), id, o.State.letter(), strconv.Itoa(int(o.Errcode)), short(o.Reason, maxReason),
			flag(o.Attempt), flag(o.Ambiguous), flag(o.Duplicate),
			millis(l.cfg.Keep), millis(live), millis(l.cfg.KeepDead), stamp(now.Add(-l.cfg.KeepDead)), o.Payload,
			o.To, millis(nearKeep), classLetter(o.Class),
		},
	}
	if err := l.batch.do(ctx, run); err != nil {
		return fmt.Errorf("ledger: record the outcome: %w", err)
	}
	return nil
}

// Cancel ends a message of which nothing can have been seen yet: one that has
// not begun, or waits for a retry after an attempt that surely did not arrive.
// It returns the record as it then is, nil when there is none. A message that
// was cancelled before counts as cancelled. The record lives as long as its task
// may: call Release once that is off its queue.
func (l *Ledger) Cancel(ctx context.Context, id string) (cancelled bool, r *Record, err error) {
	now := time.Now()
	o := &op{
		script: l.scripts.cancel,
		keys:   []string{l.recordKey(id), l.countsKey(day(now))},
		args:   []any{stamp(now), millis(l.cfg.Keep)},
	}
	if err := l.batch.do(ctx, o); err != nil {
		return false, nil, fmt.Errorf("ledger: cancel: %w", err)
	}
	reply, ok := o.cmd.Val().([]any)
	if !ok || len(reply) != 2 {
		return false, nil, fmt.Errorf("ledger: cancel answered %T", o.cmd.Val())
	}
	return reply[0] == "1", parse(id, pairs(reply[1]), now), nil
}

// Release lets the record of a cancelled message go after Config.Keep: its task
// is gone. It does nothing for any other state, or when the message was enqueued
// again since Cancel.
func (l *Ledger) Release(ctx context.Context, id string) error {
	o := &op{script: l.scripts.release, keys: []string{l.recordKey(id)}, args: []any{millis(l.cfg.Keep)}}
	if err := l.batch.do(ctx, o); err != nil {
		return fmt.Errorf("ledger: release: %w", err)
	}
	return nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
