package broker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// toHead is the retry delay that means "to the head of the queue, now". asynq
// turns a delay into a moment and hands the moment to its script, where we see
// it: a century ago cannot be meant otherwise. The mark travels with the call,
// through asynq's repeats too, and if it were ever not recognised, the task
// would merely be the first that is due in the retry set.
const toHead = -100 * 365 * 24 * time.Hour

// forwardEvery is asynq's interval for moving due tasks. Its servers in one
// process share the work: who comes sooner after a look is told "none".
const forwardEvery = time.Second

// deferral is a *Later on its way through asynq: it has the text of its cause
// but not its chain, in which asynq would look for its own errors.
type deferral struct {
	after time.Duration
	text  string
}

func (d *deferral) Error() string { return d.text }

// retryDelay is asynq's RetryDelayFunc.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	var d *deferral
	switch {
	case errors.As(err, &d) && d.after <= 0:
		return toHead
	case errors.As(err, &d):
		return d.after
	case errors.Is(err, asynq.ErrLeaseExpired), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		// Soon: WeChat drops a repeated message for ten minutes only. Spread, so
		// that what one outage ended does not start again in one moment.
		return time.Second + rand.N(4*time.Second)
	}
	return 5 * time.Second
}

// isFailure is asynq's IsFailure: deferrals and crashes are none.
func isFailure(err error) bool {
	var d *deferral
	return err != nil && !errors.As(err, &d) && !errors.Is(err, asynq.ErrLeaseExpired)
}

// headArgs reports that a retry's arguments (ID, message, moment, …) carry the
// mark of toHead.
func headArgs(args []any) bool {
	if len(args) < 3 {
		return false
	}
	_, id := args[0].(string)
	_, message := args[1].([]byte)
	at, moment := args[2].(int64)
	return id && message && moment && at < time.Now().Add(toHead/2).Unix()
}

// requeue stands in for asynq's retry script: keys are its task, active and lease.
func (c *client) requeue(ctx context.Context, q *queueKeys, keys []string, args []any) *redis.Cmd {
	cmd := c.run(ctx, "evalsha", requeueScript.Hash(),
		[]string{keys[0], keys[1], keys[2], q.pending}, []any{args[0], args[1], time.Now().UnixNano()})
	if cmd.Err() == nil {
		c.fetcher.stir(q.class)
	}
	return cmd
}

// moveDue runs asynq's script for scheduled tasks and ours for retries, which
// takes the same arguments, and wakes the fetch when something moved.
func (c *client) moveDue(ctx context.Context, call scriptCall, q *queueKeys, verb, script string, keys []string, args []any) *redis.Cmd {
	set, now := keys[0], time.Now()
	c.mu.Lock()
	soon := now.Sub(c.forward[set]) < forwardEvery*9/10
	if !soon {
		c.forward[set] = now
	}
	c.mu.Unlock()
	if soon {
		return nothing(ctx, int64(0))
	}
	var cmd *redis.Cmd
	if call == callForwardRetry && len(args) >= 3 {
		cmd = c.run(ctx, "evalsha", forwardScript.Hash(), keys, args[:3])
	} else {
		cmd = c.run(ctx, verb, script, keys, args)
	}
	n, err := cmd.Int64()
	if n > 0 {
		c.fetcher.stir(q.class)
	}
	if n > 0 || err != nil {
		// asynq asks again at once: for the rest, or with the script's text.
		c.mu.Lock()
		delete(c.forward, set)
		c.mu.Unlock()
	}
	return cmd
}
