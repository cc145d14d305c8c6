// Package deadletter sends messages again that were given up. It joins the ledger's
// half and the queue's.
package deadletter

import (
	"context"
	"errors"
	"fmt"

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
	tasks := queue.NewInspector(rdb)
	if r := found[0]; r != nil && r.State == ledger.Dead {
		task, err := tasks.Task(ctx, appid, r.Class, id)
		if err != nil {
			return err
		}
		if task != nil && task.State == "active" {
			return fmt.Errorf("%w (ID %s)", queue.ErrActive, id)
		}
	}
	payload, class, err := records.Revive(ctx, id)
	if err != nil {
		return err
	}
	// A task of this ID that another tool archived would count as enqueued already.
	if err := tasks.Delete(ctx, appid, class, id); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	_, err = queue.Put(ctx, rdb, appid, class, queue.Item{ID: id, Payload: payload})
	return err
}
