package ledger

import (
	"context"
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
// ends a message to r.OpenID of which no msgid is known: one that was accepted
// with msgid 0, or whose answer was lost (it may even have ended as unknown). It
// does so only when exactly one can be meant, within receiptWindow: another system
// of the account may have sent this receipt's message, and of two of ours it may
// be the wrong one. A message that is still tried is not sent again then. What is
// matched in this way is never sent again by its receipt: Resend is nil.
//
// MsgID 0 ends what Receipt would, or else what has no answer, by the same
// rule. nil: nothing was found, and the receipt may be dropped.
func (l *Ledger) Match(ctx context.Context, r Receipt) (*Settled, error) {
	now := time.Now()
	if r.At.IsZero() {
		r.At = now
	}
	return l.matchByOpenID(ctx, r, now, true)
}

// matchByOpenID ends a message that the receipt does not name. With open, it may be
// one whose outcome is not known.
func (l *Ledger) matchByOpenID(ctx context.Context, r Receipt, now time.Time, open bool) (*Settled, error) {
	named := redis.NewStringCmd(ctx, "get", l.msgidKey(r.MsgID))
	latest := redis.NewZSliceCmd(ctx, "zrange", l.latestKey(r.OpenID), 0, -1, "withscores")
	if err := l.do(ctx, "look for the receipt's message", named, latest); err != nil {
		return nil, err
	}
	if id, ok := messageOf(named.Val()); ok {
		return l.applyReceipt(ctx, r, id, now)
	}
	if r.OpenID == "" || len(latest.Val()) == 0 {
		return nil, nil //nolint:nilnil // documented: no message is known
	}
	keys := []string{l.latestKey(r.OpenID), l.awaitingReceiptKey(), l.msgidKey(r.MsgID)}
	args := []any{0}
	for _, z := range latest.Val() {
		member, _ := z.Member.(string)
		begun := time.UnixMilli(int64(z.Score))
		if id, ok := strings.CutPrefix(member, "="); ok && !r.At.Add(receiptSlack).Before(begun) {
			keys, args = append(keys, l.recordKey(id), l.payloadKey(id)), append(args, id)
		}
	}
	args[0] = len(args) - 1
	words, state := receiptWords(r.Status)
	reply, err := l.run(ctx, "match", l.telling(now, keys...), append(args,
		"now", stamp(now), "state", state.code(), "words", words, "at", stamp(r.At), "msgid", r.MsgID.String(),
		"mark", "!"+stamp(r.At)+" "+state.code()+" ", "open_too", flag(open), "window", millis(receiptWindow),
		"keep", millis(l.cfg.Keep), "repeat_life", millis(repeatKeep), "latest_life", millis(latestKeep))...)
	if err != nil {
		return nil, err
	}
	return l.matched(ctx, r, reply, now)
}

// matched reads what the script of matchByOpenID found.
func (l *Ledger) matched(ctx context.Context, r Receipt, reply any, now time.Time) (*Settled, error) {
	v, err := stringList(reply, 1)
	if err != nil {
		return nil, err
	}
	list, _ := reply.([]any)
	switch {
	case v[0] == "matched" && len(v) == 3:
		found := settledOf(l.parse(v[1], stringMap(list[2]), now))
		if found != nil {
			found.Now = true
		}
		return found, nil
	case v[0] == "known" && r.MsgID != 0: // since the first look
		return l.applyReceipt(ctx, r, v[1], now)
	case v[0] == "known": // this very receipt, once more
		found, err := l.Get(ctx, v[1])
		if err != nil {
			return nil, err
		}
		if found[0] != nil {
			found[0].Template = "" // as at the first time
		}
		return settledOf(found[0]), nil
	default:
		return nil, nil //nolint:nilnil // documented: no message is known
	}
}

// messageOf is the id in a msgid's key.
func messageOf(value string) (string, bool) {
	if id, ok := strings.CutPrefix(value, "="); ok {
		return id, true
	}
	return strings.CutPrefix(value, "~")
}
