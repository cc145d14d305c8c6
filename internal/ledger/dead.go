package ledger

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Dead lists n dead letters from offset on, the latest first, and how many
// there are. They are kept for Config.KeepDead.
func (l *Ledger) Dead(ctx context.Context, offset, n int) ([]*Record, int, error) {
	if offset < 0 || n <= 0 {
		return nil, 0, fmt.Errorf("ledger: offset %d and count %d: the one must not be negative, the other must be positive", offset, n)
	}
	list := redis.NewStringSliceCmd(ctx, "zrevrange", l.deadKey(), offset, offset+n-1)
	total := redis.NewIntCmd(ctx, "zcard", l.deadKey())
	if err := l.batch.do(ctx, &op{plain: list}, &op{plain: total}); err != nil {
		return nil, 0, fmt.Errorf("ledger: list the dead: %w", err)
	}
	found, err := l.Get(ctx, list.Val()...)
	if err != nil {
		return nil, 0, err
	}
	records := found[:0]
	for _, r := range found {
		if r != nil { // the index is swept at the next death only
			records = append(records, r)
		}
	}
	return records, int(total.Val()), nil
}

// Payload returns the envelope of a dead letter as it was queued, nil when
// there is none. Put on its queue again, it is sent afresh.
func (l *Ledger) Payload(ctx context.Context, id string) ([]byte, error) {
	cmd := redis.NewStringCmd(ctx, "get", l.letterKey(id))
	if err := l.batch.do(ctx, &op{plain: cmd}); err != nil {
		return nil, fmt.Errorf("ledger: read the dead letter: %w", err)
	}
	if cmd.Val() == "" {
		return nil, nil
	}
	return []byte(cmd.Val()), nil
}

// Drop removes dead letters and their payloads. Their records stay until their
// time is over, so that their IDs are not used twice.
func (l *Ledger) Drop(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	members, keys := []any{"zrem", l.deadKey()}, []any{"del"}
	for _, id := range ids {
		members, keys = append(members, id), append(keys, l.letterKey(id))
	}
	err := l.batch.do(ctx, &op{plain: redis.NewIntCmd(ctx, members...)}, &op{plain: redis.NewIntCmd(ctx, keys...)})
	if err != nil {
		return fmt.Errorf("ledger: drop dead letters: %w", err)
	}
	return nil
}
