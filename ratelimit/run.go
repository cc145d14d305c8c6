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
// expire, and returns the rest when ctx ends: end it after the fetching has
// stopped and the last permit was used or returned. Take works without it, but
// learns of closures only with its next booking. Run returns nil when all permits
// were returned, and an error when it is running already or Redis failed in the
// end (Reconcile corrects the count then). While Redis or its pub/sub is not
// available, Run keeps trying.
func (g *Gate) Run(ctx context.Context) error {
	if !g.running.CompareAndSwap(false, true) {
		return errors.New("ratelimit: run: this gate is running already: call Run once for a gate")
	}
	defer g.running.Store(false)
	sub := g.rdb.Subscribe(ctx, g.channel())
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

// handleEvent applies what another process did. What this process did was applied
// when it did it.
func (g *Gate) handleEvent(event any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch e := event.(type) {
	case *redis.Subscription:
		if e.Kind != "subscribe" {
			return
		}
		if g.subscribed {
			// The connection was lost: a closure may have been missed, and Redis
			// may have come back without its last writes.
			g.dropPermits()
			g.verify, g.returnBy = true, time.Now()
		}
		g.subscribed = true
		g.notify()
	case *redis.Message:
		instance, what, _ := strings.Cut(e.Payload, " ")
		if instance == g.instance {
			return
		}
		if verb, _, _ := strings.Cut(what, " "); verb == "close" {
			g.dropPermits()
		}
		g.notify()
	}
}

// tick does what is due and returns the time until the next thing is.
func (g *Gate) tick(ctx context.Context) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	// A little later than Take would, whose next booking returns expired permits.
	g.returnExpired(now.Add(-returnDelay), 0)
	for _, a := range g.closed {
		if a != nil && !a.err.Until.IsZero() && !now.Before(a.err.Until) {
			g.notify()
			break
		}
	}
	if g.inflight == nil && !g.returnBy.IsZero() && !now.Before(g.returnBy) {
		if g.hasReturns() {
			g.start(ctx, 0, General)
		} else {
			g.returnBy = time.Time{} // a Take has returned them
		}
	}
	return g.nextTick(now)
}

// hasReturns reports whether a booking of nothing is to be sent.
func (g *Gate) hasReturns() bool { return len(g.returns) > 0 || g.unanswered != nil || g.verify }

func (g *Gate) nextTick(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	soonest := func(at time.Time) {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if g.inflight == nil { // finish wakes Run
		soonest(g.returnBy)
	}
	if expiry := g.cache.nextExpiry(); !expiry.IsZero() {
		soonest(expiry.Add(returnDelay))
	}
	for _, a := range g.closed {
		if a != nil {
			soonest(a.err.Until)
		}
	}
	return max(next.Sub(now), time.Millisecond)
}

// drain returns everything. ctx has ended, so the requests need their own.
func (g *Gate) drain(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	g.mu.Lock()
	g.drained, g.drainCtx, g.subscribed = true, ctx, false
	g.dropPermits()
	g.mu.Unlock()
	if err := g.flushReturns(ctx); err != nil {
		return fmt.Errorf("ratelimit: permits were not returned, they stay counted until Reconcile: %w", err)
	}
	return nil
}

// flushReturns sends bookings of nothing until all is returned.
func (g *Gate) flushReturns(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.inflight == nil {
			if !g.hasReturns() {
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
