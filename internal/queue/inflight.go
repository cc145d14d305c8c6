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
}

// late reports that asynq must not get the task any more: it was fetched over a
// second ago, or, where the process stood still (SIGSTOP, a suspended machine),
// its lease has run for some seconds.
func (d *delivery) late(now time.Time) bool {
	return now.Sub(d.fetched) > maxHandOver || time.Unix(d.lease, 0).Sub(now.Round(0)) < leaseTime-2*maxHandOver
}

// taskKey names a task: an ID alone may stand in two queues.
type taskKey struct{ queue, id string }

// inFlight is the tasks of this process between the fetch and the end of their
// handler. It carries permit and delivery number from the fetch, which asynq does
// not know of, to the handler.
type inFlight struct {
	slots int
	freed chan struct{} // capacity 1: a slot became free

	mu        sync.Mutex
	handed    map[taskKey]*delivery // handed to asynq, handler not started
	running   map[string]bool       // IDs whose handler is running: whether in a slot
	recording int                   // of them, those whose slot is free, see Task.FreeSlot
	putBack   map[string]int        // IDs that are back on their queue: completions that asynq has yet to ask for
}

func newInFlight(slots int) *inFlight {
	return &inFlight{
		slots: slots, freed: make(chan struct{}, 1),
		handed: map[taskKey]*delivery{}, running: map[string]bool{}, putBack: map[string]int{},
	}
}

// free is how many tasks asynq can take now.
func (f *inFlight) free() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slots - len(f.handed) - len(f.running) + f.recording
}

// freeSlot frees the slot of a task whose handler still runs.
func (f *inFlight) freeSlot(id string) {
	f.mu.Lock()
	if f.running[id] {
		f.running[id] = false
		f.recording++
	}
	f.mu.Unlock()
	f.signal()
}

func (f *inFlight) signal() {
	select {
	case f.freed <- struct{}{}:
	default:
	}
}

func (f *inFlight) hand(d *delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handed[taskKey{d.queue.queue, d.id}] = d
}

// forget drops a task that asynq did not take.
func (f *inFlight) forget(d *delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.handed, taskKey{d.queue.queue, d.id})
}

// start is called by the handler: d is nil when the task was not fetched by the
// fetch loop. ok is false while another handler runs a task of the same ID, since
// asynq keeps leases and cancellations by ID.
func (f *inFlight) start(k taskKey) (d *delivery, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d = f.handed[k]
	delete(f.handed, k)
	if _, twin := f.running[k.id]; d == nil || twin {
		return d, false
	}
	f.running[k.id] = true
	return d, true
}

// end is called when the handler has returned. putBack: the task is back on its queue,
// so that asynq's completion of it must not be carried out.
func (f *inFlight) end(id string, putBack bool) {
	f.mu.Lock()
	if !f.running[id] {
		f.recording--
	}
	delete(f.running, id)
	if putBack {
		f.putBack[id]++
	}
	f.mu.Unlock()
	f.signal()
}

// wasPutBack reports it once for each time: a task may be fetched again, and put back
// again, before asynq completes its first delivery. Which delivery a completion is of does
// not matter, as long as none too many is carried out. An entry that asynq never asks for,
// since its lease was over, costs a later completion of the same ID, which then waits for
// its lease.
func (f *inFlight) wasPutBack(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.putBack[id]
	if n > 1 {
		f.putBack[id] = n - 1
	} else {
		delete(f.putBack, id)
	}
	return n > 0
}

// take removes what was handed to asynq longer ago than age and never started:
// asynq could not decode it, or its context was over. age 0 takes all.
func (f *inFlight) take(age time.Duration) []*delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	var taken []*delivery
	for k, d := range f.handed {
		if time.Since(d.fetched) >= age {
			taken = append(taken, d)
			delete(f.handed, k)
		}
	}
	return taken
}

func (f *inFlight) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.running)
}
