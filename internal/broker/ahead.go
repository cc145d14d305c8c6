package broker

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// asynq fetches one task per round trip. While a queue has more, our client asks
// for several in the same trip, hands the first over and keeps the rest for
// asynq's next fetches: as many as there are slots that wait for a task, or whose
// handler has returned and whose completion is on its way, and permits whose
// moment has come. So a task is kept for about a round trip.

const (
	// aheadMost bounds the tasks of one trip. At 64 a worker 1 ms away from Redis
	// fetches more than its processors can send, and the script calls hold Redis
	// up for less than a millisecond.
	aheadMost = 64
	// aheadHold is how long a task may be kept: its lease runs meanwhile.
	aheadHold = time.Second
	// aheadRun is how long the lease of a task may have run, the trip included.
	aheadRun = 7 * time.Second
	// keepEvery is how often kept tasks are looked over.
	keepEvery = 250 * time.Millisecond
)

// held is a task that was fetched and not handed to asynq yet. It is active in
// Redis: when the process is killed, its lease ends and the watchdog takes it back.
type held struct {
	lane  int
	cmd   *redis.Cmd
	grant grant
	lease int64 // its end in Unix seconds, as the fetch wrote it
	at    time.Time
}

// spoiled reports that asynq must not get the task any more: it was kept for too
// long, its lease has run for too long, as in a process that stood still, or the
// gate may have taken the permit back.
func (h *held) spoiled(now time.Time) bool {
	return now.Sub(h.at) > aheadHold || time.Unix(h.lease, 0).Sub(now) < leaseTime-aheadRun || h.grant.void(now)
}

// once is a command that go-redis does not repeat after a lost connection: what
// was read before would be overwritten, and those tasks left to the watchdog.
type once struct{ *redis.Cmd }

// NoRetry is asked by go-redis.
func (once) NoRetry() bool { return true }

// ahead hands over the task that was fetched first, and waits for one while a
// fetch is under way that may bring some: redis.Nil when end came first. nil:
// nothing is on its way.
func (f *fetcher) ahead(end time.Time) *redis.Cmd {
	for {
		f.mu.Lock()
		flight := f.flight
		if len(f.held) == 0 {
			f.mu.Unlock()
			if flight == nil {
				return nil
			}
			if !f.wait(flight, end) {
				return f.none()
			}
			continue
		}
		h := f.held[0]
		if h.spoiled(time.Now()) {
			f.mu.Unlock()
			f.sift()
			continue
		}
		f.held = f.held[1:]
		f.mu.Unlock()
		return f.hand(&h)
	}
}

// wait for a landing. False: end has come first, or the server stops.
func (f *fetcher) wait(landing <-chan struct{}, end time.Time) bool {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-landing:
		return true
	case <-timer.C:
	case <-f.ctx.Done():
	}
	return false
}

// landed lets the other fetches go on.
func (f *fetcher) landed(c *claim) {
	if !c.flight {
		return
	}
	c.flight = false
	f.mu.Lock()
	close(f.flight)
	f.flight = nil
	f.mu.Unlock()
}

// hand gives the task to asynq and leaves its permit for the handler.
func (f *fetcher) hand(h *held) *redis.Cmd {
	message, _ := h.cmd.Val().(string)
	id, ok := taskID(message)
	if !ok {
		return h.cmd // the handler finds none and asks the gate itself: one is lost
	}
	if old := f.permits.put(taskKey{f.queues[h.lane].queue, id}, h.grant.permit); old != nil {
		f.gate.Return(*old)
	} else {
		f.busy.Add(1)
	}
	return h.cmd
}

// begun takes the permit that was left for the task; call ended when its handler
// has returned. nil: there is none.
func (f *fetcher) begun(k taskKey) (permit *ratelimit.Permit, ended func()) {
	if permit = f.permits.take(k); permit == nil {
		return nil, func() {}
	}
	return permit, func() { f.busy.Add(-1) }
}

// take fetches with the permit, and ahead with others that are due. nil: look for
// another class.
func (f *fetcher) take(run dequeue, c claim, g grant) *redis.Cmd {
	grants := f.more(c, g)
	q := &f.queues[c.lane]
	lease := time.Now().Add(leaseTime).Unix()
	cmds := run(len(grants), []string{q.pending, q.paused, q.active, q.lease}, lease, q.tasks)
	t, now := tally{f: f}, time.Now()
	for i, cmd := range cmds {
		t.count(&held{c.lane, cmd, grants[i], lease, now})
	}
	f.mu.Lock()
	f.asked -= len(grants)
	f.mu.Unlock()
	switch {
	case len(t.got) > 0:
		f.found(c, &t)
		return f.hand(&t.got[0])
	case t.failed == nil:
		f.empty(c)
		return nil
	case redis.HasErrorPrefix(t.failed.Err(), "NOSCRIPT"):
		// asynq sends the script's text next, which comes by here again.
		f.release(c)
	case len(cmds) > 1 && lost(t.failed.Err()):
		// A connection that was dead for long, perhaps: a single fetch is repeated
		// on another one by itself.
		f.shallow(c)
		return nil
	default:
		f.release(c)
		f.trouble("a fetch failed", t.failed.Err())
	}
	return t.failed
}

// more takes permits for as many tasks as the trip may bring: one, unless the
// last trip to the class came back full, and never more than slots that wait.
func (f *fetcher) more(c claim, g grant) []grant {
	f.mu.Lock()
	n := 1
	if l := &f.lanes[c.lane]; l.sure && !g.permit.Probe() {
		free := f.slots - int(f.busy.Load()) - len(f.held) - f.asked
		n = max(1, min(free, l.depth, aheadMost))
	}
	f.asked += n
	f.mu.Unlock()
	grants := append(make([]grant, 0, n), g)
	for len(grants) < n {
		next, ok := f.permit(c)
		if !ok {
			break
		}
		if next.permit.Probe() || time.Until(next.permit.At) > 0 {
			f.park(next)
			break
		}
		grants = append(grants, next)
	}
	f.mu.Lock()
	f.asked -= n - len(grants)
	f.mu.Unlock()
	return grants
}

// tally sorts what a trip brought.
type tally struct {
	f      *fetcher
	got    []held
	full   bool       // the last one brought a task too
	failed *redis.Cmd // the first that brought neither a task nor its absence
}

func (t *tally) count(h *held) {
	err := h.cmd.Err()
	_, read := h.cmd.Val().(string)
	t.full = false
	switch {
	case err == nil, read && lost(err): // read before the connection broke
		h.cmd.SetErr(nil)
		t.got, t.full = append(t.got, *h), true
		return
	case errors.Is(err, redis.Nil):
		t.f.gate.Return(h.grant.permit)
		return
	case lost(err):
		// Whether a task was fetched is not known. If one was, the watchdog puts
		// it back and its next fetch takes a permit of its own; so this permit is
		// given up: too few sends are safe, too many are not.
	default:
		t.f.gate.Return(h.grant.permit) // the server refused: nothing was fetched
	}
	if t.failed == nil {
		t.failed = h.cmd
	}
}

// found keeps what is left after the first, and lets the next trip ask for more
// when this one came back full. The class is empty when the last call said so.
func (f *fetcher) found(c claim, t *tally) {
	f.mu.Lock()
	l := &f.lanes[c.lane]
	l.looking = false
	raised := !l.up || !l.sure
	switch {
	case t.full:
		l.up, l.sure, l.depth = true, true, min(2*max(l.depth, 1), aheadMost)
	case t.failed != nil:
		l.up, l.sure, l.depth = true, true, 1
	default:
		*l = lane{downs: l.downs + 1}
		raised = false
	}
	f.held = append(f.held, t.got[1:]...)
	if raised {
		f.broadcast()
	}
	f.mu.Unlock()
	f.landed(&c)
	if len(t.got) > 1 {
		select {
		case f.holding <- struct{}{}:
		default:
		}
	}
	if f.ctx.Err() != nil {
		f.sift() // keep may have ended
	}
}

// empty puts the lane down. A wake-up that came meanwhile is not lost: a lane
// that went down is looked at before anybody sleeps.
func (f *fetcher) empty(c claim) {
	f.mu.Lock()
	f.lanes[c.lane] = lane{downs: f.lanes[c.lane].downs + 1}
	f.mu.Unlock()
	f.landed(&c)
}

// shallow has the next trip ask for one task.
func (f *fetcher) shallow(c claim) {
	f.mu.Lock()
	f.lanes[c.lane].depth = 1
	f.mu.Unlock()
	f.release(c)
}

// keep gives back what asynq does not come for, until the server stops.
func (f *fetcher) keep() {
	for {
		select {
		case <-f.holding:
		case <-f.ctx.Done():
			f.sift()
			return
		}
		f.watch()
	}
}

func (f *fetcher) watch() {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		changed := f.gate.Changed() // before the look, so that no change is missed
		f.sift()
		select {
		case <-ticker.C:
			if f.sift() == 0 {
				return
			}
		case <-changed:
		case <-f.ctx.Done():
			return
		}
	}
}

// sift puts kept tasks that are spoiled back at the head of their queues, all of
// them when the server stops, and returns how many are still kept.
func (f *fetcher) sift() int {
	now, stopping := time.Now(), f.ctx.Err() != nil
	f.mu.Lock()
	var good, bad []held
	for _, h := range f.held {
		if stopping || h.spoiled(now) {
			bad = append(bad, h)
		} else {
			good = append(good, h)
		}
	}
	if len(bad) > 0 {
		f.held = good
	}
	f.mu.Unlock()
	for lane := range f.queues {
		f.putBack(lane, bad)
	}
	return len(good)
}

// putBack returns the tasks of the lane to its queue, and their permits.
func (f *fetcher) putBack(lane int, tasks []held) {
	q := &f.queues[lane]
	args := []any{q.tasks, time.Now().UnixNano()}
	for i := range tasks {
		if tasks[i].lane != lane {
			continue
		}
		f.gate.Return(tasks[i].grant.permit)
		message, _ := tasks[i].cmd.Val().(string)
		if id, ok := taskID(message); ok {
			args = append(args, id, tasks[i].lease)
		}
	}
	const fixed = 2
	if len(args) == fixed {
		return
	}
	ctx := context.WithoutCancel(f.ctx) // the server may stop: the tasks must not wait for their lease
	err := giveBackScript.Run(ctx, f.rdb, []string{q.active, q.lease, q.pending}, args...).Err()
	if err != nil {
		f.log.Warn("broker: tasks fetched ahead could not be put back: the watchdog does it when their lease is over",
			zap.String("queue", q.queue), zap.Int("tasks", (len(args)-fixed)/2), zap.Error(err))
		return
	}
	f.stir(q.class)
	// Workers that sleep look by themselves in a second when this fails.
	_ = wakeScript.Run(ctx, f.rdb, []string{idleKey(f.account, q.class)}, wakeChannel(f.account), string(q.class)).Err()
}
