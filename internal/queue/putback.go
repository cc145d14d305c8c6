package queue

import (
	"context"
	"time"

	"go.uber.org/zap"
)

var giveBackScript = script("giveback")

// giveBack puts fetched tasks that asynq did not take back at the head of their queue.
func (f *fetcher) giveBack(ctx context.Context, left []delivery) {
	for i := range left {
		f.gate.Return(left[i].permit)
	}
	if err := f.toHead(ctx, left); err != nil {
		f.log.Warn("queue: returning fetched tasks failed; they are recovered when their lease ends",
			zap.Int("tasks", len(left)), zap.Error(err))
	}
}

// putBack puts the task of a handler back at the head of its queue. It is done before
// the slot is free, so that the next task does not overtake it.
func (f *fetcher) putBack(ctx context.Context, d *delivery) bool {
	handled := *d
	handled.lease, handled.redelivered = 0, true // asynq has extended the lease
	if err := f.toHead(ctx, []delivery{handled}); err != nil {
		f.log.Warn("queue: putting a task back failed; it is retried in a second",
			zap.String("id", d.id), zap.Error(err))
		return false
	}
	return true
}

// toHead runs giveback.lua for tasks of one queue.
func (f *fetcher) toHead(ctx context.Context, tasks []delivery) error {
	q := tasks[0].queue
	keys, args := []string{q.active, q.lease, q.pending}, []any{time.Now().UnixNano()}
	for i := range tasks {
		d := &tasks[i]
		keys, args = append(keys, q.tasks+d.id), append(args, d.id, d.lease, d.redelivered)
	}
	defer f.wake(q.class)
	return giveBackScript.Run(context.WithoutCancel(ctx), f.rdb, keys, args...).Err() //nolint:wrapcheck // the callers say what failed
}
