package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// ErrActive is returned for a task that a worker has in hand.
var ErrActive = errors.New("broker: the message is being sent at this moment: try again when it has ended")

// ErrNotFound is returned for a task that is not in the queue.
var ErrNotFound = errors.New("broker: no such message in this queue: check the account, class and ID")

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

func (n *Inspector) latency(ctx context.Context, queues []queueKeys, states []QueueState, next func(i int) []string) error {
	since := make([]*redis.StringCmd, len(queues))
	pipe := n.rdb.Pipeline()
	for i, q := range queues {
		if ids := next(i); len(ids) > 0 {
			since[i] = pipe.HGet(ctx, q.task(ids[0]), "pending_since")
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

// Delete removes a task that waits. The error is ErrActive for one that a worker
// has in hand and ErrNotFound when there is none.
func (n *Inspector) Delete(ctx context.Context, account string, class job.Class, id string) error {
	_, err := n.act(ctx, deleteScript, account, class, id)
	return err
}

// DeleteOwn is Delete for a task with this payload alone: one of another payload
// under the same ID is not found.
func (n *Inspector) DeleteOwn(ctx context.Context, account string, class job.Class, id string, payload []byte) error {
	_, err := n.act(ctx, deleteScript, account, class, id, payload)
	return err
}

// Holds reports whether the task of this ID, whatever it does, contains part of a
// payload. There may be none.
func (n *Inspector) Holds(ctx context.Context, account string, class job.Class, id string, part []byte) (bool, error) {
	q := keysOf(account, class)
	message, err := n.rdb.HGet(ctx, q.task(id), "msg").Bytes()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return bytes.Contains(message, part), wrap("inspect", err)
}

// RunTask puts a scheduled, retrying or archived task on its queue now. A task
// that is pending already stays where it is.
func (n *Inspector) RunTask(ctx context.Context, account string, class job.Class, id string) error {
	state, err := n.act(ctx, runScript, account, class, id, time.Now().UnixNano())
	if err == nil && state != "pending" {
		n.wake(ctx, account, class)
	}
	return err
}

func (n *Inspector) act(ctx context.Context, script *redis.Script, account string, class job.Class, id string, args ...any) (string, error) {
	q := keysOf(account, class)
	state, err := script.Run(ctx, n.rdb,
		[]string{q.task(id), q.pending, q.scheduled, q.retry, q.archived, q.completed}, append([]any{id}, args...)...).Text()
	switch {
	case err != nil:
		return "", wrap("inspect", err)
	case state == "active":
		return state, fmt.Errorf("%w (ID %s)", ErrActive, id)
	case state == "":
		return state, fmt.Errorf("%w (ID %s)", ErrNotFound, id)
	}
	return state, nil
}

func (n *Inspector) wake(ctx context.Context, account string, class job.Class) {
	_ = wakeScript.Run(ctx, n.rdb, []string{idleKey(account, class)}, wakeChannel(account), string(class)).Err()
}
