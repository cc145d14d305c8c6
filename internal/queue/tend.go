package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

var (
	tendScript    = script("tend")
	forwardScript = script("forward")
	toHeadScript  = script("tohead")
)

const (
	// tendEvery is also how late the fetch loop finds a task whose wake-up was lost.
	tendEvery = time.Second
	// tendTrip bounds one look. While it is under way, fetching goes on.
	tendTrip = 3 * time.Second
	// tendBatch is how many tasks of a kind are moved after one look.
	tendBatch = 200
	// leaseSlack is how long after the end of its lease a task is taken for abandoned: a
	// killed worker's tasks are back within 40 s.
	leaseSlack = 5 * time.Second
	// longestLease ends as late as one may by Redis' clock.
	longestLease = leaseTime + redisx.ClockLimit + time.Second
)

// tend looks at the account's queues once a second until ctx ends.
func (f *fetcher) tend(ctx context.Context) {
	for more := false; more || redisx.Sleep(ctx, tendEvery) == nil; {
		more = f.look(ctx) && ctx.Err() == nil
	}
}

// look wakes the fetch loop where a queue holds a task, moves scheduled tasks that are
// due, puts back what killed workers held, and compares this machine's clock with Redis':
// while they differ it moves nothing, and the fetch loop stands still, since asynq writes
// leases by the worker's clock and the worker judges the times of attempts by it. more
// tells that there is more to move.
func (f *fetcher) look(ctx context.Context) (more bool) {
	ctx, cancel := context.WithTimeout(ctx, tendTrip)
	defer cancel()
	asked := time.Now()
	// A Redis that was emptied has lost asynq's list, which consoles show.
	list := listing(ctx, f.account)
	cmds := []redis.Cmder{list}
	for _, q := range f.queues {
		cmds = append(cmds, tendScript.Call(ctx, []string{q.idle, q.pending, q.paused, q.retry, q.scheduled, q.active, q.lease},
			idleLife.Milliseconds(), int(leaseSlack/time.Second), tendBatch, int(longestLease/time.Second)))
	}
	redisx.Exec(ctx, f.rdb, cmds...)
	answered := time.Now()
	err, ahead := list.Err(), time.Duration(0)
	found := make([]tended, len(f.queues))
	for i, cmd := range cmds[1:] {
		var failed error
		if found[i], failed = tendedOf(cmd.(*redisx.Call)); failed != nil {
			err = failed
			continue
		}
		f.looked.Store(&moment{found[i].at, answered})
		// Round removes the monotonic reading: the wall clock may be set at any time.
		if skew := answered.Round(0).Sub(found[i].at); skew.Abs() > ahead.Abs() {
			ahead = skew
		}
	}
	if err == nil {
		f.judgeClock(ahead, answered.Sub(asked))
	}
	for i := range found {
		if f.wrongClock.Load() || found[i].at.IsZero() {
			continue
		}
		if failed := f.mend(ctx, f.queues[i], &found[i]); failed != nil {
			err = failed
		}
		more = more || found[i].full()
	}
	if err != nil && ctx.Err() == nil {
		f.log.Warn("queue: cannot look after the queues, trying again", zap.Error(err))
	}
	return more && err == nil
}

// moment is one moment by two clocks. The reading of this machine's is monotonic, too.
type moment struct{ redis, local time.Time }

// byRedis is a time of this machine's wall clock, which may have been set since the last
// look, by Redis' clock.
func (f *fetcher) byRedis(t time.Time) time.Time {
	m := f.looked.Load()
	if m == nil {
		return t
	}
	now := time.Now()
	return m.redis.Add(now.Sub(m.local)).Add(t.Sub(now.Round(0)))
}

// tended is what tend.lua found in a queue.
type tended struct {
	at             time.Time // Redis' time
	fetchable      bool
	due, abandoned []string
}

func tendedOf(call *redisx.Call) (t tended, err error) {
	const head = 3
	texts, err := call.StringSlice()
	if err != nil {
		return t, fmt.Errorf("tend.lua: %w", err)
	}
	if len(texts) < head {
		return t, errors.New("tend.lua answered too little")
	}
	at, err := strconv.ParseInt(texts[0], 10, 64)
	if err != nil {
		return t, fmt.Errorf("tend.lua answered no time: %w", err)
	}
	n, err := strconv.Atoi(texts[2])
	if err != nil {
		return t, fmt.Errorf("tend.lua answered no number of tasks: %w", err)
	}
	ids := texts[head:]
	return tended{time.UnixMicro(at), texts[1] == "1", ids[:n], ids[n:]}, nil
}

func (t *tended) full() bool { return len(t.due) >= tendBatch || len(t.abandoned) >= tendBatch }

// judgeClock says once when the clocks differ and once when they agree again. Redis read
// its own anywhere between question and answer.
func (f *fetcher) judgeClock(ahead, unsure time.Duration) {
	wrong := ahead.Abs()-unsure > redisx.ClockLimit
	switch was := f.wrongClock.Swap(wrong); {
	case wrong && !was:
		f.log.Error("queue: this machine's clock differs from Redis': nothing is fetched until they agree; set both by NTP",
			zap.Int64("ahead_ms", ahead.Milliseconds()))
	case was && !wrong:
		f.log.Info("queue: this machine's clock agrees with Redis' again")
	}
}

// mend does what tend.lua found to be done for a queue.
func (f *fetcher) mend(ctx context.Context, q *source, found *tended) error {
	if found.fetchable || len(found.due) > 0 {
		defer f.wake(q.class)
	}
	if len(found.due) > 0 {
		keys, ids := []string{q.scheduled, q.pending}, make([]any, len(found.due))
		for i, id := range found.due {
			keys, ids[i] = append(keys, q.tasks+id), id
		}
		if err := forwardScript.Run(ctx, f.rdb, keys, ids...).Err(); err != nil {
			return fmt.Errorf("move due tasks: %w", err)
		}
	}
	if len(found.abandoned) == 0 {
		return nil
	}
	left := make([]delivery, len(found.abandoned))
	for i, id := range found.abandoned {
		left[i] = delivery{queue: &q.keys, id: id, lease: found.at.Add(-leaseSlack).Unix(), redelivered: true}
	}
	recovered, err := f.toHead(ctx, left)
	if err != nil {
		return fmt.Errorf("put back what a killed worker held: %w", err)
	}
	if recovered > 0 {
		f.log.Warn("queue: tasks of a worker that is gone are back on their queue", zap.Int("recovered", recovered))
	}
	return nil
}

// giveBack puts fetched tasks that asynq does not get back at the head of their queue.
func (f *fetcher) giveBack(ctx context.Context) {
	if len(f.batch) == 0 {
		return
	}
	for i := range f.batch {
		f.gate.Return(f.batch[i].permit)
	}
	f.putBack(ctx, f.batch)
	f.batch = nil
}

// putBack puts tasks of one queue back at its head, once.
func (f *fetcher) putBack(ctx context.Context, tasks []delivery) {
	if _, err := f.toHead(ctx, tasks); err != nil {
		f.log.Warn("queue: putting tasks back failed; they are recovered when their lease ends",
			zap.Int("tasks", len(tasks)), zap.Error(err))
	}
}

// toHead runs tohead.lua for tasks of one queue.
func (f *fetcher) toHead(ctx context.Context, tasks []delivery) (moved int, err error) {
	q := tasks[0].queue
	keys, args := []string{q.active, q.lease, q.pending}, make([]any, 0, 4*len(tasks))
	for i := range tasks {
		d := &tasks[i]
		keys, args = append(keys, q.tasks+d.id), append(args, d.id, d.number, d.lease, d.redelivered)
	}
	defer f.wake(q.class)
	return toHeadScript.Run(context.WithoutCancel(ctx), f.rdb, keys, args...).Int() //nolint:wrapcheck // the callers say what failed
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("queue: %s: %w", what, err)
}
