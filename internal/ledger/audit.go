package ledger

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// maxAudit bounds the trail: the oldest entries go first.
	maxAudit = 10_000
	// MaxBindings bounds the trail of bindings in the same way: some 15 MB.
	MaxBindings = 100_000
	// maxDetail is in bytes.
	maxDetail = 200
)

// Entry of the account's audit trail.
type Entry struct {
	ID     string    `json:"-"`               // given by Redis; to list on from here
	At     time.Time `json:"at"`              // millisecond precision; given by Redis' clock
	Action string    `json:"action"`          // such as erased, bound, unbound
	Actor  string    `json:"actor,omitempty"` // who did it: a person, a command, wechat
	// OpenID and User are whose data it was about. They are masked before they are
	// written: the trail must not be what brings them back.
	OpenID string `json:"openid,omitempty"`
	User   string `json:"user,omitempty"`
	Detail string `json:"detail,omitempty"` // cut at 200 bytes; no openid
}

// AuditFields returns the names and values under which e lies in a trail, all but
// ID and At. It masks OpenID and User.
func AuditFields(e Entry) []any {
	line := []any{"action", short(e.Action, maxReason)}
	put := func(name, value string) {
		if value != "" {
			line = append(line, name, value)
		}
	}
	put("actor", short(e.Actor, maxReason))
	put("openid", masked(e.OpenID))
	put("user", masked(e.User))
	put("detail", short(e.Detail, maxDetail))
	return line
}

// Audit adds e to the trail, which keeps about the last 10 000 entries. One may be
// there twice when Redis' answer was lost. ID and At are not taken from e.
func (l *Ledger) Audit(ctx context.Context, e Entry) error {
	line := append([]any{"xadd", l.auditKey(), "maxlen", "~", maxAudit, "*"}, AuditFields(e)...)
	return l.do(ctx, "write the audit trail", redis.NewStringCmd(ctx, line...))
}

// Audited lists at least n entries of the trails, if there are so many, the latest
// first, from before the entry with the ID before. Empty: from the latest. Two entries
// of one ID are listed together.
func (l *Ledger) Audited(ctx context.Context, before string, n int) ([]Entry, error) {
	end := "+"
	if before != "" {
		end = "(" + before
	}
	var out []Entry
	for _, key := range []string{l.auditKey(), BindingsKey(l.account)} {
		cmd := redis.NewXMessageSliceCmd(ctx, "xrevrange", key, end, "-", "count", n)
		if err := l.do(ctx, "read the audit trail", cmd); err != nil {
			return nil, err
		}
		for _, m := range cmd.Val() {
			out = append(out, entryOf(m))
		}
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return redisx.CompareIDs(b.ID, a.ID) })
	if len(out) > n && n > 0 && out[n].ID == out[n-1].ID {
		n++
	}
	return out[:min(n, len(out))], nil
}

func entryOf(m redis.XMessage) Entry {
	text := func(name string) string {
		value, _ := m.Values[name].(string)
		return value
	}
	at, _, _ := strings.Cut(m.ID, "-")
	return Entry{
		ID: m.ID, At: moment(at), Action: text("action"), Actor: text("actor"),
		OpenID: text("openid"), User: text("user"), Detail: text("detail"),
	}
}

func masked(name string) string {
	if name == "" {
		return ""
	}
	return wechat.MaskOpenID(name)
}
