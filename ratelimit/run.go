package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Run listens for what other processes do to the gate, returns permits that
// outlive their slot, and gives the rest back when ctx ends: end it after the
// fetching has stopped and the last permit was spent or returned. Take works
// without it, but learns of closures only with its next block. Run returns nil
// when all went back, and an error when it is running already or Redis failed in
// the end (Reconcile heals that). While Redis or its pub/sub is away, Run keeps
// trying.
func (g *Gate) Run(ctx context.Context) error {
	if !g.running.CompareAndSwap(false, true) {
		return errors.New("ratelimit: run: this gate is running already: call Run once for a gate")
	}
	defer g.running.Store(false)
	sub := g.rdb.Subscribe(ctx, g.keys[0]+":events")
	events := sub.ChannelWithSubscriptions(redis.WithChannelHealthCheckInterval(10 * time.Second))
	g.mu.Lock()
	g.drained = false
	g.mu.Unlock()
	g.listen(ctx, events)
	_ = sub.Close()
	return g.drain(ctx)
}

func (g *Gate) listen(ctx context.Context, events <-chan any) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-events:
			if !open {
				events = nil
			}
			g.handleEvent(event)
		case <-g.wake:
		case <-timer.C:
		}
		timer.Reset(g.tick(ctx))
	}
}

// handleEvent takes in what another process did. Our own acts were taken in when done.
func (g *Gate) handleEvent(event any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch e := event.(type) {
	case *redis.Subscription:
		if e.Kind != "subscribe" {
			return
		}
		if g.subscribed {
			g.dropPermits() // the connection was gone: a closure may have been missed
		}
		g.subscribed = true
		g.notify()
	case *redis.Message:
		who, what, _ := strings.Cut(e.Payload, " ")
		if who == g.instance {
			return
		}
		if verb, _, _ := strings.Cut(what, " "); verb == "close" {
			g.dropPermits()
		}
		g.notify()
	}
}

// tick does what is due and returns how long nothing else will be.
func (g *Gate) tick(ctx context.Context) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	// A little later than Take would, whose next trip takes stale permits along.
	g.returnStale(now.Add(-returnDelay), 0)
	for _, a := range g.closed {
		if a != nil && !a.err.Until.IsZero() && !now.Before(a.err.Until) {
			g.notify()
			break
		}
	}
	if g.inflight == nil && !g.returnBy.IsZero() && !now.Before(g.returnBy) {
		if len(g.returns) > 0 || g.unanswered != nil {
			g.start(ctx, 0, General)
		} else {
			g.returnBy = time.Time{} // somebody's Take took it along
		}
	}
	return g.nextTick(now)
}

func (g *Gate) nextTick(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	soonest := func(at time.Time) {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if g.inflight == nil { // its landing wakes us
		soonest(g.returnBy)
	}
	if stale := g.cache.next(); !stale.IsZero() {
		soonest(stale.Add(returnDelay))
	}
	for _, a := range g.closed {
		if a != nil {
			soonest(a.err.Until)
		}
	}
	return max(next.Sub(now), time.Millisecond)
}

// drain gives everything back. The trips need a context of their own: ours has
// ended, which is why we are here.
func (g *Gate) drain(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	g.mu.Lock()
	g.drained, g.drainCtx, g.subscribed = true, ctx, false
	g.dropPermits()
	g.mu.Unlock()
	if err := g.flushReturns(ctx); err != nil {
		return fmt.Errorf("ratelimit: permits in hand were not given back, they stay counted until Reconcile: %w", err)
	}
	return nil
}

// flushReturns makes trips until nothing is left to give back.
func (g *Gate) flushReturns(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.inflight == nil {
			if len(g.returns) == 0 && g.unanswered == nil {
				g.mu.Unlock()
				return nil
			}
			g.start(ctx, 0, General)
		}
		r := g.inflight
		g.mu.Unlock()
		<-r.done
		var closed *ClosedError
		if r.err != nil && !errors.As(r.err, &closed) {
			return r.err
		}
	}
}
