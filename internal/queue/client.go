package queue

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

var doneScript = script("done")

// base is the Redis client that asynq's servers are given. Every script is written even
// when asynq's context is over: asynq cancels it before it repeats a failed completion, and
// the task would run twice. A completion or a retry of a task that is not active is no
// error. What asynq writes about its workers has no payloads.
type base struct{ redis.UniversalClient }

// EvalSha is what asynq calls first.
func (b base) EvalSha(ctx context.Context, sha string, k []string, args ...any) *redis.Cmd {
	return carriedOut(b.UniversalClient.EvalSha(context.WithoutCancel(ctx), sha, k, withoutPayloads(k, args)...))
}

// Eval is what asynq calls when the server does not know the script.
func (b base) Eval(ctx context.Context, script string, k []string, args ...any) *redis.Cmd {
	return carriedOut(b.UniversalClient.Eval(context.WithoutCancel(ctx), script, k, withoutPayloads(k, args)...))
}

// carriedOut answers "OK" where asynq's script says that the task is not active: the call
// was carried out before and its answer was lost, or the lease was over. asynq would repeat
// it for 30 s, also on a later delivery of the task.
func carriedOut(cmd *redis.Cmd) *redis.Cmd {
	if redis.HasErrorPrefix(cmd.Err(), "NOT FOUND") {
		cmd.SetErr(nil)
		cmd.SetVal("OK")
	}
	return cmd
}

// client is the Redis client of the asynq server of an account. It differs from base in
// these:
//
//   - a dequeue gets a task of the fetcher;
//   - completions of concurrent handlers share one script call;
//   - a retry without a wait puts the task at the head of its queue;
//   - another retry is due by Redis' clock;
//   - the list of expired leases is empty: recovery is ours (tend.go).
//
// All else is as base has it.
type client struct {
	base
	fetcher *fetcher
	done    map[string]*redisx.Group[completion, int64] // by queue
	running context.Context                             //nolint:containedctx // of all dequeues
	fetched sync.Once
	first   chan struct{} // closed when asynq's dequeue was recognised
}

func newClient(running context.Context, rdb redis.UniversalClient, f *fetcher) *client {
	c := &client{
		base: base{rdb}, fetcher: f, running: running, first: make(chan struct{}),
		done: map[string]*redisx.Group[completion, int64]{},
	}
	for _, source := range f.queues {
		const calls = 2 // more would make the batches smaller
		q := &source.keys
		c.done[q.queue] = redisx.NewGroup(maxFetch, calls, fetchPause, func(ctx context.Context, items []completion) ([]int64, error) {
			return c.complete(ctx, q, items)
		})
	}
	return c
}

// EvalSha is what asynq calls first. It sends each script with its keys in a fixed order,
// so the keys tell which one it is. They are compared whole, since a task's ID may end in
// anything.
func (c *client) EvalSha(ctx context.Context, sha string, k []string, args ...any) *redis.Cmd {
	for _, source := range c.fetcher.queues {
		q := &source.keys
		switch {
		case len(k) == 1 && k[0] == q.lease: // expired leases
			return answered(ctx, []any{}, nil)
		case slices.Equal(k, []string{q.pending, q.paused, q.active, q.lease}): // dequeue
			c.fetched.Do(func() { close(c.first) })
			if d := c.fetcher.next(c.running); d != nil { //nolint:contextcheck // of the run. A task of any class: asynq takes the queue from it
				return answered(ctx, d.message, nil)
			}
			return answered(ctx, nil, redis.Nil)
		case len(k) == 5 && len(args) == 3 && k[0] == q.active && k[1] == q.lease && strings.HasPrefix(k[2], q.tasks): // done
			return c.completed(context.WithoutCancel(ctx), q, k, args)
		case len(k) == 8 && len(args) == 6 && k[1] == q.active && k[3] == q.retry: // retry
			due, ok := args[2].(int64)
			if ok && due < 0 { // headDelay
				id, _ := args[0].(string)
				c.fetcher.putBack(ctx, []delivery{{
					queue: q, id: id, number: c.fetcher.inFlight.numberOf(taskKey{q.queue, id}), redelivered: true,
				}})
				return answered(ctx, "OK", nil) // asynq would repeat it, when the process may have a later delivery
			}
			if ok { // asynq took it from this machine's clock
				args[2] = c.fetcher.byRedis(time.Unix(due, 0)).Round(time.Second).Unix()
			}
		case slices.Contains(k, q.paused):
			return answered(ctx, nil, errUnknownFetch())
		}
	}
	return c.base.EvalSha(ctx, sha, k, args...)
}

// Eval is what asynq calls when the server does not know the script, so none that EvalSha
// answers.
func (c *client) Eval(ctx context.Context, script string, k []string, args ...any) *redis.Cmd {
	if slices.ContainsFunc(c.fetcher.queues, func(q *source) bool { return slices.Contains(k, q.paused) }) {
		return answered(ctx, nil, errUnknownFetch())
	}
	return c.base.Eval(ctx, script, k, args...)
}

func answered(ctx context.Context, value any, err error) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetVal(value)
	cmd.SetErr(err)
	return cmd
}

// errUnknownFetch fails closed: a fetch that is not recognised would take tasks
// without a permit.
func errUnknownFetch() error {
	return fmt.Errorf("queue: asynq %s fetches in a way that this version does not know: build with asynq v0.26", asynqVersion())
}

func asynqVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/hibiken/asynq" {
				return m.Version
			}
		}
	}
	return "of an unknown version"
}

// completion is one call of asynq's done script.
type completion struct{ task, id, processedOfDay string }

// completed answers asynq's done script.
func (c *client) completed(ctx context.Context, q *keys, keys []string, args []any) *redis.Cmd {
	id, _ := args[0].(string)
	_, err := c.done[q.queue].Do(ctx, completion{keys[2], id, keys[3]})
	return answered(ctx, "OK", err) // also where the task is not active, see carriedOut
}

// complete runs done.lua for completions of one queue. At midnight UTC some are
// counted to the day of the first one.
func (c *client) complete(ctx context.Context, q *keys, items []completion) ([]int64, error) {
	const keepCount, most = 90 * 24 * time.Hour, math.MaxInt64 // asynq's
	keys := make([]string, 0, 4+len(items))
	args := make([]any, 0, 2+len(items))
	keys = append(keys, q.active, q.lease, items[0].processedOfDay, q.processed)
	args = append(args, time.Now().Add(keepCount).Unix(), int64(most))
	for i := range items {
		keys = append(keys, items[i].task)
		args = append(args, &items[i].id)
	}
	return doneScript.Run(ctx, c.UniversalClient, keys, args...).Int64Slice() //nolint:wrapcheck // asynq reads it as Redis' own
}
