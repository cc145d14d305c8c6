package queue

import (
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// delivery is one fetched task with its permit.
type delivery struct {
	queue       *keys
	id, message string
	permit      ratelimit.Permit
	number      int64
	redelivered bool
	lease       int64 // its end in Unix seconds, as the fetch wrote it
	fetched     time.Time
	started     bool // its handler runs; guarded by inFlight
}

// late reports that asynq must not get the task any more: it was fetched over a
// second ago, or, where the process stood still (SIGSTOP, a suspended machine),
// its lease has run for some seconds.
func (d *delivery) late(now time.Time) bool {
	return now.Sub(d.fetched) > maxHandOver || time.Unix(d.lease, 0).Sub(now.Round(0)) < leaseTime-2*maxHandOver
}

// inFlight is the tasks of this process between the fetch and the end of their
// handler. It carries permit and delivery number from the fetch, which asynq does
// not know of, to the handler. One ID is in flight once, since asynq keeps leases and
// cancellations by ID.
type inFlight struct {
	slots int
	freed chan struct{} // capacity 1: a slot became free

	mu      sync.Mutex
	tasks   map[string]*delivery // by ID: handed to asynq, or its handler is running
	putBack map[string]bool      // IDs that are back on their queue, not completed by asynq yet
}

func newInFlight(slots int) *inFlight {
	return &inFlight{
		slots: slots, freed: make(chan struct{}, 1),
		tasks: map[string]*delivery{}, putBack: map[string]bool{},
	}
}

// free is how many tasks asynq can take now.
func (f *inFlight) free() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slots - len(f.tasks)
}

// hand is false while another task of this ID is in flight, of an earlier delivery or of
// another queue. One that asynq took and has not started for long is none.
func (f *inFlight) hand(d *delivery) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.tasks[d.id]; other != nil && (other.started || time.Since(other.fetched) < staleAfter) {
		return false
	}
	f.tasks[d.id] = d
	return true
}

// forget drops a task that asynq did not take.
func (f *inFlight) forget(d *delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tasks, d.id)
}

// start is called by the handler. It is nil for a task that asynq started too late: take
// has removed it, and its next delivery may be in flight.
func (f *inFlight) start(queue, id string) *delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.tasks[id]
	if d == nil || d.started || d.queue.queue != queue {
		return nil
	}
	d.started = true
	return d
}

// end is called when the handler has returned. putBack: the task is back on its queue,
// so that asynq's completion of it must not be carried out.
func (f *inFlight) end(id string, putBack bool) {
	f.mu.Lock()
	delete(f.tasks, id)
	if putBack {
		f.putBack[id] = true
	}
	f.mu.Unlock()
	select {
	case f.freed <- struct{}{}:
	default:
	}
}

// wasPutBack reports it once. An entry that asynq never asks for, since its lease was
// over, costs a later completion of the same ID, which then waits for its lease.
func (f *inFlight) wasPutBack(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.putBack[id]
	delete(f.putBack, id)
	return was
}

// take removes what was handed to asynq longer ago than age and never started:
// asynq could not decode it, or its context was over. age 0 takes all.
func (f *inFlight) take(age time.Duration) (taken []*delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, d := range f.tasks {
		if !d.started && time.Since(d.fetched) >= age {
			taken = append(taken, d)
			delete(f.tasks, id)
		}
	}
	return taken
}
