package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

const (
	// clockLimit is how far a worker's clock may be from Redis'. Two workers are
	// then 20 s apart at most, and a living worker's leases last 25 s at least:
	// nobody takes its tasks for abandoned ones.
	clockLimit = 10 * time.Second
	// clockEvery is the pause between looks.
	clockEvery = 5 * time.Second
	clockTrip  = 3 * time.Second
)

// clockScript asks the server on which the account's gate lives, whose clock
// turns the day.
const clockScript = "return redis.call('TIME')"

// clock watches whether this machine's clock agrees with Redis'. asynq writes
// leases by the worker's clock and judges them by another's, and so do we with
// the moments of attempts: a worker with a wrong clock would run again what a
// living one has in hand, send before the hour, and call unknown what WeChat
// would still recognise.
type clock struct {
	rdb     redis.UniversalClient
	account string
	log     *zap.Logger

	mu    sync.Mutex
	wrong bool
}

func newClock(cfg *ServerConfig) *clock {
	return &clock{rdb: cfg.Redis, account: cfg.Account, log: cfg.Logger}
}

// off reports that nothing may be done by this machine's clock. A nil clock is right.
func (c *clock) off() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// run looks until ctx ends.
func (c *clock) run(ctx context.Context) {
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look compares once. What Redis does not answer leaves the matter as it was.
func (c *clock) look(ctx context.Context) {
	skew, unsure, err := c.compare(ctx)
	if err != nil {
		return
	}
	wrong := skew.Abs()-unsure > clockLimit
	c.mu.Lock()
	was := c.wrong
	c.wrong = wrong
	c.mu.Unlock()
	switch {
	case wrong && !was:
		c.log.Error("broker: this machine's clock differs from Redis': nothing is fetched until it is right; set both by NTP",
			zap.String("account", c.account), zap.Duration("ahead", skew))
	case was && !wrong:
		c.log.Info("broker: the clock is right again", zap.String("account", c.account))
	}
}

// compare returns how far ahead of Redis' clock ours is, give or take unsure:
// the answer's moment lies anywhere in its trip.
func (c *clock) compare(ctx context.Context) (ahead, unsure time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, clockTrip)
	defer cancel()
	asked := time.Now()
	words, err := c.rdb.Eval(ctx, clockScript, []string{accountPrefix(c.account) + "gate"}).Int64Slice()
	answered := time.Now()
	if err != nil {
		return 0, 0, err //nolint:wrapcheck // look asks again
	}
	if len(words) != 2 {
		return 0, 0, errors.New("broker: TIME answered no moment")
	}
	unsure = answered.Sub(asked)
	// Round takes the monotonic reading away: the wall clock may be set at any time.
	return answered.Round(0).Sub(time.Unix(words[0], words[1]*1000)), unsure, nil
}
