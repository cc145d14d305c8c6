// Package verdict says whether a run kept the promise. It compares three
// ledgers: what was enqueued, what recipients saw, and what Status says of each
// message. It is a pure function, so that planted lies can test it.
package verdict

import (
	"fmt"
	"time"
)

// State is a message's state as Status tells it.
type State string

// The states that the verdict tells apart.
const (
	Scheduled State = "scheduled"
	Accepted  State = "accepted"
	Delivered State = "delivered"
	Rejected  State = "rejected"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Unknown   State = "unknown"
	Dead      State = "dead"
)

// Ended reports an end; accepted counts as one, since no receipts are pushed.
func (s State) Ended() bool {
	switch s {
	case Accepted, Delivered, Rejected, Expired, Cancelled, Unknown, Dead:
		return true
	case Scheduled:
		return false
	}
	return false
}

// Message is one ID that was enqueued, with what is known of it afterwards.
type Message struct {
	ID          string
	ClientMsgID string
	// Ticket: an Enqueue returned one. Without it every Enqueue failed, and it is
	// not known whether the message is on its way.
	Ticket bool
	// Winner is the body that got the ticket; others of the same ID were refused.
	Winner string
	// Tickets counts the bodies that got a ticket: more than one is a lie.
	Tickets int
	// Durable: a replica, or the append-only file, is known to have it.
	Durable bool
	// Cancelled: Cancel returned nil.
	Cancelled bool
	// Later: its not-before lies beyond the run.
	Later    bool
	NotAfter time.Time

	State    State // of Status; empty: Status knows no such message
	Reason   string
	Attempts int
	QueuedAt time.Time
	EndedAt  time.Time
}

// Seen is one message in a recipient's chat.
type Seen struct {
	ClientMsgID string
	Body        string // which body, as Message.Winner names it
	At          time.Time
}

// Queues is what the queues hold after the run.
type Queues struct {
	Pending, Active, Scheduled, Retry, Archived int64
	Tasks                                       int64 // stored tasks, in a set or not
}

// Growth of one worker that lived through the run.
type Growth struct {
	Worker                   string
	GoroutinesAt, Goroutines int
	MemoryAt, Memory         int64 // bytes resident
}

// Evidence is all that a run left behind.
type Evidence struct {
	Messages []Message
	Seen     []Seen
	// Calls that reached the platform on the day, and its cap. Cap 0: none.
	Calls, Cap int64
	// OverCap counts calls that the platform refused for the day's quota.
	OverCap int64
	// Others: somebody else uses the same quota, so that refusals are no fault.
	Others  bool
	Queues  Queues
	Growth  []Growth
	Exits   []string // workers that did not stop cleanly, and how
	Forgets bool     // Redis may lose what it acknowledged: see Message.Durable
	Refuses bool     // the platform refused some messages for good
	Waiting bool     // the run ends with messages that may not be sent yet
	Window  time.Duration
	Archive bool // dead letters may be in asynq's archive
}

// The invariants, by the names that a failure prints.
const (
	Lost      = "accepted by Enqueue, then lost"
	Twice     = "seen twice"
	FalseEnd  = "the state is not true"
	Going     = "did not end"
	EarlyDoom = "unknown although the platform's window was open"
	OverCap   = "calls over the cap"
	TwoOwners = "two bodies under one ID"
	LeftOver  = "left in a queue"
	Stranger  = "seen but never enqueued"
	Grew      = "grew"
	Unclean   = "did not stop cleanly"
)

// Violation is one broken invariant.
type Violation struct {
	Invariant string
	Detail    string
	IDs       []string
}

// Tally counts what became of the messages.
type Tally struct {
	Messages  int
	SeenOnce  int
	Unknown   int
	Rejected  int
	Expired   int
	Cancelled int
	Dead      int
	Going     int
	Forgotten int // acknowledged by a Redis that died before a replica or its file had it
	NoTicket  int
}

// Judge finds every broken invariant.
func Judge(e Evidence) (Tally, []Violation) {
	j := judgement{evidence: e, seen: map[string][]Seen{}, found: map[string]*Violation{}}
	for _, s := range e.Seen {
		j.seen[s.ClientMsgID] = append(j.seen[s.ClientMsgID], s)
	}
	for _, m := range e.Messages {
		j.message(m)
		delete(j.seen, m.ClientMsgID)
	}
	for id := range j.seen {
		j.fault(Stranger, id, "a recipient saw a message of this client_msg_id")
	}
	j.whole()
	return j.tally, j.violations()
}

type judgement struct {
	evidence Evidence
	seen     map[string][]Seen
	tally    Tally
	found    map[string]*Violation
	order    []string
}

func (j *judgement) fault(invariant, id, detail string, args ...any) {
	v := j.found[invariant]
	if v == nil {
		v = &Violation{Invariant: invariant, Detail: fmt.Sprintf(detail, args...)}
		j.found[invariant] = v
		j.order = append(j.order, invariant)
	}
	if id != "" {
		v.IDs = append(v.IDs, id)
	}
}

func (j *judgement) violations() []Violation {
	var out []Violation
	for _, name := range j.order {
		out = append(out, *j.found[name])
	}
	return out
}

func (j *judgement) message(m Message) {
	j.tally.Messages++
	seen := j.seen[m.ClientMsgID]
	if len(seen) > 1 {
		j.fault(Twice, m.ID, "%d times, from %s to %s", len(seen), clock(seen[0].At), clock(seen[len(seen)-1].At))
	}
	if m.Tickets > 1 {
		j.fault(TwoOwners, m.ID, "%d bodies got a ticket", m.Tickets)
	}
	for _, s := range seen {
		if m.Winner != "" && s.Body != "" && s.Body != m.Winner {
			j.fault(TwoOwners, m.ID, "the ticket is for body %s, the recipient saw %s", m.Winner, s.Body)
		}
	}
	if len(seen) == 1 {
		j.tally.SeenOnce++
	}
	if !m.Ticket {
		j.tally.NoTicket++
	}
	switch {
	case m.State == "" && !m.Ticket:
		// Its caller was told that it failed; the caller decided not to repeat.
	case m.State == "":
		j.missing(m, len(seen))
	case !m.State.Ended():
		j.going(m, len(seen))
	default:
		j.ended(m, len(seen))
	}
}

// missing: Status does not know a message that Enqueue accepted.
func (j *judgement) missing(m Message, seen int) {
	if j.evidence.Forgets && !m.Durable {
		j.tally.Forgotten++
		return
	}
	j.fault(Lost, m.ID, "Enqueue gave a ticket, Status knows no such message, and it was seen %d times", seen)
}

func (j *judgement) going(m Message, seen int) {
	switch {
	case m.Later && m.State == Scheduled && seen == 0, j.evidence.Waiting && seen == 0:
		j.tally.Going++
	case j.evidence.Forgets && !m.Durable:
		j.tally.Forgotten++
	case !m.Ticket && seen == 0:
		// Half-enqueued: its caller was told so and did not repeat.
		j.tally.Going++
	default:
		j.fault(Going, m.ID, "it is still %s (%s) and was seen %d times", m.State, m.Reason, seen)
	}
}

func (j *judgement) ended(m Message, seen int) {
	if m.Cancelled && m.State != Cancelled {
		j.fault(FalseEnd, m.ID, "Cancel succeeded and the state is %s", m.State)
	}
	switch m.State {
	case Accepted, Delivered:
		if seen == 0 {
			j.fault(FalseEnd, m.ID, "%s, and nobody saw it", m.State)
		}
		return
	case Unknown:
		j.tally.Unknown++
		j.unknown(m)
		return
	case Rejected:
		j.tally.Rejected++
		if !j.evidence.Refuses {
			j.fault(FalseEnd, m.ID, "rejected (%s), and the platform refused nothing for good", m.Reason)
		}
	case Expired:
		j.tally.Expired++
		if m.NotAfter.IsZero() || m.EndedAt.Before(m.NotAfter) {
			j.fault(FalseEnd, m.ID, "expired at %s, its not-after is %s", clock(m.EndedAt), clock(m.NotAfter))
		}
	case Cancelled:
		j.tally.Cancelled++
	case Dead:
		j.tally.Dead++
		if !j.evidence.Archive {
			j.fault(FalseEnd, m.ID, "dead after %d attempts (%s), and every fault passed", m.Attempts, m.Reason)
		}
	case Scheduled:
	}
	if seen > 0 {
		j.fault(FalseEnd, m.ID, "%s, and a recipient saw it", m.State)
	}
}

// unknown is honest only when nothing could be asked any more: the window since
// the first attempt has closed (no attempt is older than the message), or the
// message's own last moment has come.
func (j *judgement) unknown(m Message) {
	if m.EndedAt.Sub(m.QueuedAt) >= j.evidence.Window || !m.NotAfter.IsZero() && !m.EndedAt.Before(m.NotAfter) {
		return
	}
	j.fault(EarlyDoom, m.ID, "unknown %s after it was enqueued (%s)", m.EndedAt.Sub(m.QueuedAt).Round(time.Second), m.Reason)
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }
