package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
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

// Recorded is the answer of Accepted.
type Recorded struct {
	// Again says that nothing was written: after this delivery the message was set up
	// to be sent once more, by a failed receipt or by Revive. Its task must not be
	// completed but run again at Due (zero: now).
	Again bool
	Due   time.Time
	// Ended is the state in which the message ended at once, because its receipt came
	// before WeChat's answer, and Receipt is that receipt. Empty: it awaits its receipt.
	Ended   State
	Receipt string
}

// accepting is a message in a call of Accepted.
type accepting struct {
	number           int64
	msgid            wechat.MessageID
	id, to           string
	class, duplicate string // as the script takes them
	payload          []byte // nil: not kept
}

// Accepted records the msgid that WeChat gave delivery n, and joins a receipt that
// came earlier. Up to 64 concurrent callers share one script call. With MsgID 0
// only [Ledger.Match] can join a receipt. A message that was accepted before keeps
// its first msgid and is marked as a possible duplicate. A repeated call does and
// answers what the first did.
func (l *Ledger) Accepted(ctx context.Context, id string, n int64, a Acceptance) (Recorded, error) {
	if !slices.Contains(l.cfg.Resend, a.Class) {
		a.Payload = nil
	}
	if err := l.guard.Admit(ctx); err != nil {
		return Recorded{}, fmt.Errorf("ledger: record the acceptance: %w", err)
	}
	answer, err := l.accepts.Do(ctx, accepting{
		number: n, msgid: a.MsgID, id: id, to: l.sealed.Seal(seal.OpenID, a.To), class: classCode(a.Class), duplicate: flag(a.Duplicate), payload: a.Payload,
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("ledger: record the acceptance: %w", err)
	}
	if answer == "" {
		return Recorded{}, nil
	}
	if end, ended := strings.CutPrefix(answer, "ended "); ended {
		state, words, _ := strings.Cut(end, " ")
		return Recorded{Ended: stateOf(state), Receipt: words}, nil
	}
	due, again := strings.CutPrefix(answer, "again ")
	if !again {
		return Recorded{}, errors.New("ledger: record the acceptance: " + answer)
	}
	return Recorded{Again: true, Due: moment(due)}, nil
}

func (l *Ledger) sendAccepts(ctx context.Context, list []accepting) ([]string, error) {
	now := time.Now()
	keys := make([]string, 0, 5+4*len(list))
	keys = append(keys, l.awaitingReceiptKey(), l.deadKey(), l.templatesKey())
	args := make([]any, 0, 7+7*len(list))
	args = append(args, stamp(now), millis(l.cfg.Keep), millis(l.cfg.Keep+ReceiptWait), millis(indexKeep),
		millis(latestKeep), millis(l.cfg.Keep+ReceiptWait+live), stamp(now.Add(-indexKeep)))
	for i := range list {
		a := &list[i]
		keys = append(keys, l.recordKey(a.id), l.msgidKey(a.msgid), l.prefix+latestPrefix+a.to, l.payloadKey(a.id))
		args = append(args, &a.number, &a.id, (*int64)(&a.msgid), &a.duplicate, &a.to, &a.class) // a pointer is not boxed
		if a.payload == nil {
			args = append(args, "")
		} else {
			args = append(args, a.payload)
		}
	}
	return l.lua["accepted"].Texts(ctx, l.rdb, false, l.telling(now, keys...), args...)
}

// Outcome of an attempt that was not accepted.
type Outcome struct {
	To      string // the openid that it was sent to; empty: not known
	State   State  // retrying, queued (a deferral), or an end
	Errcode wechat.Code
	Reason  string // cut at 60 bytes
	Detail  string // cut at 120 bytes
	RID     string // dropped when it is longer than 60 bytes
	// NoCall: WeChat was not called. Without an Errcode that of the last attempt stays,
	// and its RID.
	NoCall    bool
	Attempt   bool // counts against the budget
	Ambiguous bool // keeps OpenSince
	Class     job.Class
	Payload   []byte        // kept with a dead record so that it can be sent again
	Duplicate bool          // possible duplicate
	Worker    string        // that made the attempt, cut at 60 bytes; see Attempt
	Latency   time.Duration // of the call, rounded up to milliseconds; zero: not known
}

// ErrSuperseded says that an outcome is void: another delivery of the message has written
// since, or the message was set up to be sent again. Its task must not be completed.
var ErrSuperseded = errors.New("the message has gone on since")

// Failed records the outcome of delivery n. It does nothing when this outcome was
// recorded before, or when the message is accepted or has ended, and returns
// [ErrSuperseded] when the message has gone on since. A later delivery than the recorded
// one may fail without Begin: its task cannot be read.
//
// OpenSince of an earlier attempt than this one is kept in any case: nothing that
// this attempt learned tells what became of that one. A message whose recipient
// was erased since Begin is not tried again, whatever o says.
func (l *Ledger) Failed(ctx context.Context, id string, n int64, o Outcome) error {
	if o.State != Retrying && o.State != Queued && !o.State.Ended() {
		return fmt.Errorf("ledger: %q is not the outcome of an attempt", o.State)
	}
	now := time.Now()
	detail, more := halves(o.Detail)
	if len(o.RID) > maxReason {
		o.RID = ""
	}
	keptReason := short(o.Reason, maxReason)
	if o.Errcode != 0 && keptReason == o.Errcode.Name() {
		keptReason = "" // Attempt has it from the errcode
	}
	keys := l.telling(now, l.recordKey(id), l.deadKey(), l.payloadKey(id), l.latestKey(o.To))
	reply, err := l.run(ctx, "failed", keys,
		"delivery", n, "id", id, "now", stamp(now), "state", o.State.code(), "class", classCode(o.Class), "to", l.sealed.Seal(seal.OpenID, o.To),
		"errcode", strconv.Itoa(int(o.Errcode)), "reason", short(o.Reason, maxReason), "detail", detail, "detail_more", more, "rid", o.RID, "no_call", flag(o.NoCall), "payload", o.Payload,
		"worker", short(o.Worker, maxReason), "latency", millis(max(o.Latency+time.Millisecond-1, 0)), "kept_reason", keptReason,
		"attempt", flag(o.Attempt), "ambiguous", flag(o.Ambiguous), "duplicate", flag(o.Duplicate),
		"keep", millis(l.cfg.Keep), "life", millis(live), "latest_life", millis(latestKeep),
		"keep_dead", millis(keepDead), "oldest_dead", stamp(now.Add(-keepDead)))
	if err == nil && reply == int64(2) {
		err = fmt.Errorf("ledger: record the outcome: %w", ErrSuperseded)
	}
	return err
}

// Undo takes Begin of delivery n back, also one whose answer was lost and that may
// arrive later: the caller knows that it did not call WeChat. It does nothing when
// another delivery has written since.
func (l *Ledger) Undo(ctx context.Context, id string, n int64) error {
	_, err := l.run(ctx, "undo", []string{l.recordKey(id)}, "delivery", n)
	return err
}

// Cancel ends a message of which nothing can have been seen yet: one that has
// not begun, or waits for a retry after an attempt that surely did not arrive.
// It returns the record as it then is, without the template of a message that was
// accepted before; nil when there is none. A message that was cancelled before
// counts as cancelled. The record lives as long as its task may: call Release once
// that is off its queue.
func (l *Ledger) Cancel(ctx context.Context, id string) (cancelled bool, r *Record, err error) {
	now := time.Now()
	reply, err := l.run(ctx, "cancel", l.telling(now, l.recordKey(id)), "now", stamp(now), "keep", millis(l.cfg.Keep))
	if err != nil {
		return false, nil, err
	}
	list, ok := reply.([]any)
	if !ok || len(list) != 2 {
		return false, nil, fmt.Errorf("ledger: cancel answered %T", reply)
	}
	return list[0] == "1", l.parse(id, stringMap(list[1]), now), nil
}

// Release lets the record of a cancelled message go after Config.Keep: its task
// is gone. It does nothing in any other state.
func (l *Ledger) Release(ctx context.Context, id string) error {
	_, err := l.run(ctx, "release", []string{l.recordKey(id)}, "keep", millis(l.cfg.Keep))
	return err
}
