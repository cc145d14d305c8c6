package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
)

// Receipt is WeChat's event TEMPLATESENDJOBFINISH (docs: 模板消息 § 事件推送).
type Receipt struct {
	MsgID  wechat.MessageID
	OpenID string    // of the recipient
	Status string    // WeChat's own words
	At     time.Time // the event's CreateTime. Zero: now
}

// Settled is the message of a receipt, as the receipt left it; its Template is not
// told.
type Settled struct {
	Record
	Resend *Resend // put it on its queue again; nil: nothing is to be done
	// Now reports that this call ended the message: it ended once, however often its
	// receipt comes.
	Now bool
}

// Resend is a message to be enqueued once more, under its own ID and class, for
// After. WeChat may have pushed the receipt before the first task was completed:
// where the queue has that ID already and no task of it waits, the enqueueing has
// failed. Handle the receipt again then: until the attempt has begun, each time
// the answer is the same.
type Resend struct {
	Payload []byte
	After   time.Time
}

// blockFor is how long a follower who refuses the account's messages is not
// written to: they can allow them again, and no event tells.
const blockFor = 30 * 24 * time.Hour

// WeChat's statuses as they are stored and shown.
const (
	success      = "success"
	userBlock    = "user-block"
	systemFailed = "system-failed"
	freqLimit    = "freq-limit"
)

// resendWaits are the waits before the next attempts after a failed receipt. WeChat
// drops a second message of the same openid and client_msg_id for ten minutes.
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

// Receipt ends the message of r's msgid: delivered, or rejected with the
// receipt as its reason, or sets it up to be sent again (Config.Resend). It may come
// before Accepted, or twice.
//
// A msgid that is not known is kept for a day, and nil is returned: call Match
// about a minute later. MsgID 0 names no message and is not kept: it ends the
// oldest one that was accepted for r.OpenID and has no receipt, within
// receiptWindow; nil when there is none.
//
// A follower who refuses the account's messages is suppressed for 30 days.
func (l *Ledger) Receipt(ctx context.Context, r Receipt) (*Settled, error) {
	now := time.Now()
	if r.At.IsZero() {
		r.At = now
	}
	found, err := l.findAndApply(ctx, r, now)
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

func (l *Ledger) findAndApply(ctx context.Context, r Receipt, now time.Time) (*Settled, error) {
	if r.MsgID == 0 {
		return l.matchByOpenID(ctx, r, now, false)
	}
	id, err := l.storeEarly(ctx, r)
	if err != nil || id == "" {
		return nil, err
	}
	return l.applyReceipt(ctx, r, id, now)
}

// storeEarly keeps the receipt for Accepted (of two, the first), or returns the id
// of the message where it is known. The id has to be known before the record's key
// can be named, hence two steps; either order of Accepted and this one ends in the
// same state.
func (l *Ledger) storeEarly(ctx context.Context, r Receipt) (string, error) {
	words, state := receiptWords(r.Status)
	early := "!" + state.code() + stamp(r.At) + " " + words
	stored := redis.NewStatusCmd(ctx, "set", l.msgidKey(r.MsgID), early, "px", millis(indexKeep), "nx")
	found := redis.NewStringCmd(ctx, "get", l.msgidKey(r.MsgID))
	if err := l.do(ctx, "keep the receipt", stored, found); err != nil {
		return "", err
	}
	id, _ := messageOf(found.Val())
	return id, nil
}

// applyReceipt gives the receipt to the message that it names.
func (l *Ledger) applyReceipt(ctx context.Context, r Receipt, id string, now time.Time) (*Settled, error) {
	words, state := receiptWords(r.Status)
	args := []any{
		"id", id, "state", state.code(), "words", words, "at", stamp(r.At), "msgid", int64(r.MsgID),
		"keep", millis(l.cfg.Keep), "repeat_life", millis(repeatKeep), "now", stamp(now),
	}
	for i, wait := range resendWaits(words) {
		if i == 0 {
			args = append(args, "life", millis(live), "msgid_life", millis(indexKeep))
		}
		args = append(args, "wait"+strconv.Itoa(i), millis(wait))
	}
	keys := l.telling(now,
		l.recordKey(id), l.msgidKey(r.MsgID), l.awaitingReceiptKey(), l.latestKey(r.OpenID), l.payloadKey(id))
	reply, err := l.run(ctx, "receipt", keys, args...)
	if err != nil {
		return nil, err
	}
	list, ok := reply.([]any)
	if !ok || len(list) != 3 {
		return nil, fmt.Errorf("ledger: the receipt's script answered %T", reply)
	}
	found := settledOf(l.parse(id, stringMap(list[0]), now))
	if found != nil {
		found.Now = list[2] == "1"
	}
	if payload, _ := list[1].(string); found != nil && payload != "" {
		found.Resend = &Resend{Payload: []byte(payload), After: found.ResendAt}
	}
	return found, nil
}

// settledOf is nil when there is no record.
func settledOf(r *Record) *Settled {
	if r == nil {
		return nil
	}
	return &Settled{Record: *r}
}

// receiptWords normalises WeChat's status: documented are "success",
// "failed:user block" and "failed: system failed" (the space is WeChat's).
// Anything else is kept as it is and counts as rejected.
func receiptWords(status string) (string, State) {
	word := strings.Join(strings.Fields(strings.ToLower(status)), " ")
	if word == success {
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
