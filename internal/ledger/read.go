package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Get reads records in the order of ids; a missing one is nil. An accepted
// message whose receipt did not come within ReceiptWait has an EndedAt and the
// reason ReasonNoReceipt: both are computed here, and Sweep only counts.
func (l *Ledger) Get(ctx context.Context, ids ...string) ([]*Record, error) {
	now := time.Now()
	out := make([]*Record, 0, len(ids))
	for rest := ids; len(rest) > 0; {
		n := min(len(rest), batchSize)
		cmds := make([]*redis.MapStringStringCmd, n)
		ops := make([]*op, n)
		for i, id := range rest[:n] {
			cmds[i] = redis.NewMapStringStringCmd(ctx, "hgetall", l.recordKey(id))
			ops[i] = &op{plain: cmds[i]}
		}
		if err := l.batch.do(ctx, ops...); err != nil {
			return nil, fmt.Errorf("ledger: read: %w", err)
		}
		for i, id := range rest[:n] {
			out = append(out, parse(id, cmds[i].Val(), now))
		}
		rest = rest[n:]
	}
	return out, nil
}

// Missing and Resent are keys of Counts alone; no record is in such a state.
const (
	Missing = "missing" // accepted, but no receipt came within ReceiptWait
	Resent  = "resent"  // to be sent again after a failed receipt
)

// Counts tells how many messages were accepted and how many reached each end on
// the UTC day of t, and how many were Missing and Resent. Accepted messages are
// counted again at their end. Days are kept for eight days.
func (l *Ledger) Counts(ctx context.Context, t time.Time) (map[State]int64, error) {
	cmd := redis.NewMapStringStringCmd(ctx, "hgetall", l.countsKey(day(t)))
	if err := l.batch.do(ctx, &op{plain: cmd}); err != nil {
		return nil, fmt.Errorf("ledger: read the counts: %w", err)
	}
	out := make(map[State]int64, len(cmd.Val()))
	for letter, n := range cmd.Val() {
		switch letter {
		case "m":
			out[Missing] = number(n)
		case "g":
			out[Resent] = number(n)
		default:
			out[stateOf(letter)] = number(n)
		}
	}
	return out, nil
}

// pairs reads a script's flat list of fields and values.
func pairs(reply any) map[string]string {
	list, ok := reply.([]any)
	if !ok {
		return nil
	}
	out := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		name, _ := list[i].(string)
		out[name], _ = list[i+1].(string)
	}
	return out
}
