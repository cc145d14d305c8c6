package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/ratelimit"
)

const (
	// leaseTime is asynq's: its heartbeat extends a lease by as much.
	leaseTime = 30 * time.Second
	// holdTime is how long a fetch sleeps in our client while nothing may be
	// fetched, and permitHold how long it may wait for a permit's moment: asynq
	// counts the lease in the process from before the call.
	holdTime   = time.Second
	permitHold = 5 * time.Second
	// permitLinger is how long after its moment a permit is good for a fetch. A
	// probe is good for longer: it is the only one.
	permitLinger = time.Second
	// pollEvery is how often an empty class is looked at without a wake-up.
	pollEvery = time.Second
	// idleTTL outlives two polls, so that the mark does not blink.
	idleTTL = 3 * time.Second
	// troubleWait is the pause after an error of Redis.
	troubleWait = 250 * time.Millisecond
)

// fetcher decides what all asynq servers of an account fetch, and when. asynq
// asks for one queue after the other in random order; whichever it asks for,
// the answer is a task of the class that is due, since asynq takes the queue
// from the task itself.
//
// Critical goes first (15 of 16 fetches while it has a backlog, so that it
// cannot starve the rest), then three of default to one of bulk.
type fetcher struct {
	rdb     redis.UniversalClient
	account string
	gate    Gate
	log     *zap.Logger
	queues  []queueKeys     // most urgent first
	ctx     context.Context //nolint:containedctx // of Run: the fetches of asynq bring none
	clock   *clock
	permits handover
	slots   int           // tasks in flight, all asynq servers of the account
	busy    atomic.Int64  // of them, handed to asynq and not ended
	holding chan struct{} // wakes keep, capacity 1

	mu       sync.Mutex
	held     []held        // fetched ahead, in order
	flight   chan struct{} // closed when the fetch under way has landed; nil: none is
	asked    int           // tasks that fetches under way may bring
	lanes    []lane        // beside queues
	closed   [2]closure
	parked   []grant
	changed  chan struct{} // closed and replaced when a lane came up
	probing  bool
	troubled time.Time // Redis failed: nothing is asked before this
	turn     int       // counts choices between critical and the rest
	share    int       // counts choices between default and bulk
}

// lane is what we believe of a class's queue.
type lane struct {
	up      bool      // may hold a task
	sure    bool      // the last fetch found one: all servers may fetch at once
	looking bool      // one server looks while it is not sure
	probed  time.Time // when it was last looked at without a fetch; zero: not since it went down
	downs   int       // counts how often it went down
	depth   int       // how many tasks one trip may fetch; 0 is 1
}

// closure is the gate's last refusal for a tier.
type closure struct {
	until   time.Time
	changed <-chan struct{}
}

// newFetcher fetches until ctx ends.
func newFetcher(ctx context.Context, cfg *ServerConfig) *fetcher {
	f := &fetcher{
		rdb: cfg.Redis, account: cfg.Account, gate: cfg.Gate, log: cfg.Logger,
		queues: allKeysOf(cfg.Account), ctx: ctx, changed: make(chan struct{}), clock: newClock(cfg),
		slots: cfg.Concurrency, holding: make(chan struct{}, 1),
	}
	// All down: the first look tells which are worth a permit.
	f.lanes = make([]lane, len(f.queues))
	return f
}

// dequeue runs asynq's dequeue script on a queue n times in one trip.
type dequeue func(n int, keys []string, args ...any) []*redis.Cmd

// fetch answers one dequeue of asynq: with a task, or with redis.Nil after at
// most holdTime without one (permitHold when a permit was to be waited for).
func (f *fetcher) fetch(run dequeue) *redis.Cmd {
	start := time.Now()
	end := start.Add(holdTime)
	for f.ctx.Err() == nil {
		if f.clock.off() {
			f.rest(end)
			break
		}
		if cmd := f.ahead(end); cmd != nil {
			return cmd
		}
		f.probe()
		c, ok := f.claim(time.Now())
		if !ok {
			if !f.sleep(end) {
				break
			}
			continue
		}
		g, ok := f.permit(c)
		if !ok {
			f.release(c)
			continue
		}
		switch f.await(&c, g, start.Add(permitHold)) {
		case news: // the gate may have closed: what it takes back is not used
			f.gate.Return(g.permit)
			f.release(c)
			continue
		case notYet:
			f.park(g)
			f.release(c)
			return f.none()
		case due:
		}
		if cmd := f.take(run, f.upgrade(c, g.permit), g); cmd != nil {
			return cmd
		}
	}
	return f.none()
}

// rest waits until end.
func (f *fetcher) rest(end time.Time) {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

func (f *fetcher) none() *redis.Cmd {
	none := redis.NewCmd(f.ctx)
	none.SetErr(redis.Nil)
	return none
}

// claim is a lane that this fetch goes for.
type claim struct {
	lane   int
	turn   bool // chosen although critical waited: it is the rest's turn
	flight bool // the other fetches wait for this one
}

func tierOf(lane int) ratelimit.Tier {
	if lane == 0 {
		return ratelimit.Reserved
	}
	return ratelimit.General
}

// claim chooses a lane that may hold a task and whose tier is open.
func (f *fetcher) claim(now time.Time) (claim, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.troubled) || f.flight != nil {
		return claim{}, false
	}
	const critical, normal, bulk = 0, 1, 2
	first, second, third := f.ready(critical, now), f.ready(normal, now), f.ready(bulk, now)
	rest := normal
	if second && third {
		if f.share++; f.share%4 == 0 {
			rest = bulk
		}
	} else if third {
		rest = bulk
	}
	c := claim{lane: rest}
	switch {
	case first && (second || third):
		if f.turn++; f.turn%16 == 0 {
			c.turn = true
		} else {
			c.lane = critical
		}
	case first:
		c.lane = critical
	case !second && !third:
		return claim{}, false
	}
	if l := &f.lanes[c.lane]; l.sure {
		c.flight, f.flight = true, make(chan struct{})
	} else {
		l.looking = true
	}
	return c, true
}

// ready reports whether one more server may fetch from the lane.
func (f *fetcher) ready(i int, now time.Time) bool {
	l := &f.lanes[i]
	return l.up && (l.sure || !l.looking) && !f.shut(tierOf(i), now)
}

func (f *fetcher) shut(tier ratelimit.Tier, now time.Time) bool {
	c := &f.closed[tier]
	if c.until.IsZero() {
		return false
	}
	select {
	case <-c.changed:
	default:
		if now.Before(c.until) {
			return true
		}
	}
	*c = closure{}
	return false
}

func (f *fetcher) release(c claim) {
	f.landed(&c)
	f.mu.Lock()
	f.lanes[c.lane].looking = false
	f.mu.Unlock()
}

// grant is a permit, and the channel that tells whether the gate still says so.
type grant struct {
	permit  ratelimit.Permit
	changed <-chan struct{}
}

// void reports whether the gate may have taken the permit back, or its moment
// has passed: yesterday's permit must not be used today.
func (g grant) void(now time.Time) bool {
	select {
	case <-g.changed:
		return true
	default:
		return !g.permit.Probe() && !g.permit.At.IsZero() && now.After(g.permit.At.Add(permitLinger))
	}
}

// permit takes one that an earlier fetch had to leave, or asks the gate.
func (f *fetcher) permit(c claim) (grant, bool) {
	tier := tierOf(c.lane)
	if g, ok := f.unpark(tier); ok {
		return g, true
	}
	changed := f.gate.Changed() // before Take, so that no change is missed
	p, err := f.gate.Take(f.ctx, tier)
	if err == nil {
		return grant{p, changed}, true
	}
	var refused *ratelimit.ClosedError
	if !errors.As(err, &refused) {
		if f.ctx.Err() == nil {
			f.trouble("the gate could not be asked", err)
		}
		return grant{}, false
	}
	now := time.Now()
	until := now.Add(holdTime)
	if !refused.Until.IsZero() && refused.Until.Before(until) {
		until = refused.Until
	}
	if soonest := now.Add(time.Millisecond); until.Before(soonest) {
		until = soonest // a gate whose hour has come opens by itself
	}
	f.mu.Lock()
	f.closed[tier] = closure{until: until, changed: changed}
	f.mu.Unlock()
	return grant{}, false
}

// upgrade turns to critical when it came up while the permit's moment was
// waited for. A reserved permit is for critical only.
func (f *fetcher) upgrade(c claim, p ratelimit.Permit) claim {
	if c.lane == 0 || c.turn || p.Tier == ratelimit.Reserved {
		return c
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.lanes[0]
	if !l.up || (!l.sure && l.looking) {
		return c
	}
	f.lanes[c.lane].looking = false
	l.looking = !l.sure
	return claim{lane: 0, flight: c.flight}
}

// stir says that the class may have something to fetch.
func (f *fetcher) stir(class job.Class) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.queues {
		if f.queues[i].class == class && !f.lanes[i].up {
			f.lanes[i].up = true
			f.broadcast()
		}
	}
}

func (f *fetcher) broadcast() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fetcher) trouble(what string, err error) {
	f.mu.Lock()
	now := time.Now()
	first := now.Sub(f.troubled) > 10*time.Second
	f.troubled = now.Add(troubleWait)
	f.mu.Unlock()
	if first {
		f.log.Warn("broker: "+what+", trying again", zap.String("account", f.account), zap.Error(err))
	}
}
