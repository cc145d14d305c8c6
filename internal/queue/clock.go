package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	clockEvery = 5 * time.Second // between comparisons
	clockTrip  = 3 * time.Second // bounds one
)

// clockGuard stops a worker while its clock differs from Redis': asynq writes
// leases by the worker's clock, and the worker judges the times of attempts by it.
// It would call messages unknown that WeChat still recognises.
type clockGuard struct {
	rdb     redis.UniversalClient
	account string
	log     *zap.Logger
	differs atomic.Bool
}

// wrong reports that nothing may be done by this machine's clock.
func (c *clockGuard) wrong() bool { return c.differs.Load() }

// run compares until ctx ends.
func (c *clockGuard) run(ctx context.Context) {
	for redisx.Sleep(ctx, clockEvery) == nil {
		c.check(ctx)
	}
}

// check compares once. Without an answer of Redis the last result stands.
func (c *clockGuard) check(ctx context.Context) {
	skew, unsure, err := c.compare(ctx)
	if err != nil {
		return
	}
	wrong := skew.Abs()-unsure > redisx.ClockLimit
	switch was := c.differs.Swap(wrong); {
	case wrong && !was:
		c.log.Error("queue: this machine's clock differs from Redis': nothing is fetched until they agree; set both by NTP",
			zap.Int64("ahead_ms", skew.Milliseconds()))
	case was && !wrong:
		c.log.Info("queue: this machine's clock agrees with Redis' again")
	}
}

// compare returns how far this machine's clock is ahead of Redis', give or take
// unsure: the time of the answer lies anywhere between question and answer.
func (c *clockGuard) compare(ctx context.Context) (ahead, unsure time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, clockTrip)
	defer cancel()
	asked := time.Now()
	// A script, so that a cluster asks the node of the account's gate.
	words, err := c.rdb.Eval(ctx, "return redis.call('TIME')", []string{redisx.Prefix(c.account) + "gate"}).Int64Slice()
	answered := time.Now()
	if err != nil {
		return 0, 0, err //nolint:wrapcheck // check asks again
	}
	if len(words) != 2 {
		return 0, 0, errors.New("TIME did not answer two numbers")
	}
	unsure = answered.Sub(asked)
	// Round removes the monotonic reading: the wall clock may be set at any time.
	return answered.Round(0).Sub(time.Unix(words[0], words[1]*1000)), unsure, nil
}
