package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// answer is a refusal, remembered so that a closed gate costs no trips.
type answer struct {
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
		p, f, err := g.tryTake(ctx, tier)
		if f == nil {
			return p, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return Permit{}, fmt.Errorf("ratelimit: take a permit: %w", context.Cause(ctx))
		}
		if f.err != nil && f.answers(tier) {
			return Permit{}, f.err
		}
	}
}

// tryTake answers from the hand or from memory, or returns the trip to wait for.
func (g *Gate) tryTake(ctx context.Context, tier Tier) (Permit, *flight, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.sortOut(now, lateFlush)
	if p, ok := g.hand.take(tier); ok {
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
	if g.flight == nil {
		g.launch(ctx, g.nextBlock(), tier)
	}
	return Permit{}, g.flight, nil
}

// sortOut gives stale permits back within delay: the process has less to send than it books.
func (g *Gate) sortOut(now time.Time, delay time.Duration) {
	stale := g.hand.stale(now)
	if len(stale) == 0 {
		return
	}
	for _, p := range stale {
		g.giveBack(p, delay)
	}
	g.want = max(1, g.want/2)
}

// nextBlock is what to book: more each time that a block was used up.
func (g *Gate) nextBlock() int {
	if g.drained {
		return 1 // nobody would give the rest back
	}
	n := g.want
	g.want = min(2*g.want, g.cfg.MaxBlock)
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
	if !g.drained && p.era == g.era && time.Now().Before(p.deadline()) {
		if p.probe > 0 {
			g.probing.Store(0)
		}
		g.hand.put(p)
		g.poke()
		g.mu.Unlock()
		return
	}
	g.giveBack(p, lateFlush)
	drained, ctx := g.drained, g.drainCtx
	g.mu.Unlock()
	if drained {
		_ = g.flush(ctx) // what fails now heals with Reconcile
	}
}

// answers reports whether the trip's error is also the answer for tier.
func (f *flight) answers(tier Tier) bool {
	if f.call.want == 0 {
		return false
	}
	var closed *ClosedError
	return f.call.tier == tier || f.call.tier == Reserved || !errors.As(f.err, &closed)
}
