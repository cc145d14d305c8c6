package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Suppression says that an openid must not be written to.
type Suppression struct {
	OpenID   string
	Template string    // empty: no template at all
	Reason   string    // such as unsubscribed, user-block
	Until    time.Time // zero: until lifted
	ByAdmin  bool      // a person's decision: what WeChat says neither replaces nor lifts it
}

// Suppress keeps messages from being sent to s.OpenID until s.Until. There is at
// most one for each openid and template: an admin's replaces the one before,
// another only one that ends sooner and is not an admin's. Those that end are
// swept.
func (l *Ledger) Suppress(ctx context.Context, s Suppression) error {
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
	o := &op{
		script: l.scripts.suppress,
		keys:   []string{l.suppressionsKey(), l.suppressionEndsKey()},
		args:   append([]any{s.member(), till, short(s.Reason, maxReason), stamp(now), flag(s.ByAdmin)}, l.reasons...),
	}
	if err := l.batch.do(ctx, o); err != nil {
		return fmt.Errorf("ledger: suppress: %w", err)
	}
	return nil
}

// Lift ends a suppression. With an empty template it lifts the one for all
// templates; those for single templates stay. It reports whether there was one.
func (l *Ledger) Lift(ctx context.Context, openid, template string) (bool, error) {
	member := Suppression{OpenID: openid, Template: template}.member()
	gone := redis.NewIntCmd(ctx, "hdel", l.suppressionsKey(), member)
	err := l.batch.do(ctx, &op{plain: gone},
		&op{plain: redis.NewIntCmd(ctx, "zrem", l.suppressionEndsKey(), member)})
	if err != nil {
		return false, fmt.Errorf("ledger: lift the suppression: %w", err)
	}
	return gone.Val() > 0, nil
}

// Suppressed returns what keeps template from being sent to openid, nil when
// nothing does.
func (l *Ledger) Suppressed(ctx context.Context, openid, template string) (*Suppression, error) {
	all, one := Suppression{OpenID: openid}.member(), Suppression{OpenID: openid, Template: template}.member()
	cmd := redis.NewSliceCmd(ctx, "hmget", l.suppressionsKey(), all, one)
	if err := l.batch.do(ctx, &op{plain: cmd}); err != nil {
		return nil, fmt.Errorf("ledger: read the suppression: %w", err)
	}
	now := time.Now()
	for i, member := range []string{all, one} {
		value, _ := cmd.Val()[i].(string)
		if s, ok := suppressionOf(member, value, now); ok {
			return &s, nil
		}
	}
	return nil, nil //nolint:nilnil // documented: nothing is suppressed
}

// Suppressions reads some, from cursor 0 on, in no order. It returns the next
// cursor, 0 after the last. An entry may come twice while others are added.
func (l *Ledger) Suppressions(ctx context.Context, cursor uint64) ([]Suppression, uint64, error) {
	cmd := redis.NewScanCmd(ctx, nil, "hscan", l.suppressionsKey(), cursor, "count", batchSize)
	if err := l.batch.do(ctx, &op{plain: cmd}); err != nil {
		return nil, 0, fmt.Errorf("ledger: list the suppressions: %w", err)
	}
	list, next := cmd.Val()
	now := time.Now()
	out := make([]Suppression, 0, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		if s, ok := suppressionOf(list[i], list[i+1], now); ok {
			out = append(out, s)
		}
	}
	return out, next, nil
}

func (s Suppression) member() string {
	if s.Template == "" {
		return s.OpenID
	}
	return s.OpenID + "|" + s.Template
}

// suppressionOf reads an entry as stored and reports whether it is in force.
func suppressionOf(member, value string, now time.Time) (Suppression, bool) {
	if value == "" {
		return Suppression{}, false
	}
	var s Suppression
	s.OpenID, s.Template, _ = strings.Cut(member, "|")
	till, reason, _ := strings.Cut(value, " ")
	s.Reason, s.ByAdmin = strings.CutPrefix(reason, "@")
	if till != "0" {
		s.Until = moment(till)
	}
	return s, s.Until.IsZero() || s.Until.After(now)
}
