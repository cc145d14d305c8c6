package queue

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// ErrActive is returned for a task that a worker has in hand.
var ErrActive = errors.New("queue: the message is being sent at this moment: try again when it has ended")

// ErrNotFound is returned for a task that is not in the queue.
var ErrNotFound = errors.New("queue: no such message in this queue: check the account, class and ID")

// Inspector looks at queues and acts on them. It asks Redis itself, where
// asynq's inspector takes no context, fails for a queue that nobody used yet,
// and for all queues when one message is missing.
type Inspector struct{ rdb redis.UniversalClient }

// NewInspector does not talk to Redis.
func NewInspector(rdb redis.UniversalClient) *Inspector { return &Inspector{rdb: rdb} }

// QueueState is what a class's queue holds.
type QueueState struct {
	Class     job.Class
	Pending   int64
	Active    int64
	Scheduled int64
	Retry     int64
	Archived  int64
	Paused    bool
	Pause     *Pause        // who paused it; nil when not paused, or paused by somebody unknown
	Latency   time.Duration // since the next task became pending; zero when none is
}

// Queues counts the account's queues, most urgent first, in two round trips. A
// queue that nobody used yet is empty, not an error.
func (n *Inspector) Queues(ctx context.Context, account string) ([]QueueState, error) {
	queues := allKeysOf(account)
	type reply struct {
		pending, active            *redis.IntCmd
		scheduled, retry, archived *redis.IntCmd
		paused                     *redis.IntCmd
		next                       *redis.StringSliceCmd
		record                     *redis.StringCmd
	}
	replies := make([]reply, len(queues))
	pipe := n.rdb.Pipeline()
	for i, q := range queues {
		replies[i] = reply{
			pending: pipe.LLen(ctx, q.pending), active: pipe.LLen(ctx, q.active),
			scheduled: pipe.ZCard(ctx, q.scheduled), retry: pipe.ZCard(ctx, q.retry), archived: pipe.ZCard(ctx, q.archived),
			paused: pipe.Exists(ctx, q.paused), next: pipe.LRange(ctx, q.pending, -1, -1),
			record: pipe.Get(ctx, pauseKey(account, q.class)),
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, wrap("queues", err)
	}
	states := make([]QueueState, len(queues))
	for i, q := range queues {
		r := &replies[i]
		states[i] = QueueState{
			Class: q.class, Pending: r.pending.Val(), Active: r.active.Val(), Scheduled: r.scheduled.Val(),
			Retry: r.retry.Val(), Archived: r.archived.Val(), Paused: r.paused.Val() > 0,
		}
		if states[i].Paused {
			states[i].Pause, _ = parsePause(r.record.Val())
		}
	}
	return states, n.latency(ctx, queues, states, func(i int) []string { return replies[i].next.Val() })
}

func (n *Inspector) latency(ctx context.Context, queues []keys, states []QueueState, next func(i int) []string) error {
	since := make([]*redis.StringCmd, len(queues))
	pipe := n.rdb.Pipeline()
	for i, q := range queues {
		if ids := next(i); len(ids) > 0 {
			since[i] = pipe.HGet(ctx, q.tasks+ids[0], "pending_since")
		}
	}
	if pipe.Len() == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return wrap("queues", err)
	}
	for i := range queues {
		if since[i] == nil {
			continue
		}
		if nanos, err := strconv.ParseInt(since[i].Val(), 10, 64); err == nil {
			states[i].Latency = max(time.Since(time.Unix(0, nanos)), 0)
		}
	}
	return nil
}

var (
	//go:embed lua/delete.lua
	deleteLua string

	deleteScript = redisx.NewScript(deleteLua)
)

// Delete removes a task that waits. The error is ErrActive for one that a worker
// handles and ErrNotFound when there is none.
func (n *Inspector) Delete(ctx context.Context, account string, class job.Class, id string) error {
	q := keysOf(account, class)
	state, err := deleteScript.Run(ctx, n.rdb,
		[]string{q.tasks + id, q.pending, q.scheduled, q.retry, q.archived, q.completed}, id).Text()
	switch {
	case err != nil:
		return wrap("delete", err)
	case state == "active":
		return fmt.Errorf("%w (ID %s)", ErrActive, id)
	case state == "":
		return fmt.Errorf("%w (ID %s)", ErrNotFound, id)
	}
	return nil
}

// Has reports for each ID whether the queue has a task of it, in any state.
func (n *Inspector) Has(ctx context.Context, account string, class job.Class, ids ...string) ([]bool, error) {
	q := keysOf(account, class)
	found := make([]*redis.IntCmd, len(ids))
	pipe := n.rdb.Pipeline()
	for i, id := range ids {
		found[i] = pipe.Exists(ctx, q.tasks+id)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, wrap("look for tasks", err)
	}
	has := make([]bool, len(ids))
	for i := range ids {
		has[i] = found[i].Val() == 1
	}
	return has, nil
}

// wake tells idle workers; should it fail, they look in a second.
func (n *Inspector) wake(ctx context.Context, account string, class job.Class) {
	_ = n.rdb.Publish(ctx, wakeChannel(account), string(class)).Err()
}
