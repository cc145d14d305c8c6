package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Receipt is WeChat's event TEMPLATESENDJOBFINISH (docs: 模板消息 § 事件推送).
type Receipt struct {
	MsgID  wechat.MessageID
	OpenID string    // of the recipient
	Status string    // WeChat's own words
	At     time.Time // the event's CreateTime. Zero: now
}

// Receipt settles the message of r's msgid: delivered, or rejected with the
// receipt as its reason. It may come before Accepted, twice, or for a message
// that is not ours: it is then kept by its msgid for a day, and nil is
// returned. So it is with MsgID 0, which names no message and is not kept.
func (l *Ledger) Receipt(ctx context.Context, r Receipt) (*Record, error) {
	if r.MsgID == 0 {
		return nil, nil //nolint:nilnil // documented: no message is known
	}
	now := time.Now()
	if r.At.IsZero() {
		r.At = now
	}
	words, state := receiptWords(r.Status)
	id, err := l.park(ctx, r, words, state)
	if err != nil || id == "" {
		return nil, err
	}
	o := &op{
		script: l.scripts.receipt,
		keys:   []string{l.recordKey(id), l.countsKey(day(now)), l.msgidKey(int64(r.MsgID))},
		args:   []any{state.letter(), words, stamp(r.At), millis(l.cfg.Keep), millis(repeatKeep)},
	}
	if err := l.batch.do(ctx, o); err != nil {
		return nil, fmt.Errorf("ledger: record the receipt: %w", err)
	}
	return parse(id, pairs(o.cmd.Val()), now), nil
}

// park finds the id of the message, or leaves the receipt for Accepted. The id
// has to be known before the record's key can be named, hence two steps; either
// order of Accepted and this one ends in the same state.
func (l *Ledger) park(ctx context.Context, r Receipt, words string, state State) (string, error) {
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
		return "user-block", Rejected
	case "system failed":
		return "system-failed", Rejected
	case "freq limit":
		return "freq-limit", Rejected
	case "":
		return "empty-status", Rejected
	default:
		return short(word, maxReason), Rejected
	}
}
