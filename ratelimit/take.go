package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// refusal is remembered, so that a closed gate costs no Redis calls.
type refusal struct {
	err   *ClosedError
	until time.Time // ask Redis again from here on
}

// Take returns a permit from the process's block, or books the next block. It
// does not wait for the permit's slot. The error is *ClosedError or Redis'; with
// an error nothing was granted. A refusal is repeated without asking Redis until
// it ends or an event arrives, for at most 5 s (100 ms without Run).
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

// tryTake answers from the cache or a remembered refusal, or returns the request
// to wait for.
func (g *Gate) tryTake(ctx context.Context, tier Tier) (Permit, *request, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.returnExpired(now, returnDelay)
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

// returnExpired returns expired permits within delay, and halves the next block:
// the process has less to send than it books. g.mu is held.
func (g *Gate) returnExpired(now time.Time, delay time.Duration) {
	expired := g.cache.removeExpired(now)
	if len(expired) == 0 {
		return
	}
	for _, p := range expired {
		g.queueReturn(p, delay)
	}
	g.blockSize = max(1, g.blockSize/2)
}

// nextBlockSize is how many permits to book: more each time that a block was used
// up.
func (g *Gate) nextBlockSize() int {
	if g.drained {
		return 1 // the rest would not be returned
	}
	n := g.blockSize
	g.blockSize = min(2*g.blockSize, g.cfg.MaxBlock)
	return n
}

// Return returns a permit whose message was certainly not sent. Call it at most
// once for a permit. The permit goes to the next Take until it expires or is
// revoked, to the quota of its day after that; on another day it is void.
func (g *Gate) Return(p Permit) {
	if p.lease == "" {
		return // not from a gate
	}
	g.mu.Lock()
	if !g.drained && p.gen == g.permitGen && !p.Expired(time.Now()) {
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
		_ = g.flushReturns(ctx) // when it fails, Reconcile corrects the count
	}
}

// answers reports whether the request's error is also the answer for tier.
func (r *request) answers(tier Tier) bool {
	if r.want == 0 {
		return false
	}
	var closed *ClosedError
	return r.tier == tier || r.tier == Reserved || !errors.As(r.err, &closed)
}
