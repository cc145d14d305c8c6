// Package verdict says whether a run kept the promise. It compares what producers
// were told, what recipients saw, and what Status says of each message. Judge is
// a pure function, so that tests can plant violations.
package verdict

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
)

// Message is one ID that was enqueued, with what is known of it afterwards.
type Message struct {
	ID string
	// Winners are the URLs of the bodies that got a ticket: at most one may. With none, every
	// Enqueue failed, and the caller does not know whether the message is enqueued.
	Winners []string
	// Durable is set when a replica, or the append-only file, is known to have it
	// and its cancellation.
	Durable bool
	// Cancelled is set when Cancel returned nil.
	Cancelled bool
	// Later is set when its not-before lies beyond the run.
	Later    bool
	NotAfter time.Time // zero: none

	Status *producer.Status // nil: Status knows no such message
}

// Ended reports an end. Accepted counts as one, since no receipts are pushed.
func (m *Message) Ended() bool {
	return m.Status != nil && (m.Status.Ended() || m.Status.State == producer.Accepted)
}

// Waits reports that the message is scheduled beyond the run.
func (m *Message) Waits() bool {
	return m.Later && m.Status != nil && m.Status.State == producer.Scheduled
}

// Seen is one message in a recipient's chat, as the simulator lists it.
type Seen struct {
	ClientMsgID string    `json:"client_msg_id"`
	URL         string    `json:"url"` // tells the bodies of one ID apart
	At          time.Time `json:"at"`
}

// Queues is what the queues hold after the run.
type Queues struct {
	Pending, Active, Scheduled, Retry, Archived int64
	Tasks                                       int64 // stored tasks, in a set or not
}

// Growth compares one worker that lived through the run with itself.
type Growth struct {
	Worker                   string
	GoroutinesAt, Goroutines int64
	MemoryAt, Memory         int64 // bytes resident
}

// Evidence is what a run left behind.
type Evidence struct {
	Messages []Message
	Seen     []Seen
	// Calls that reached the platform on the last day, and the day's cap. Cap 0: none.
	Calls, Cap int64
	// OverCap counts calls that the platform refused for the day's quota.
	OverCap int64
	// Refusals is set when the scenario makes the platform refuse calls for its quota.
	Refusals bool
	Queues   Queues
	Growth   []Growth
	Exits    []string        // workers that did not stop cleanly, and how
	Loses    bool            // Redis may lose what it acknowledged: see Message.Durable
	Deaths   bool            // messages may end as dead
	Told     map[string]Told // what each listener was told, by its name; nil: there was none
}

// Told is which states an event told, by the ID of the message.
type Told map[string][]producer.State

// Of reports whether the present state of a message was told.
func (t Told) Of(m Message) bool { return m.Status != nil && slices.Contains(t[m.ID], m.Status.State) }

// The invariants, by the names that a failure prints.
const (
	Lost         = "accepted by Enqueue, then lost"
	Twice        = "seen twice"
	FalseEnd     = "the state is not true"
	Going        = "did not end"
	EarlyUnknown = "unknown although the platform's window was open"
	OverCap      = "calls over the cap"
	TwoOwners    = "two bodies under one ID"
	LeftOver     = "left in a queue"
	Stranger     = "seen but never enqueued"
	Grew         = "grew"
	Unclean      = "did not stop cleanly"
	Untold       = "no event told its end"
)

// Violation is one broken invariant.
type Violation struct {
	Invariant string
	Detail    string   // of the first case
	IDs       []string // of all messages that broke it
}

// Tally counts what became of the messages.
type Tally struct {
	Messages  int
	SeenOnce  int
	Unknown   int
	Expired   int
	Cancelled int
	Dead      int
	Scheduled int
	Forgotten int // acknowledged by a Redis that died before a replica or its file had it
	NoTicket  int
}

const (
	// window is how long after its first attempt a message may be sent again: the
	// platform recognises it as a repetition.
	window = 8 * time.Minute
	// goroutineSlack is for connections that come and go: two goroutines for each
	// of the sends in flight, and those of the Redis pool.
	goroutineSlack = 250
	memorySlack    = 96 << 20 // of a heap that has not been given back yet
)

// Judge finds every broken invariant.
func Judge(e Evidence) (Tally, []Violation) {
	j := judge{Evidence: e, seen: map[string][]Seen{}}
	for _, s := range e.Seen {
		j.seen[s.ClientMsgID] = append(j.seen[s.ClientMsgID], s)
	}
	for _, m := range e.Messages {
		j.message(m)
		delete(j.seen, job.ClientMsgID(m.ID))
	}
	for id := range j.seen {
		j.fault(Stranger, id, "a recipient saw a message of this client_msg_id")
	}
	j.queues()
	j.processes()
	return j.tally, j.found
}

type judge struct {
	Evidence
	seen  map[string][]Seen
	tally Tally
	found []Violation
}

func (j *judge) fault(invariant, id, detail string, args ...any) {
	at := slices.IndexFunc(j.found, func(v Violation) bool { return v.Invariant == invariant })
	if at < 0 {
		at = len(j.found)
		j.found = append(j.found, Violation{Invariant: invariant, Detail: fmt.Sprintf(detail, args...)})
	}
	if id != "" {
		j.found[at].IDs = append(j.found[at].IDs, id)
	}
}

func (j *judge) message(m Message) {
	j.tally.Messages++
	seen := j.seen[job.ClientMsgID(m.ID)]
	if len(seen) > 1 {
		j.fault(Twice, m.ID, "%d times, from %s to %s", len(seen), clock(seen[0].At), clock(seen[len(seen)-1].At))
	}
	if len(m.Winners) > 1 {
		j.fault(TwoOwners, m.ID, "the bodies %v got a ticket", m.Winners)
	}
	for _, s := range seen {
		if len(m.Winners) == 1 && s.URL != m.Winners[0] {
			j.fault(TwoOwners, m.ID, "the ticket is for body %s, the recipient saw %s", m.Winners[0], s.URL)
		}
	}
	if len(seen) == 1 {
		j.tally.SeenOnce++
	}
	if len(m.Winners) == 0 {
		j.tally.NoTicket++
	}
	if m.Waits() {
		j.tally.Scheduled++
	}
	switch {
	case m.Status == nil && len(m.Winners) == 0:
		// The caller was told that it failed, and did not repeat.
	case m.Status == nil && j.Loses && !m.Durable:
		j.tally.Forgotten++
	case m.Status == nil:
		j.fault(Lost, m.ID, "Enqueue gave a ticket, Status knows no such message, and it was seen %d times", len(seen))
	case m.Ended():
		j.ended(m, len(seen))
	case m.Waits() && len(seen) == 0:
		// Nothing happened to it yet, as it should be.
	case j.Loses && !m.Durable:
		j.tally.Forgotten++
	default:
		j.fault(Going, m.ID, "it is still %s (%s), bodies with a ticket %v, and was seen %d times", m.Status.State, m.Status.Reason, m.Winners, len(seen))
	}
}

func (j *judge) ended(m Message, seen int) {
	s := m.Status
	for _, name := range slices.Sorted(maps.Keys(j.Told)) {
		if !j.Told[name].Of(m) {
			j.fault(Untold, m.ID, "%s, and %s told %v", s.State, name, j.Told[name][m.ID])
		}
	}
	if m.Cancelled && s.State != producer.Cancelled && (m.Durable || !j.Loses) {
		j.fault(FalseEnd, m.ID, "Cancel succeeded and the state is %s", s.State)
	}
	switch s.State {
	case producer.Accepted, producer.Delivered:
		if seen == 0 {
			j.fault(FalseEnd, m.ID, "%s, and no recipient saw it", s.State)
		}
		return
	case producer.Unknown:
		j.tally.Unknown++
		// Unknown is true only when the window since the first attempt has closed
		// (no attempt is older than the message), or its not-after has passed.
		if lived := s.EndedAt.Sub(s.QueuedAt); lived < window && (m.NotAfter.IsZero() || s.EndedAt.Before(m.NotAfter)) {
			j.fault(EarlyUnknown, m.ID, "unknown %s after it was enqueued (%s)", lived.Round(time.Second), s.Reason)
		}
		return
	case producer.Expired:
		j.tally.Expired++
		if m.NotAfter.IsZero() || s.EndedAt.Before(m.NotAfter) {
			j.fault(FalseEnd, m.ID, "expired at %s, its not-after is %s", clock(s.EndedAt), clock(m.NotAfter))
		}
	case producer.Cancelled:
		j.tally.Cancelled++
	case producer.Dead:
		j.tally.Dead++
		if !j.Deaths {
			j.fault(FalseEnd, m.ID, "dead after %d attempts (%s), and every fault passed", s.Attempts, s.Reason)
		}
	case producer.Rejected, producer.Queued, producer.Scheduled, producer.Sending, producer.Retrying:
		j.fault(FalseEnd, m.ID, "ended as %s (%s), and the platform rejected no message", s.State, s.Reason)
	}
	if seen > 0 {
		j.fault(FalseEnd, m.ID, "%s, and a recipient saw it", s.State)
	}
}

// queues checks that what has ended has left its queue, and that each stored task
// is in a set.
func (j *judge) queues() {
	q := j.Queues
	if q.Pending+q.Active+q.Retry+q.Archived > 0 {
		j.fault(LeftOver, "", "%d tasks are pending, %d active, %d to retry, %d archived", q.Pending, q.Active, q.Retry, q.Archived)
	}
	least := int64(j.tally.Scheduled - j.tally.Forgotten)
	most := int64(j.tally.Scheduled + j.tally.Forgotten)
	for _, m := range j.Messages {
		if m.Later && m.Status != nil && m.Status.State == producer.Cancelled {
			// Its record prevents the send. The task stays until its not-before when
			// Redis failed at the moment of the cancellation.
			most++
		}
	}
	if q.Scheduled < least || q.Scheduled > most {
		j.fault(LeftOver, "", "%d tasks are scheduled, %d messages are scheduled beyond the run", q.Scheduled, j.tally.Scheduled)
	}
	if sets := q.Pending + q.Active + q.Scheduled + q.Retry + q.Archived; q.Tasks != sets {
		j.fault(LeftOver, "", "%d tasks are stored and %d are in a set", q.Tasks, sets)
	}
}

// processes checks the calls that the workers made, what they needed, and how they
// ended.
func (j *judge) processes() {
	if !j.Refusals && j.OverCap > 0 {
		j.fault(OverCap, "", "the platform refused %d calls for its quota", j.OverCap)
	}
	if j.Cap > 0 && j.Calls > j.Cap {
		j.fault(OverCap, "", "%d calls of a day, the cap is %d", j.Calls, j.Cap)
	}
	for _, g := range j.Growth {
		if g.Goroutines > g.GoroutinesAt+goroutineSlack || g.Memory > g.MemoryAt+memorySlack {
			j.fault(Grew, "", "%s: from %d goroutines and %d MB to %d and %d", g.Worker, g.GoroutinesAt, g.MemoryAt>>20, g.Goroutines, g.Memory>>20)
		}
	}
	for _, how := range j.Exits {
		j.fault(Unclean, "", "%s", how)
	}
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }
