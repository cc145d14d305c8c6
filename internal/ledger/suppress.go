package ledger

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// Suppression says that an openid must not be written to.
type Suppression struct {
	OpenID   string
	Template string    // empty: no template at all
	Reason   string    // such as unsubscribed, user-block
	Since    time.Time // when it began; zero: not known. Suppress sets it.
	Until    time.Time // zero: until lifted
	ByAdmin  bool      // a person's decision: what WeChat says neither replaces nor lifts it
}

// Suppress keeps messages from being sent to s.OpenID until s.Until. There is at
// most one for each openid and template: an admin's replaces the one before,
// another only one that ends sooner and is not an admin's. Those that are over are
// removed. A simulated recipient is never suppressed: each of its messages ends as
// its name says.
func (l *Ledger) Suppress(ctx context.Context, s Suppression) error {
	if job.Simulated(s.OpenID) {
		return nil
	}
	if s.OpenID == "" || strings.ContainsAny(s.OpenID, "| ") {
		return errors.New("ledger: an openid is required to suppress")
	}
	now := time.Now()
	till := "0"
	if !s.Until.IsZero() {
		if !s.Until.After(now) {
			return errors.New("ledger: the suppression would end before now")
		}
		till = stamp(s.Until)
	}
	args := append([]any{l.member(s), till, short(s.Reason, MaxSuppressionReason), stamp(now), flag(s.ByAdmin)}, l.reasons...)
	_, err := l.run(ctx, "suppress", []string{l.suppressionsKey(), l.suppressionEndsKey(), l.suppressionStartsKey()}, args...)
	return err
}

// Lift ends a suppression. With an empty template it lifts the one for all
// templates; those for single templates stay. It reports whether there was one.
func (l *Ledger) Lift(ctx context.Context, openid, template string) (bool, error) {
	member := l.member(Suppression{OpenID: openid, Template: template})
	gone := redis.NewIntCmd(ctx, "hdel", l.suppressionsKey(), member)
	if err := l.do(ctx, "lift", gone, redis.NewIntCmd(ctx, "zrem", l.suppressionEndsKey(), member),
		redis.NewIntCmd(ctx, "hdel", l.suppressionStartsKey(), member)); err != nil {
		return false, err
	}
	return gone.Val() > 0, nil
}

// Suppressions reads some, from cursor 0 on, in no order. It returns the next
// cursor, 0 after the last. An entry may come twice while others are added.
func (l *Ledger) Suppressions(ctx context.Context, cursor uint64) ([]Suppression, uint64, error) {
	cmd := redis.NewScanCmd(ctx, nil, "hscan", l.suppressionsKey(), cursor, "count", pipelineSize)
	if err := l.do(ctx, "list the suppressions", cmd); err != nil {
		return nil, 0, err
	}
	list, next := cmd.Val()
	if len(list) == 0 {
		return nil, next, nil
	}
	args := []any{"hmget", l.suppressionStartsKey()}
	for i := 0; i+1 < len(list); i += 2 {
		args = append(args, list[i])
	}
	starts := redis.NewSliceCmd(ctx, args...)
	if err := l.do(ctx, "list the suppressions", starts); err != nil {
		return nil, 0, err
	}
	now := time.Now()
	out := make([]Suppression, 0, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		if s, ok := l.suppressionOf(list[i], list[i+1], now); ok {
			since, _ := starts.Val()[i/2].(string)
			s.Since = moment(since)
			out = append(out, s)
		}
	}
	return out, next, nil
}

// member is the name of a suppression in Redis.
func (l *Ledger) member(s Suppression) string {
	openid := l.sealed.Seal(seal.OpenID, s.OpenID)
	if s.Template == "" {
		return openid
	}
	return openid + "|" + s.Template
}

// suppressionOf reads an entry as stored and reports whether it is in force.
func (l *Ledger) suppressionOf(member, value string, now time.Time) (Suppression, bool) {
	if value == "" {
		return Suppression{}, false
	}
	var s Suppression
	s.OpenID, s.Template, _ = strings.Cut(member, "|")
	s.OpenID = l.sealed.Open(seal.OpenID, s.OpenID)
	till, reason, _ := strings.Cut(value, " ")
	s.Reason, s.ByAdmin = strings.CutPrefix(reason, "@")
	if till != "0" {
		s.Until = moment(till)
	}
	return s, s.Until.IsZero() || s.Until.After(now)
}

// MaxSuppressionReason is the length in bytes at which the reason of a suppression is
// cut: with the mark of an admin's, a record holds it whole.
const MaxSuppressionReason = maxReasonDetail - 1

// unsubscribed is the reason of a follower who left.
const unsubscribed = "unsubscribed"

// recipientReasons are those of suppressions that WeChat's answers, receipts and
// events ask for. Any other reason is an admin's own words.
func recipientReasons() []any {
	reasons := []any{unsubscribed, userBlock}
	for _, code := range wechat.Codes() {
		if kind := code.Kind(); kind == wechat.KindRecipient || kind == wechat.KindRefused {
			reasons = append(reasons, code.Name())
		}
	}
	return reasons
}

// Subscribed lifts what a follow proves wrong: the suppression of openid that
// WeChat's answers and events asked for. An admin's own stays, and so do those of
// single templates. It reports whether there was one.
func (l *Ledger) Subscribed(ctx context.Context, openid string) (bool, error) {
	keys := []string{l.suppressionsKey(), l.suppressionEndsKey(), l.suppressionStartsKey()}
	reply, err := l.run(ctx, "follow", keys, append([]any{l.sealed.Seal(seal.OpenID, openid)}, l.reasons...)...)
	n, _ := reply.(int64)
	return n > 0, err
}

// Unsubscribed suppresses openid until it follows again, or until lifted.
func (l *Ledger) Unsubscribed(ctx context.Context, openid string) error {
	return l.Suppress(ctx, Suppression{OpenID: openid, Reason: unsubscribed})
}
