package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// refusal is a refusal, remembered so that a closed gate costs no trips.
type refusal struct {
	err   *ClosedError
	until time.Time // ask Redis again from here on
}

// Take returns a permit from the process's block, or books the next block. It
// does not wait for the permit's time. The error is *ClosedError or Redis'; with
// an error nothing was granted. A refusal is repeated without asking Redis until
// it ends, an event says otherwise, or for at most 5 s (100 ms without Run).
func (g *Gate) Take(ctx context.Context, tier Tier) (Permit, error) {
	if tier != Reserved {
		tier = General
	}
	for {
		p, r, err := g.tryTake(ctx, tier)
		if r == nil {
			return p, err
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return Permit{}, fmt.Errorf("ratelimit: take a permit: %w", context.Cause(ctx))
		}
		if r.err != nil && r.answers(tier) {
			return Permit{}, r.err
		}
	}
}

// tryTake answers from the hand or from memory, or returns the trip to wait for.
func (g *Gate) tryTake(ctx context.Context, tier Tier) (Permit, *request, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.returnStale(now, returnDelay)
	if p, ok := g.cache.take(tier); ok {
		if p.probe > 0 {
			g.probing.Store(p.probe)
		}
		return p, nil, nil
	}
	if a := g.closed[tier]; a != nil {
		if now.Before(a.until) {
			return Permit{}, nil, a.err
		}
		g.closed[tier] = nil
	}
	if g.inflight == nil {
		g.start(ctx, g.nextBlockSize(), tier)
	}
	return Permit{}, g.inflight, nil
}

// returnStale gives stale permits back within delay: the process has less to send than it books.
func (g *Gate) returnStale(now time.Time, delay time.Duration) {
	stale := g.cache.stale(now)
	if len(stale) == 0 {
		return
	}
	for _, p := range stale {
		g.queueReturn(p, delay)
	}
	g.blockSize = max(1, g.blockSize/2)
}

// nextBlockSize is what to book: more each time that a block was used up.
func (g *Gate) nextBlockSize() int {
	if g.drained {
		return 1 // nobody would give the rest back
	}
	n := g.blockSize
	g.blockSize = min(2*g.blockSize, g.cfg.MaxBlock)
	return n
}

// Return gives a permit back: the message was surely not sent. Call it at most
// once for a permit. It goes to the next Take while its time has not passed, to
// the quota otherwise.
func (g *Gate) Return(p Permit) {
	if p.lease == "" {
		return // not one of ours
	}
	g.mu.Lock()
	if !g.drained && p.gen == g.permitGen && time.Now().Before(p.deadline()) {
		if p.probe > 0 {
			g.probing.Store(0)
		}
		g.cache.put(p)
		g.wakeRun()
		g.mu.Unlock()
		return
	}
	g.queueReturn(p, returnDelay)
	drained, ctx := g.drained, g.drainCtx
	g.mu.Unlock()
	if drained {
		_ = g.flushReturns(ctx) // what fails now heals with Reconcile
	}
}

// answers reports whether the trip's error is also the answer for tier.
func (r *request) answers(tier Tier) bool {
	if r.want == 0 {
		return false
	}
	var closed *ClosedError
	return r.tier == tier || r.tier == Reserved || !errors.As(r.err, &closed)
}
