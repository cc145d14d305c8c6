package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Again puts a message that was sent before on its queue once more. It is done,
// too, when a task of the ID waits there already: from an earlier call whose
// answer was lost. The error is ErrActive while a worker has the first task in
// hand, which goes with its ID when it is completed: try again in a moment.
func (q *Enqueuer) Again(ctx context.Context, item Item) error {
	const tries = 3 // a task that goes between the two looks is looked for again
	keys := keysOf(item.Account, item.Class)
	for range tries {
		results, err := q.Enqueue(ctx, []Item{item}, nil)
		switch {
		case err != nil:
			return err
		case results[0].Err != nil:
			return results[0].Err
		case !results[0].Duplicate:
			return nil
		}
		state, err := q.rdb.HGet(ctx, keys.task(item.ID), "state").Result()
		switch {
		case err != nil && !errors.Is(err, redis.Nil):
			return wrap("enqueue again", err)
		case state == "pending", state == "scheduled", state == "retry":
			return nil
		case state != "" && state != "active":
			return fmt.Errorf("broker: enqueue again: the task of ID %s is %s: retry or drop it first", item.ID, state)
		case state == "active":
			return fmt.Errorf("%w (ID %s)", ErrActive, item.ID)
		}
	}
	return fmt.Errorf("%w (ID %s)", ErrActive, item.ID)
}
