package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// Recipient is an openid and the template of a message to it.
type Recipient struct {
	OpenID   string
	Template string // empty: only suppressions of all templates count
}

// Suppressed reads for each recipient the suppression that is in force, of all templates
// or of its own; nil: there is none. Since is not read.
func (l *Ledger) Suppressed(ctx context.Context, recipients ...Recipient) ([]*Suppression, error) {
	out := make([]*Suppression, 0, len(recipients))
	for part := range slices.Chunk(recipients, pipelineSize) {
		line := []any{"hmget", l.suppressionsKey()}
		for _, r := range part {
			line = append(line, l.member(Suppression{OpenID: r.OpenID}), l.member(Suppression{OpenID: r.OpenID, Template: r.Template}))
		}
		cmd := redis.NewSliceCmd(ctx, line...)
		if err := l.do(ctx, "read suppressions", cmd); err != nil {
			return nil, err
		}
		now := time.Now()
		for i := range part {
			out = append(out, l.inForce(line[2+2*i:4+2*i], cmd.Val()[2*i:2*i+2], now))
		}
	}
	return out, nil
}

// inForce is the first entry that is in force.
func (l *Ledger) inForce(members, values []any, now time.Time) *Suppression {
	for i, v := range values {
		member, _ := members[i].(string)
		value, _ := v.(string)
		if s, ok := l.suppressionOf(member, value, now); ok {
			return &s
		}
	}
	return nil
}

// Listed lifts what WeChat's list of followers proves wrong: suppressions of openids that
// did not follow. A follower may refuse messages, so that any other suppression stays. It
// returns how many it lifted.
func (l *Ledger) Listed(ctx context.Context, openids ...string) (int, error) {
	recipients := make([]Recipient, 0, len(openids))
	for _, openid := range openids {
		recipients = append(recipients, Recipient{OpenID: openid})
	}
	list, err := l.Suppressed(ctx, recipients...)
	if err != nil {
		return 0, err
	}
	reasons := []any{unsubscribed, wechat.CodeNotFollower.Name()}
	keys := []string{l.suppressionsKey(), l.suppressionEndsKey(), l.suppressionStartsKey()}
	lifted := 0
	for i, s := range list {
		if s == nil || s.ByAdmin || !slices.Contains(reasons, any(s.Reason)) {
			continue
		}
		reply, err := l.run(ctx, "follow", keys, append([]any{l.sealed.Seal(seal.OpenID, openids[i])}, reasons...)...)
		if err != nil {
			return lifted, err
		}
		if reply == int64(1) {
			lifted++
		}
	}
	return lifted, nil
}

// Stays reports that s is not about whether the openid follows, nor about the openid
// itself: it goes with the person to another openid.
func (s *Suppression) Stays() bool {
	switch s.Reason {
	case unsubscribed, reasonMigrated, wechat.CodeNotFollower.Name(), wechat.CodeInvalidOpenID.Name():
		return false
	}
	return true
}

// reasonMigrated is the reason of an openid of an account that has moved.
const reasonMigrated = "account-migrated"

// Migrated suppresses an openid that is of no use any more, because its account has moved
// to another one (changeopenid). It stays until lifted.
func (l *Ledger) Migrated(ctx context.Context, openid string) error {
	return l.Suppress(ctx, Suppression{OpenID: openid, Reason: reasonMigrated, ByAdmin: true})
}
