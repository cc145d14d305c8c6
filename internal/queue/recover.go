package queue

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

var (
	//go:embed lua/recover.lua
	recoverLua string
	//go:embed lua/forward.lua
	forwardLua string

	recoverScript = redisx.NewScript(recoverLua)
	forwardScript = redisx.NewScript(forwardLua)
)

const (
	forwardEvery = time.Second
	forwardBatch = 500
	// sweepEvery is the pause between sweeps of an account, all processes together.
	sweepEvery = 5 * time.Second
	// leaseSlack is how long after the end of its lease a task is taken for
	// abandoned. With lease and sweep a killed worker's tasks are back within 40 s.
	leaseSlack = 5 * time.Second
	sweepBatch = 200
)

// Swept is what one sweep of an account mended.
type Swept struct {
	Ran       bool // false: another process swept less than 5 s ago
	Recovered int  // tasks of a worker that is gone, back at the head of their queue
	Missing   int  // IDs without a message, removed
	Stale     int  // leases without a task, removed
}

// forward moves what is due once a second, until ctx ends, and wakes the fetch loop.
func (f *fetcher) forward(ctx context.Context) {
	for redisx.Sleep(ctx, forwardEvery) == nil {
		if f.clock.wrong() {
			continue
		}
		cmds := make([]redis.Cmder, len(f.queues))
		for i, q := range f.queues {
			cmds[i] = forwardScript.Call(ctx, []string{q.retry, q.scheduled, q.pending}, q.tasks, forwardBatch)
		}
		redisx.Exec(ctx, f.rdb, cmds...)
		for i, cmd := range cmds {
			n, err := cmd.(*redisx.Call).Int()
			if err != nil && ctx.Err() == nil {
				f.log.Warn("queue: cannot move due tasks, trying again", zap.String("account", f.account), zap.Error(err))
			}
			if n > 0 {
				f.wake(f.queues[i].class)
			}
		}
	}
}

// recover sweeps every 5 s until ctx ends.
func (f *fetcher) recover(ctx context.Context) {
	for ctx.Err() == nil {
		if !f.clock.wrong() {
			swept, err := Sweep(ctx, f.rdb, f.account)
			switch {
			case err != nil && ctx.Err() == nil:
				f.log.Warn("queue: the sweep failed, trying again", zap.String("account", f.account), zap.Error(err))
			case swept.Recovered+swept.Missing+swept.Stale > 0:
				f.log.Warn("queue: the sweep put back tasks of a worker that is gone", zap.String("account", f.account),
					zap.Int("recovered", swept.Recovered), zap.Int("without_message", swept.Missing), zap.Int("stale_leases", swept.Stale))
			}
		}
		_ = redisx.Sleep(ctx, sweepEvery)
	}
}

// Sweep puts back what killed workers held, without asynq's wait of a minute and
// more, and removes what would stop a queue. Any number of processes may call it
// for one account: a short lock lets one of them sweep. Each Server does so every 5 s.
func Sweep(ctx context.Context, rdb redis.UniversalClient, account string) (Swept, error) {
	var s Swept
	free, err := rdb.SetNX(ctx, sweepKey(account), 1, sweepEvery-500*time.Millisecond).Result()
	if err != nil || !free {
		return s, wrap("sweep", err)
	}
	s.Ran = true
	var errs []error
	for _, class := range job.Classes() {
		q := keysOf(account, class)
		// A Redis that was emptied has lost asynq's list, which consoles show.
		errs = append(errs, rdb.SAdd(ctx, allQueues, q.queue).Err(), s.queue(ctx, rdb, account, &q))
	}
	return s, wrap("sweep", errors.Join(errs...))
}

func (s *Swept) queue(ctx context.Context, rdb redis.UniversalClient, account string, q *keys) error {
	for {
		n, err := recoverScript.Run(ctx, rdb, []string{q.active, q.lease, q.pending},
			q.tasks, int(leaseSlack/time.Second), sweepBatch).Int64Slice()
		if err != nil {
			return err //nolint:wrapcheck // Sweep names itself
		}
		if len(n) != 3 {
			return fmt.Errorf("recover.lua answered %d numbers", len(n))
		}
		s.Recovered += int(n[0])
		s.Missing += int(n[1])
		s.Stale += int(n[2])
		if n[0] > 0 {
			// A lost wake-up costs a second: the fetch loops look.
			_ = rdb.Publish(ctx, wakeChannel(account), string(q.class)).Err()
		}
		if n[0]+n[1]+n[2] < sweepBatch {
			return nil
		}
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("queue: %s: %w", what, err)
}
