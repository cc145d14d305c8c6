package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

var (
	abandonedScript = script("abandoned")
	recoverScript   = script("recover")
	dueScript       = script("due")
	forwardScript   = script("forward")
)

const (
	forwardEvery = time.Second
	forwardBatch = 500
	// aheadLife is how long retries that were moved to the head keep later ones behind
	// them, should the queue stand still.
	aheadLife = 24 * time.Hour
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
			cmds[i] = dueScript.Call(ctx, []string{q.retry, q.scheduled}, forwardBatch)
		}
		redisx.Exec(ctx, f.rdb, cmds...)
		for i, cmd := range cmds {
			n, err := f.move(ctx, &f.queues[i].keys, cmd.(*redisx.Call))
			if err != nil && ctx.Err() == nil {
				f.log.Warn("queue: cannot move due tasks, trying again", zap.Error(err))
			}
			if n > 0 {
				f.wake(f.queues[i].class)
			}
		}
	}
}

// move moves what due.lua found in a queue, and returns how many tasks it moved.
func (f *fetcher) move(ctx context.Context, q *keys, due *redisx.Call) (int, error) {
	found, err := due.StringSlice()
	if err != nil || len(found) < 2 {
		return 0, err //nolint:wrapcheck // forward says what failed
	}
	args := []any{found[0], int(aheadLife / time.Second)}
	declared := []string{q.retry, q.scheduled, q.pending, q.ahead}
	for _, id := range found[1:] {
		args, declared = append(args, id), append(declared, q.tasks+id)
	}
	return forwardScript.Run(ctx, f.rdb, declared, args...).Int() //nolint:wrapcheck // forward says what failed
}

// recover sweeps every 5 s until ctx ends.
func (f *fetcher) recover(ctx context.Context) {
	for ctx.Err() == nil {
		if !f.clock.wrong() {
			swept, err := Sweep(ctx, f.rdb, f.account)
			switch {
			case err != nil && ctx.Err() == nil:
				f.log.Warn("queue: the sweep failed, trying again", zap.Error(err))
			case swept.Recovered+swept.Missing+swept.Stale > 0:
				f.log.Warn("queue: the sweep put back tasks of a worker that is gone",
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
		slack := int(leaseSlack / time.Second)
		found, err := abandonedScript.Run(ctx, rdb, []string{q.active, q.lease, q.pending}, slack, sweepBatch).StringSlice()
		if err != nil || len(found) < 3 {
			return err //nolint:wrapcheck // Sweep names itself
		}
		args := []any{slack, found[0], found[1]}
		declared := []string{q.active, q.lease, q.pending}
		for _, id := range found[2:] {
			args, declared = append(args, id), append(declared, q.tasks+id)
		}
		n, err := recoverScript.Run(ctx, rdb, declared, args...).Int64Slice()
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
