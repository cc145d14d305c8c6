package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// Errors of Revive.
var (
	// ErrNotDead says that the message has another state, or none.
	ErrNotDead = errors.New("the message is not dead")
	// ErrNoPayload says that the dead letter was dropped or has expired: enqueue the
	// message under a new ID.
	ErrNoPayload = errors.New("the payload of the dead letter is gone")
)

// Dead lists n dead letters from offset on, the latest first, and how many
// there are. They are kept for 30 days.
func (l *Ledger) Dead(ctx context.Context, offset, n int) ([]*Record, int, error) {
	if offset < 0 || n <= 0 {
		return nil, 0, fmt.Errorf("ledger: offset %d must not be negative and count %d must be positive", offset, n)
	}
	list := redis.NewStringSliceCmd(ctx, "zrevrange", l.deadKey(), offset, offset+n-1)
	total := redis.NewIntCmd(ctx, "zcard", l.deadKey())
	if err := l.do(ctx, "list the dead", list, total); err != nil {
		return nil, 0, err
	}
	found, err := l.Get(ctx, list.Val()...)
	if err != nil {
		return nil, 0, err
	}
	records := found[:0]
	for _, r := range found {
		if r != nil { // old entries leave the index at the next death only
			records = append(records, r)
		}
	}
	return records, int(total.Val()), nil
}

// Revive has a dead letter sent again with a fresh budget of attempts: the message
// is queued, and the caller puts the payload on the queue of its class. A task
// that is there already is success. Until that task begins, a repeated call
// answers the same. The error wraps [ErrNotDead] or [ErrNoPayload] when nothing was
// changed.
func (l *Ledger) Revive(ctx context.Context, id string) (payload []byte, class job.Class, err error) {
	keys := []string{l.recordKey(id), l.deadKey(), l.payloadKey(id), l.oldDeadLetterKey(id)}
	reply, err := l.run(ctx, "revive", keys, "id", id, "now", time.Now().UnixMilli(), "life", millis(live), "payload_life", millis(indexKeep))
	if err != nil {
		return nil, "", err
	}
	v, err := stringList(reply, 1)
	switch {
	case err != nil:
		return nil, "", err
	case len(v) == 2:
		return []byte(v[1]), classOf(v[0]), nil
	case v[0] == "no-payload":
		return nil, "", fmt.Errorf("ledger: revive: %w", ErrNoPayload)
	default:
		return nil, "", fmt.Errorf("ledger: revive: %w", ErrNotDead)
	}
}

// Drop removes dead letters and their payloads. Their records stay until their
// time is over, so that their IDs are not used twice. Messages that are not dead
// are left as they are.
func (l *Ledger) Drop(ctx context.Context, ids ...string) error {
	found, err := l.Get(ctx, ids...)
	if err != nil {
		return err
	}
	members, keys := []any{"zrem", l.deadKey()}, []any{"del"}
	for i, id := range ids {
		if found[i] != nil && found[i].State == Dead {
			members, keys = append(members, id), append(keys, l.payloadKey(id), l.oldDeadLetterKey(id))
		}
	}
	if len(keys) == 1 {
		return nil
	}
	return l.do(ctx, "drop dead letters", redis.NewIntCmd(ctx, members...), redis.NewIntCmd(ctx, keys...))
}
