// Package deadletter sends messages again that were given up. It joins the ledger's
// half and the queue's.
package deadletter

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
)

// Retry has the dead letter id of the account appid sent again, with a fresh budget of
// attempts. A repeated call completes one that was cut off. The error wraps
// [ledger.ErrNotDead] or [ledger.ErrNoPayload] when nothing was changed; it is
// [queue.ErrActive] while a worker still holds the message.
func Retry(ctx context.Context, rdb redis.UniversalClient, records *ledger.Ledger, appid, id string) error {
	payload, class, err := records.Revive(ctx, id)
	if err != nil {
		return err
	}
	// A task of this ID that another tool archived would count as enqueued already.
	if err := queue.NewInspector(rdb).Delete(ctx, appid, class, id); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	_, err = queue.Put(ctx, rdb, appid, class, queue.Item{ID: id, Payload: payload})
	return err
}
