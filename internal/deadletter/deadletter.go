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
// attempts. A repeated call completes one that was cut off. Nothing was changed when the
// error wraps [ledger.ErrNotDead], [ledger.ErrNoPayload], or [queue.ErrActive]: a worker
// has yet to complete the task.
func Retry(ctx context.Context, rdb redis.UniversalClient, records *ledger.Ledger, appid, id string) error {
	found, err := records.Get(ctx, id)
	if err != nil {
		return err
	}
	if r := found[0]; r != nil && r.State == ledger.Dead {
		// A task that its worker left, or that another tool archived, goes before: a worker
		// that has seen the end would complete it as the task of the new life.
		err := queue.NewInspector(rdb).Delete(ctx, appid, r.Class, id)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return err
		}
	}
	payload, class, err := records.Revive(ctx, id)
	if err != nil {
		return err
	}
	// Replace: another tool may have archived the task that a call before this one put.
	_, err = queue.Put(ctx, rdb, appid, class, queue.Item{ID: id, Payload: payload, Replace: true})
	return err
}
