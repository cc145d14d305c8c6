package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
)

var (
	fetchScript = script("fetch")
	openScript  = script("open")
)

const (
	// leaseTime is asynq's: its heartbeat extends a lease by as much.
	leaseTime = 30 * time.Second
	// maxFetch is how many tasks one script call fetches at most: it holds Redis for
	// well under a millisecond then.
	maxFetch = 64
	// fetchPause is the least time after a fetch of several tasks, and after completions
	// of several, so that the next one has several too: calls for single tasks cost
	// Redis and the worker twice as much. After a full fetch there is none.
	fetchPause = 2 * time.Millisecond
	// dequeueWait is about how long a dequeue waits for a task. asynq takes the question's
	// time for that of the fetch, from which it counts the lease.
	dequeueWait = time.Second
	// maxHandOver is how long a fetched task may wait until asynq takes it.
	maxHandOver = time.Second
	// idleLife outlives two looks of tend, so that the idle mark has no gaps.
	idleLife = 3 * time.Second
	// troubleWait is the pause after an error of Redis.
	troubleWait = 250 * time.Millisecond
	// staleAfter is when a task that asynq took and never started no longer counts.
	staleAfter = 30 * time.Second
)

// fetcher decides for one account what asynq's server gets and when. asynq's processor
// asks it for one task after the other. It waits for a free slot, chooses the class, takes
// permits from the gate, waits for the first permit's slot, and fetches in one trip as many
// tasks as asynq can take at once. Its fields belong to the processor's goroutine, except
// those that say otherwise.
//
// critical goes first, but one fetch in 16 goes to the rest, so that it cannot
// starve; default and bulk share 3 : 1.
type fetcher struct {
	rdb      redis.UniversalClient
	account  string
	gate     Gate
	log      *zap.Logger
	inFlight *inFlight // shared with the handlers

	batch       []delivery      // fetched, not yet asked for by asynq
	gateChanged <-chan struct{} // since the permits of the batch were taken

	queues     []*source              // critical, default, bulk
	changed    chan struct{}          // capacity 1: a queue was woken, or a slot became free
	wrongClock atomic.Bool            // set by tend
	looked     atomic.Pointer[moment] // of tend's last look; nil: none

	closed     [2]closure // by tier
	resumeAt   time.Time  // Redis failed: nothing is asked before this
	pauseUntil time.Time  // see fetchPause
	swept      time.Time  // see sweep
	turns      int        // choices between critical and the rest
	restsTurns int        // choices between default and bulk
}

// source is a queue that the loop fetches from.
type source struct {
	keys
	filled atomic.Bool // it may hold a task; any goroutine sets it
	depth  int         // how many tasks to ask for; doubles while fetches come back full
}

// closure is the gate's last refusal for a tier.
type closure struct {
	until   time.Time
	changed <-chan struct{}
}

func newFetcher(cfg *ServerConfig) *fetcher {
	f := &fetcher{rdb: cfg.Redis, account: cfg.Account, gate: cfg.Gate, log: cfg.Logger, changed: make(chan struct{}, 1)}
	f.inFlight = newInFlight(cfg.Concurrency, f.signal)
	for _, q := range allKeysOf(cfg.Account) {
		f.queues = append(f.queues, &source{keys: q})
	}
	return f
}

// next returns a task with its permit as soon as there is one; nil after a second or two,
// and when ctx has ended. What was fetched goes back when the gate has changed since, as it
// may have closed, and when it is late.
func (f *fetcher) next(ctx context.Context) *delivery {
	for asked := time.Now(); ctx.Err() == nil && time.Since(asked) < dequeueWait; {
		if len(f.batch) > 0 {
			d := &f.batch[0]
			if isClosed(f.gateChanged) || d.late(time.Now()) {
				f.giveBack(ctx)
				continue
			}
			f.batch = f.batch[1:]
			f.inFlight.hand(d)
			return d
		}
		if pause := time.Until(f.pauseUntil); pause > 0 {
			_ = redisx.Sleep(ctx, pause)
		}
		now := time.Now()
		f.sweep(now)
		var q *source
		free := f.inFlight.free()
		if free > 0 && !now.Before(f.resumeAt) && !f.wrongClock.Load() {
			q = f.choose(now)
		}
		if q == nil {
			f.wait(ctx, now)
			continue
		}
		critical := f.queues[0]
		waited := critical.filled.Load()
		f.gateChanged = f.gate.Changed() // before the permits, so that no change is missed
		permits := f.permits(ctx, TierOf(q.class), min(free, maxFetch, max(q.depth, 1)))
		if len(permits) == 0 {
			continue
		}
		if !waited && critical.filled.Load() { // it arrived while the permit's slot was awaited
			q = critical
		}
		f.batch = f.fetch(ctx, q, permits)
		if n := len(f.batch); n > 1 && n < maxFetch {
			f.pauseUntil = time.Now().Add(fetchPause)
		}
	}
	return nil
}

// sweep takes back, once a second, what asynq never started.
func (f *fetcher) sweep(now time.Time) {
	if now.Sub(f.swept) <= time.Second {
		return
	}
	f.swept = now
	for _, d := range f.inFlight.takeBack(staleAfter) {
		f.gate.Return(d.permit)
	}
}

// wait returns when something may have changed: a wake-up, a free slot, an opened gate,
// or, at the latest after a second, the end of a pause.
func (f *fetcher) wait(ctx context.Context, now time.Time) {
	until := now.Add(time.Second)
	if f.resumeAt.After(now) && f.resumeAt.Before(until) {
		until = f.resumeAt
	}
	var opened [2]<-chan struct{}
	for tier, c := range f.closed {
		if c.until.After(now) {
			opened[tier] = c.changed
			if c.until.Before(until) {
				until = c.until
			}
		}
	}
	timer := time.NewTimer(until.Sub(now))
	defer timer.Stop()
	select {
	case <-f.changed:
	case <-opened[ratelimit.General]:
		f.closed[ratelimit.General] = closure{}
	case <-opened[ratelimit.Reserved]:
		f.closed[ratelimit.Reserved] = closure{}
	case <-timer.C:
	case <-ctx.Done():
	}
}

// choose returns the queue to fetch from; nil: none.
func (f *fetcher) choose(now time.Time) *source {
	open := func(q *source) bool { return q.filled.Load() && !f.shut(TierOf(q.class), now) }
	critical, normal, bulk := f.queues[0], f.queues[1], f.queues[2]
	var rest *source
	switch first, second := open(normal), open(bulk); {
	case first && second:
		rest = normal
		if f.restsTurns++; f.restsTurns%4 == 0 {
			rest = bulk
		}
	case first:
		rest = normal
	case second:
		rest = bulk
	}
	if !open(critical) {
		return rest
	}
	if f.turns++; rest != nil && f.turns%16 == 0 {
		return rest
	}
	return critical
}

// shut reports that the gate refused the tier and has told of no change since.
func (f *fetcher) shut(tier ratelimit.Tier, now time.Time) bool {
	c := f.closed[tier]
	return now.Before(c.until) && !isClosed(c.changed)
}

// isClosed reports that a channel which carries nothing is closed. A nil one is not.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// permits takes up to n permits and waits for the slot of the first one; the slots
// of the others have come by then. None: the gate is closed or has changed, or the slot is
// far.
func (f *fetcher) permits(ctx context.Context, tier ratelimit.Tier, n int) []ratelimit.Permit {
	var permits []ratelimit.Permit
	for len(permits) < n {
		p, err := f.gate.Take(ctx, tier)
		if err != nil {
			f.refused(ctx, tier, err)
			break
		}
		if len(permits) > 0 && (p.Probe() || time.Until(p.At) > 0) {
			f.gate.Return(p) // the gate keeps it for the next Take, without a call to Redis
			break
		}
		if permits = append(permits, p); p.Probe() || time.Until(p.At) > 0 {
			break
		}
	}
	if len(permits) == 0 {
		return nil
	}
	usable := true
	if wait := time.Until(permits[0].At); wait > 0 {
		usable = wait <= dequeueWait // else the gate keeps the permit until the next dequeue
		timer := time.NewTimer(min(wait, dequeueWait))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.gateChanged: // the gate may have closed, which makes the permit void
			usable = false
		case <-ctx.Done():
			usable = false
		}
	}
	now := time.Now() // after it the process stood still, or the day of the permits has ended
	if !usable || slices.ContainsFunc(permits, func(p ratelimit.Permit) bool { return p.Expired(now) }) {
		f.returnAll(permits)
		return nil
	}
	return permits
}

func (f *fetcher) refused(ctx context.Context, tier ratelimit.Tier, err error) {
	var refused *ratelimit.ClosedError
	if !errors.As(err, &refused) {
		f.trouble(ctx, "cannot ask the gate", err)
		return
	}
	now := time.Now()
	until := now.Add(time.Second)
	if !refused.Until.IsZero() && refused.Until.Before(until) {
		until = refused.Until
	}
	if soonest := now.Add(time.Millisecond); until.Before(soonest) {
		until = soonest // the closure ends at this moment: the gate opens when it is asked
	}
	f.closed[tier] = closure{until: until, changed: f.gateChanged}
}

// fetch spends permits on as many tasks of q, and returns those that are left. Two script
// calls take the tasks, since a script must declare the keys of the tasks. They are not
// repeated after a lost connection: the tasks of the first one would be left active
// until recovery finds them, as those of a call whose answer is lost are.
func (f *fetcher) fetch(ctx context.Context, q *source, permits []ratelimit.Permit) []delivery {
	ctx = context.WithoutCancel(ctx)
	lease := time.Now().Add(leaseTime).Unix()
	q.filled.Store(false) // before the call, so that no wake-up is lost
	ids, err := fetchScript.Texts(ctx, f.rdb, true, []string{q.pending, q.paused, q.active, q.lease, q.idle, q.deliveries, q.retry},
		lease, len(permits), idleLife.Milliseconds())
	var number int64 // of the first delivery
	var opened []string
	if err == nil && len(ids) > 0 {
		number, err = strconv.ParseInt(ids[0], 10, 64)
		ids = ids[1:]
		keys, args := []string{q.active, q.lease}, []any{number}
		for _, id := range ids {
			keys, args = append(keys, q.tasks+id), append(args, id)
		}
		if err == nil {
			opened, err = openScript.Texts(ctx, f.rdb, true, keys, args...)
		}
	}
	if err == nil && len(opened) != 2*len(ids) {
		err = fmt.Errorf("open.lua answered %d texts for %d tasks", len(opened), len(ids))
	}
	if err != nil {
		q.filled.Store(true)
		f.returnAll(permits)
		f.trouble(ctx, "cannot fetch tasks", err)
		return nil
	}
	now, deliveries := time.Now(), make([]delivery, 0, len(ids))
	for i, id := range ids {
		d := delivery{
			queue: &q.keys, id: id, message: opened[2*i], redelivered: opened[2*i+1] != "",
			number: number + int64(i), lease: lease, fetched: now,
		}
		if d.message != "" {
			d.permit = permits[len(deliveries)]
			deliveries = append(deliveries, d)
		}
	}
	f.returnAll(permits[len(deliveries):])
	if gone := len(ids) - len(deliveries); gone > 0 {
		f.log.Warn("queue: tasks without a message are removed: Redis evicted them, or they were deleted by hand", zap.Int("without_message", gone))
	}
	if q.depth = 2 * len(ids); len(ids) == len(permits) {
		q.filled.Store(true)
	}
	return deliveries
}

func (f *fetcher) returnAll(permits []ratelimit.Permit) {
	for _, p := range permits {
		f.gate.Return(p)
	}
}

func (f *fetcher) trouble(ctx context.Context, what string, err error) {
	f.resumeAt = time.Now().Add(troubleWait)
	if ctx.Err() == nil {
		f.log.Warn("queue: "+what+", trying again", zap.Error(err))
	}
}
