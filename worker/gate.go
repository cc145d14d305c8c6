package worker

import (
	"context"
	"errors"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// Gate is one account's gate: *ratelimit.Gate.
type Gate interface {
	broker.Gate
	GateKeeper
	GateCounter
}

// GateKeeper closes a gate and opens it again.
type GateKeeper interface {
	Close(ctx context.Context, p ratelimit.Pause) error
	Succeed(ctx context.Context)
}

// GateCounter is a gate's count of the day's quota, and its upkeep.
type GateCounter interface {
	Reconcile(ctx context.Context, limit, used int64) error
	State(ctx context.Context) (ratelimit.State, error)
	Run(ctx context.Context) error
}

// watchedGate sees why the gate is closed, without a question to Redis: the
// broker asks it before each fetch anyway.
type watchedGate struct {
	Gate
	log          *zap.Logger
	unreconciled func()
	closedFor    atomic.Pointer[ratelimit.Reason] // nil: open
}

// Take passes the question on and remembers the answer's reason.
func (g *watchedGate) Take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error) {
	p, err := g.Gate.Take(ctx, tier)
	if err == nil {
		if g.closedFor.Load() != nil && g.closedFor.Swap(nil) != nil {
			g.log.Info("the gate lets messages through again")
		}
		return p, nil
	}
	var closed *ratelimit.ClosedError
	if errors.As(err, &closed) {
		g.sawClosed(closed)
	}
	return p, err
}

func (g *watchedGate) sawClosed(c *ratelimit.ClosedError) {
	if before := g.closedFor.Swap(&c.Reason); before == nil || *before != c.Reason {
		g.log.Warn("the gate is closed", zap.String("reason", string(c.Reason)),
			zap.String("detail", c.Detail), zap.Time("until", c.Until))
	}
	if c.Reason == ratelimit.ReasonUnreconciled {
		g.unreconciled()
	}
}
