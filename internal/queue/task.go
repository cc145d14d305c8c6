package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// Waiting is a task on its queue.
type Waiting struct {
	State   string    // as asynq names it: pending, active, scheduled, retry …
	Payload []byte    // the envelope; nil: it cannot be read
	Due     time.Time // of a scheduled task or a retry, whole seconds; zero: at once, or not known
}

// Task reads the task of a message, in one round trip. It returns nil when the queue
// has none.
func (n *Inspector) Task(ctx context.Context, account string, class job.Class, id string) (*Waiting, error) {
	q := keysOf(account, class)
	task := redis.NewSliceCmd(ctx, "hmget", q.tasks+id, "state", "msg")
	scheduled := redis.NewFloatCmd(ctx, "zscore", q.scheduled, id)
	retry := redis.NewFloatCmd(ctx, "zscore", q.retry, id)
	redisx.Exec(ctx, n.rdb, task, scheduled, retry)
	if err := task.Err(); err != nil {
		return nil, wrap("read a task", err)
	}
	if len(task.Val()) != 2 || task.Val()[0] == nil {
		return nil, nil //nolint:nilnil // documented: there is no task
	}
	out := &Waiting{}
	out.State, _ = task.Val()[0].(string)
	message, _ := task.Val()[1].(string)
	if payload, ok := payloadOf([]byte(message)); ok {
		out.Payload = payload
	}
	for _, due := range []*redis.FloatCmd{scheduled, retry} {
		switch {
		case due.Err() == nil:
			out.Due = time.Unix(int64(due.Val()), 0)
		case !errors.Is(due.Err(), redis.Nil):
			return nil, wrap("read a task", fmt.Errorf("due time: %w", due.Err()))
		}
	}
	return out, nil
}
