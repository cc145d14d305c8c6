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

	// Guarded by inFlight.mu.
	started bool // the handler was
	freed   bool // its slot, see Task.FreeSlot
}

// late reports that asynq must not get the task any more: it was fetched over a
// second ago, or, where the process stood still (SIGSTOP, a suspended machine),
// its lease has run for some seconds.
func (d *delivery) late(now time.Time) bool {
	return now.Sub(d.fetched) > maxHandOver || time.Unix(d.lease, 0).Sub(now.Round(0)) < leaseTime-2*maxHandOver
}

// taskKey names a task: an ID alone may stand in two queues.
type taskKey struct{ queue, id string }

// inFlight is the tasks of this process that asynq has. It carries permit and delivery
// number from the fetch, which asynq does not know of, to the handler, and the number to
// where the task goes.
type inFlight struct {
	slots  int
	signal func() // a slot became free

	mu      sync.Mutex
	handed  map[taskKey]*delivery // the last delivery of a task that asynq has
	running map[string]bool       // IDs whose handler is running
	used    int                   // slots
	taken   int                   // tasks that asynq has: a place of its semaphore each
}

func newInFlight(slots int, signal func()) *inFlight {
	return &inFlight{slots: slots, signal: signal, handed: map[taskKey]*delivery{}, running: map[string]bool{}}
}

// free is how many tasks may be fetched now. asynq can take each of them at once, so that
// none waits in this process.
func (f *inFlight) free() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return min(f.slots-f.used, f.slots+spareSlots-f.taken)
}

// hand is called before asynq gets the task.
func (f *inFlight) hand(d *delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handed[taskKey{d.queue.queue, d.id}] = d
	f.used++
	f.taken++
}

// freeSlot frees the slot of a task that asynq has. Later calls do nothing.
func (f *inFlight) freeSlot(d *delivery) {
	f.mu.Lock()
	if !d.freed {
		d.freed = true
		f.used--
	}
	f.mu.Unlock()
	f.signal()
}

// left is called once when asynq has put the task where it goes, or has given it up.
func (f *inFlight) left(d *delivery) {
	f.mu.Lock()
	f.taken--
	if k := (taskKey{d.queue.queue, d.id}); f.handed[k] == d {
		delete(f.handed, k)
	}
	f.mu.Unlock()
	f.freeSlot(d)
}

// numberOf is the number of the task's delivery; 0: asynq has none.
func (f *inFlight) numberOf(k taskKey) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.handed[k]; d != nil {
		return d.number
	}
	return 0
}

// start is called by the handler: d is nil when the task was not fetched by the
// fetch loop. ok is false while another handler runs a task of the same ID, since
// asynq keeps leases and cancellations by ID.
func (f *inFlight) start(k taskKey) (d *delivery, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d = f.handed[k]
	if d == nil || d.started {
		return nil, false
	}
	d.started = true
	if f.running[k.id] {
		return d, false
	}
	f.running[k.id] = true
	return d, true
}

// end is called when the handler has returned.
func (f *inFlight) end(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, id)
}

// takeBack removes what was handed to asynq longer ago than age and never started:
// asynq could not decode it, or its context was over. age 0 takes all.
func (f *inFlight) takeBack(age time.Duration) []*delivery {
	f.mu.Lock()
	var stale []*delivery
	for _, d := range f.handed {
		if !d.started && time.Since(d.fetched) >= age {
			d.started = true // never
			stale = append(stale, d)
		}
	}
	f.mu.Unlock()
	for _, d := range stale {
		f.left(d)
	}
	return stale
}

func (f *inFlight) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.running)
}
