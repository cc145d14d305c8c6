package ledger

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// maxAudit bounds the trail: the oldest entries go first.
	maxAudit = 10_000
	// maxDetail is in bytes.
	maxDetail = 200
)

// Entry of the account's audit trail.
type Entry struct {
	ID     string    // given by Redis; to list on from here
	At     time.Time // millisecond precision; given by Redis' clock
	Action string    // such as erased, revoked
	Actor  string    // who did it: a person, a command, wechat
	// OpenID and User are whose data it was about. They are masked before they are
	// written: the trail must not be what brings them back.
	OpenID, User string
	Detail       string // cut at 200 bytes; no openid
}

// Audit adds e to the trail, which keeps about the last 10 000 entries. One may be
// there twice when Redis' answer was lost. ID and At are not taken from e.
func (l *Ledger) Audit(ctx context.Context, e Entry) error {
	line := []any{"xadd", l.auditKey(), "maxlen", "~", maxAudit, "*", "action", short(e.Action, maxReason)}
	put := func(name, value string) {
		if value != "" {
			line = append(line, name, value)
		}
	}
	put("actor", short(e.Actor, maxReason))
	put("openid", masked(e.OpenID))
	put("user", masked(e.User))
	put("detail", short(e.Detail, maxDetail))
	return l.do(ctx, "write the audit trail", redis.NewStringCmd(ctx, line...))
}

// Audited lists n entries of the trail, the latest first, from before the entry
// with the ID before. Empty: from the latest.
func (l *Ledger) Audited(ctx context.Context, before string, n int) ([]Entry, error) {
	end := "+"
	if before != "" {
		end = "(" + before
	}
	cmd := redis.NewXMessageSliceCmd(ctx, "xrevrange", l.auditKey(), end, "-", "count", n)
	if err := l.do(ctx, "read the audit trail", cmd); err != nil {
		return nil, err
	}
	out := make([]Entry, 0, len(cmd.Val()))
	for _, m := range cmd.Val() {
		text := func(name string) string {
			value, _ := m.Values[name].(string)
			return value
		}
		at, _, _ := strings.Cut(m.ID, "-")
		out = append(out, Entry{
			ID: m.ID, At: moment(at), Action: text("action"), Actor: text("actor"),
			OpenID: text("openid"), User: text("user"), Detail: text("detail"),
		})
	}
	return out, nil
}

func masked(name string) string {
	if name == "" {
		return ""
	}
	return wechat.MaskOpenID(name)
}
