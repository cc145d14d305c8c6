package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// Gate is one account's gate: *ratelimit.Gate.
type Gate interface { //nolint:interfacebloat // one gate; cutting it up hid that
	Take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error)
	Return(p ratelimit.Permit)
	Changed() <-chan struct{}
	Close(ctx context.Context, p ratelimit.Pause) error
	Open(ctx context.Context, r ratelimit.Reason) error
	Succeed(ctx context.Context)
	AskQuota(ctx context.Context) (ratelimit.Question, error)
	Reconcile(ctx context.Context, q ratelimit.Question, limit, used int64) error
	State(ctx context.Context) (ratelimit.State, error)
	Run(ctx context.Context) error
}

// watchedGate logs why the gate is closed, without a question to Redis: the fetch
// loop asks it before each fetch anyway.
type watchedGate struct {
	Gate
	log          *zap.Logger
	presence     *presence // whether this worker may fetch
	unreconciled func()
	reopened     func()                           // called when sending goes on after a closure; nil: not
	closedFor    atomic.Pointer[ratelimit.Reason] // nil: open

	onWait func(time.Duration) // nil: waits are not measured
	waits  [2]gateWait         // by tier; of the fetch loop's goroutine
}

// gateWait is how long the fetch loop has wanted a permit.
type gateWait struct{ since, refused time.Time }

// wishLife is after how long without a question the wish for a permit has ended: while
// a queue may hold a task, the loop asks a closed gate each second.
const wishLife = 5 * time.Second

// ask notes that a permit is wanted now.
func (w *gateWait) ask(now time.Time) {
	if now.Sub(w.refused) > wishLife {
		w.since = now
	}
}

// granted returns how long it took until the slot of p.
func (w *gateWait) granted(p ratelimit.Permit, now time.Time) time.Duration {
	w.refused = time.Time{}
	if p.At.After(now) {
		now = p.At
	}
	return now.Sub(w.since)
}

// Take measures how long the fetch loop waits for a permit, closures included.
func (g *watchedGate) Take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error) {
	if g.onWait == nil {
		return g.take(ctx, tier)
	}
	wait := &g.waits[tier]
	wait.ask(time.Now())
	p, err := g.take(ctx, tier)
	if err != nil {
		wait.refused = time.Now()
		return p, err
	}
	g.onWait(wait.granted(p, time.Now()))
	return p, nil
}

// take passes the question on and remembers the answer's reason. It takes no permit
// while WeChat refuses this worker's address.
func (g *watchedGate) take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error) {
	if closed := g.presence.closed(); closed != nil {
		return ratelimit.Permit{}, closed
	}
	p, err := g.Gate.Take(ctx, tier)
	if err == nil {
		if !p.Probe() && g.closedFor.Load() != nil && g.closedFor.Swap(nil) != nil {
			g.log.Info("the gate is open again")
			if g.reopened != nil {
				g.reopened()
			}
		}
		return p, nil
	}
	var closed *ratelimit.ClosedError
	if errors.As(err, &closed) {
		if before := g.closedFor.Swap(&closed.Reason); before == nil || *before != closed.Reason {
			detail := zap.Skip()
			if closed.Detail != "" {
				detail = zap.String("detail", closed.Detail)
			}
			g.log.Warn("the gate is closed", zap.String("reason", string(closed.Reason)), detail, until(closed.Until))
		}
		switch closed.Reason { //nolint:exhaustive // the others end without this worker
		case ratelimit.ReasonUnreconciled:
			g.unreconciled()
		case ratelimit.ReasonAddress:
			g.presence.disprove()
		}
	}
	return p, err
}
