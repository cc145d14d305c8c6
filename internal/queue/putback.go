package queue

import (
	"context"
	_ "embed" // the scripts
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

var (
	//go:embed lua/giveback.lua
	giveBackLua string
	//go:embed lua/requeue.lua
	requeueLua string

	giveBackScript = redisx.NewScript(giveBackLua)
	requeueScript  = redisx.NewScript(requeueLua)
)

// giveBack puts tasks that asynq did not take back at the head of their queue.
func (f *fetcher) giveBack(ctx context.Context, left []delivery) {
	q := left[0].queue
	keys := []string{q.active, q.lease, q.pending}
	args := []any{time.Now().UnixNano()}
	for i := range left {
		d := &left[i]
		f.gate.Return(d.permit)
		delivered := "0"
		if d.redelivered {
			delivered = "1"
		}
		keys = append(keys, q.tasks+d.id)
		args = append(args, d.id, d.lease, delivered)
	}
	if err := giveBackScript.Run(context.WithoutCancel(ctx), f.rdb, keys, args...).Err(); err != nil {
		f.log.Warn("queue: returning fetched tasks failed; they are recovered when their lease ends",
			zap.Int("tasks", len(left)), zap.Error(err))
	}
	f.wake(q.class)
}

// putBack puts the task of a handler back at the head of its queue. It is done before
// the slot is free, so that the next task does not overtake it.
func (f *fetcher) putBack(ctx context.Context, d *delivery) bool {
	q := d.queue
	err := requeueScript.Run(context.WithoutCancel(ctx), f.rdb,
		[]string{q.tasks + d.id, q.active, q.lease, q.pending}, d.id, time.Now().UnixNano()).Err()
	if err != nil {
		f.log.Warn("queue: putting a task back failed; it is retried in a second",
			zap.String("id", d.id), zap.Error(err))
		return false
	}
	f.wake(q.class)
	return true
}
