package broker

import (
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// probe marks the classes that are down as idle, so that the next Enqueue calls,
// and looks whether they are empty indeed. The order matters: what is enqueued
// after the look finds the mark. One server at a time does it for all; each
// class is looked at when it goes down and then every pollEvery.
func (f *fetcher) probe() {
	due, downs := f.probeDue(time.Now())
	if len(due) == 0 {
		return
	}
	waiting, err := f.look(due)
	now := time.Now()

	f.mu.Lock()
	f.probing = false
	raised := false
	for n, i := range due {
		l := &f.lanes[i]
		switch {
		case l.up: // a wake-up came since
		case slices.Contains(waiting, i):
			l.up, raised = true, true
		case l.downs == downs[n]: // else it went down after this look
			l.probed = now
		}
	}
	if raised {
		f.broadcast()
	}
	f.mu.Unlock()
	if err != nil && f.ctx.Err() == nil {
		f.trouble("an empty queue could not be looked at", err)
	}
}

// look marks the lanes as idle and returns those that hold tasks and are not paused.
func (f *fetcher) look(lanes []int) (waiting []int, err error) {
	lengths := make([]*redis.IntCmd, len(lanes))
	pipe := f.rdb.Pipeline()
	for _, i := range lanes {
		pipe.Set(f.ctx, idleKey(f.account, f.queues[i].class), 1, idleTTL)
	}
	for n, i := range lanes {
		lengths[n] = pipe.LLen(f.ctx, f.queues[i].pending)
	}
	if _, err = pipe.Exec(f.ctx); err != nil {
		return nil, err //nolint:wrapcheck // the caller names what failed
	}
	for n, i := range lanes {
		if lengths[n].Val() == 0 {
			continue
		}
		paused, err := f.rdb.Exists(f.ctx, f.queues[i].paused).Result()
		if err != nil {
			return nil, err //nolint:wrapcheck // the caller names what failed
		}
		if paused == 0 {
			waiting = append(waiting, i)
		}
	}
	return waiting, nil
}

func (f *fetcher) probeDue(now time.Time) (due, downs []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.probing || now.Before(f.troubled) {
		return nil, nil
	}
	urgent := false
	for i := range f.lanes {
		l := &f.lanes[i]
		if l.up {
			continue
		}
		due, downs = append(due, i), append(downs, l.downs)
		urgent = urgent || now.Sub(l.probed) >= pollEvery
	}
	if !urgent {
		return nil, nil
	}
	f.probing = true
	return due, downs
}

// sleep waits until something may have changed. False: end has come, or the
// server stops.
func (f *fetcher) sleep(end time.Time) bool {
	now := time.Now()
	f.mu.Lock()
	changed := f.changed
	next := end
	if f.troubled.After(now) {
		next = earlier(next, f.troubled)
	} else if !f.probing {
		for i := range f.lanes {
			if !f.lanes[i].up {
				next = earlier(next, f.lanes[i].probed.Add(pollEvery))
			}
		}
	}
	var opened [2]<-chan struct{}
	for tier := range f.closed {
		if !f.closed[tier].until.IsZero() {
			next = earlier(next, f.closed[tier].until)
			opened[tier] = f.closed[tier].changed
		}
	}
	ready, up := false, false
	for i := range f.lanes {
		ready = ready || !now.Before(f.troubled) && f.ready(i, now)
		up = up || f.lanes[i].up
	}
	var left []grant
	if !up {
		left, f.parked = f.parked, nil // nobody to spend them on; their day may end
	}
	f.mu.Unlock()
	f.returnAll(left)
	if ready {
		return true // it came up after the claim had failed
	}
	timer := time.NewTimer(next.Sub(now))
	defer timer.Stop()
	select {
	case <-changed:
	case <-opened[ratelimit.General]:
	case <-opened[ratelimit.Reserved]:
	case <-timer.C:
	case <-f.ctx.Done():
		return false
	}
	return time.Now().Before(end)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// moment is how the wait for a permit's moment ended.
type moment int

const (
	due    moment = iota
	news          // the gate may have closed meanwhile
	notYet        // the moment does not come before the end, or the server stops
)

// await waits for the permit's moment and keeps an eye on the idle classes
// meanwhile.
func (f *fetcher) await(c *claim, g grant, end time.Time) moment {
	for {
		wait, last := time.Until(g.permit.At), time.Until(end)
		if wait <= 0 {
			return due
		}
		f.landed(c) // the others need not wait with this one
		if last <= 0 {
			return notYet
		}
		timer := time.NewTimer(min(wait, last, pollEvery))
		select {
		case <-timer.C:
		case <-g.changed:
			timer.Stop()
			return news
		case <-f.ctx.Done():
			timer.Stop()
			return notYet
		}
		if time.Until(g.permit.At) > 0 {
			f.probe()
		}
	}
}

// park keeps a permit whose moment has not come for the next fetch, or gives it
// back when there will be none.
func (f *fetcher) park(g grant) {
	if f.ctx.Err() != nil {
		f.gate.Return(g.permit)
		return
	}
	f.mu.Lock()
	f.parked = append(f.parked, g)
	f.mu.Unlock()
}

// unpark finds the earliest parked permit that the tier may use. Those that are
// void go back.
func (f *fetcher) unpark(tier ratelimit.Tier) (grant, bool) {
	f.mu.Lock()
	now := time.Now()
	var left, void []grant
	for _, g := range f.parked {
		if g.void(now) {
			void = append(void, g)
		} else {
			left = append(left, g)
		}
	}
	best := -1
	for i, g := range left {
		if g.permit.Tier == ratelimit.Reserved && tier != ratelimit.Reserved {
			continue
		}
		if best < 0 || g.permit.At.Before(left[best].permit.At) {
			best = i
		}
	}
	var found grant
	if best >= 0 {
		found = left[best]
		left = append(left[:best], left[best+1:]...)
	}
	f.parked = left
	f.mu.Unlock()
	f.returnAll(void)
	return found, best >= 0
}

// giveBack returns the tasks that asynq did not come for and the permits that no
// handler will spend.
func (f *fetcher) giveBack() {
	f.sift()
	f.mu.Lock()
	left := f.parked
	f.parked = nil
	f.mu.Unlock()
	f.returnAll(left)
	for _, p := range f.permits.drain() {
		f.gate.Return(p)
	}
}

func (f *fetcher) returnAll(left []grant) {
	for _, g := range left {
		f.gate.Return(g.permit)
	}
}
