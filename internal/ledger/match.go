package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// receiptWindow is how long after its acceptance, or after its first attempt
	// without an answer, a message may have a receipt that does not name it.
	receiptWindow = 10 * time.Minute
	// receiptSlack is how much sooner than our attempt the event may claim to be:
	// its time is cut to whole seconds, and two clocks differ a little.
	receiptSlack = 5 * time.Second
)

// Match looks again for the message of a receipt for which Receipt returned nil,
// about a minute later, when the answer to the send is long recorded or lost.
//
// When its msgid is known by now, Match does what Receipt does. Otherwise it
// settles a message to r.OpenID of which no msgid is known: one that was accepted
// with msgid 0, or whose answer was lost (it may even have ended as unknown). It
// does so only when exactly one can be meant, within receiptWindow: another system
// of the account may have sent this receipt's message, and of two of ours it may
// be the wrong one. A message that is still tried is not sent again then. What is
// settled in this way is never sent again by its receipt: Resend is nil.
//
// MsgID 0 settles what Receipt would, or else what has no answer, by the same
// rule. nil: nothing was found, and the receipt may be forgotten.
func (l *Ledger) Match(ctx context.Context, r Receipt) (*Settled, error) {
	now := time.Now()
	if r.At.IsZero() {
		r.At = now
	}
	return l.guess(ctx, r, now, true)
}

// guess settles a message that the receipt does not name.
func (l *Ledger) guess(ctx context.Context, r Receipt, now time.Time, open bool) (*Settled, error) {
	named := redis.NewStringCmd(ctx, "get", l.msgidKey(int64(r.MsgID)))
	near := redis.NewZSliceCmd(ctx, "zrange", l.nearKey(r.OpenID), 0, -1, "withscores")
	if err := l.batch.do(ctx, &op{plain: named}, &op{plain: near}); err != nil {
		return nil, fmt.Errorf("ledger: look for the receipt's message: %w", err)
	}
	if id, ok := messageOf(named.Val()); ok {
		return l.settle(ctx, r, id, now)
	}
	if r.OpenID == "" || len(near.Val()) == 0 {
		return nil, nil //nolint:nilnil // documented: no message is known
	}
	words, state := receiptWords(r.Status)
	mark := "!" + stamp(r.At) + " " + state.letter() + " "
	var ids []string
	for _, z := range near.Val() {
		member, _ := z.Member.(string)
		begun := time.UnixMilli(int64(z.Score))
		if id, ok := strings.CutPrefix(member, "="); ok && !r.At.Add(receiptSlack).Before(begun) {
			ids = append(ids, id)
		}
	}
	o := &op{
		script: l.scripts.match,
		keys:   []string{l.nearKey(r.OpenID), l.countsKey(day(now)), l.awaitKey(), l.msgidKey(int64(r.MsgID))},
		args: []any{
			state.letter(), words, stamp(r.At), stamp(now), r.MsgID.String(), mark,
			millis(l.cfg.Keep), millis(repeatKeep), millis(receiptWindow), millis(nearKeep), flag(open),
		},
	}
	for _, id := range ids {
		o.keys, o.args = append(o.keys, l.recordKey(id)), append(o.args, id)
	}
	for _, id := range ids {
		o.keys = append(o.keys, l.payloadKey(id))
	}
	if err := l.batch.do(ctx, o); err != nil {
		return nil, fmt.Errorf("ledger: match the receipt: %w", err)
	}
	return l.matched(ctx, r, o.cmd.Val(), now)
}

// matched reads what the script of guess found.
func (l *Ledger) matched(ctx context.Context, r Receipt, reply any, now time.Time) (*Settled, error) {
	list, ok := reply.([]any)
	if !ok || len(list) < 2 {
		return nil, fmt.Errorf("ledger: the script for a match answered %T", reply)
	}
	word, _ := list[0].(string)
	id, _ := list[1].(string)
	switch {
	case word == "settled" && len(list) > 2:
		return settledOf(parse(id, pairs(list[2]), now)), nil
	case word == "known" && r.MsgID != 0: // since we looked
		return l.settle(ctx, r, id, now)
	case word == "known": // this very receipt, once more
		found, err := l.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		return settledOf(found[0]), nil
	default:
		return nil, nil //nolint:nilnil // documented: no message is known
	}
}

func settledOf(r *Record) *Settled {
	if r == nil {
		return nil
	}
	return &Settled{Record: *r}
}

// messageOf is the id in a msgid's key.
func messageOf(value string) (string, bool) {
	if id, ok := strings.CutPrefix(value, "="); ok {
		return id, true
	}
	return strings.CutPrefix(value, "~")
}
