package verdict_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
)

const (
	bodyA = "https://chaos.example/a"
	bodyB = "https://chaos.example/b"
)

// honest is a run that kept the promise: a message of each end.
func honest() verdict.Evidence {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	message := func(id string, state producer.State) verdict.Message {
		return verdict.Message{
			ID: id, Winners: []string{bodyA},
			Status: &producer.Status{ID: id, State: state, QueuedAt: at, EndedAt: at.Add(time.Second)},
		}
	}
	accepted, delivered := message("accepted", producer.Accepted), message("delivered", producer.Delivered)
	accepted.Status.EndedAt = time.Time{}
	cancelled, later := message("cancelled", producer.Cancelled), message("later", producer.Scheduled)
	later.Status.EndedAt = time.Time{}
	cancelled.Cancelled, later.Later = true, true
	expired, unknown := message("expired", producer.Expired), message("unknown", producer.Unknown)
	expired.NotAfter = at.Add(time.Second)
	unknown.Status.EndedAt = at.Add(9 * time.Minute)
	return verdict.Evidence{
		Messages: []verdict.Message{accepted, delivered, cancelled, later, expired, unknown},
		Seen:     []verdict.Seen{{ClientMsgID: "accepted", URL: bodyA, At: at}, {ClientMsgID: "delivered", URL: bodyA, At: at}},
		Queues:   verdict.Queues{Scheduled: 1, Tasks: 1},
		Growth:   []verdict.Growth{{Worker: "worker-0", GoroutinesAt: 100, Goroutines: 90, MemoryAt: 40 << 20, Memory: 50 << 20}},
		Calls:    3, Cap: 10,
	}
}

// the returns the message of an ID.
func the(e *verdict.Evidence, id string) *verdict.Message {
	return &e.Messages[slices.IndexFunc(e.Messages, func(m verdict.Message) bool { return m.ID == id })]
}

// tell lets a listener hear of every message, and returns what it heard.
func tell(e *verdict.Evidence, name string) verdict.Told {
	if e.Told == nil {
		e.Told = map[string]verdict.Told{}
	}
	e.Told[name] = verdict.Told{}
	for _, m := range e.Messages {
		e.Told[name][m.ID] = []producer.State{producer.Accepted, m.Status.State}
	}
	return e.Told[name]
}

func see(e *verdict.Evidence, id, url string) {
	e.Seen = append(e.Seen, verdict.Seen{ClientMsgID: id, URL: url})
}

func unsee(e *verdict.Evidence, id string) {
	e.Seen = slices.DeleteFunc(e.Seen, func(s verdict.Seen) bool { return s.ClientMsgID == id })
}

// end gives the accepted message, which no recipient saw, another end.
func end(e *verdict.Evidence, state producer.State) *verdict.Message {
	m := the(e, "accepted")
	m.Status.State, m.Status.EndedAt = state, m.Status.QueuedAt.Add(time.Second)
	unsee(e, "accepted")
	return m
}

// open makes the accepted message, which no recipient saw, one that goes on.
func open(e *verdict.Evidence, state producer.State) *verdict.Message {
	m := end(e, state)
	m.Status.EndedAt = time.Time{}
	return m
}

func TestAnHonestRunHolds(t *testing.T) {
	t.Parallel()
	tally, found := verdict.Judge(honest())
	if len(found) != 0 {
		t.Fatalf("found %+v in an honest run", found)
	}
	want := verdict.Tally{Messages: 6, SeenOnce: 2, Unknown: 1, Expired: 1, Cancelled: 1, Scheduled: 1}
	if tally != want {
		t.Errorf("tally = %+v, want %+v", tally, want)
	}
}

// Each violation is planted into the honest run and must be found, by its name,
// and nothing else with it.
func TestPlantedViolationsAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		plant func(e *verdict.Evidence)
		want  string
		id    string
	}{
		{"no record of a ticket", func(e *verdict.Evidence) { end(e, producer.Accepted).Status = nil }, verdict.Lost, "accepted"},
		{"seen, and no record", func(e *verdict.Evidence) { the(e, "accepted").Status = nil }, verdict.Lost, "accepted"},
		{"a replica had it, and it is gone", func(e *verdict.Evidence) {
			e.Loses = true
			the(e, "accepted").Status, the(e, "accepted").Durable = nil, true
		}, verdict.Lost, "accepted"},
		{"seen twice", func(e *verdict.Evidence) { see(e, "accepted", bodyA) }, verdict.Twice, "accepted"},
		{"seen twice, although Redis may lose", func(e *verdict.Evidence) { e.Loses = true; see(e, "accepted", bodyA) }, verdict.Twice, "accepted"},
		{"accepted, never seen", func(e *verdict.Evidence) { unsee(e, "accepted") }, verdict.FalseEnd, "accepted"},
		{"delivered, never seen", func(e *verdict.Evidence) { unsee(e, "delivered") }, verdict.FalseEnd, "delivered"},
		{"cancelled, and seen", func(e *verdict.Evidence) { see(e, "cancelled", bodyA) }, verdict.FalseEnd, "cancelled"},
		{"cancelled, the state is another", func(e *verdict.Evidence) {
			the(e, "cancelled").Status.State = producer.Accepted
			see(e, "cancelled", bodyA)
		}, verdict.FalseEnd, "cancelled"},
		{"cancelled durably, the state is another", func(e *verdict.Evidence) {
			e.Loses = true
			the(e, "cancelled").Durable = true
			the(e, "cancelled").Status.State = producer.Accepted
			see(e, "cancelled", bodyA)
		}, verdict.FalseEnd, "cancelled"},
		{"expired, and seen", func(e *verdict.Evidence) { see(e, "expired", bodyA) }, verdict.FalseEnd, "expired"},
		{"expired before its not-after", func(e *verdict.Evidence) { the(e, "expired").NotAfter = the(e, "expired").Status.EndedAt.Add(1) }, verdict.FalseEnd, "expired"},
		{"expired without a not-after", func(e *verdict.Evidence) { the(e, "expired").NotAfter = time.Time{} }, verdict.FalseEnd, "expired"},
		{"rejected without a rejection", func(e *verdict.Evidence) { end(e, producer.Rejected) }, verdict.FalseEnd, "accepted"},
		{"ended as queued", func(e *verdict.Evidence) { end(e, producer.Queued) }, verdict.FalseEnd, "accepted"},
		{"dead without need", func(e *verdict.Evidence) { end(e, producer.Dead) }, verdict.FalseEnd, "accepted"},
		{"dead, and seen", func(e *verdict.Evidence) {
			e.Deaths = true
			end(e, producer.Dead)
			see(e, "accepted", bodyA)
		}, verdict.FalseEnd, "accepted"},
		{"unknown inside the window", func(e *verdict.Evidence) {
			the(e, "unknown").Status.EndedAt = the(e, "unknown").Status.QueuedAt.Add(7 * time.Minute)
		}, verdict.EarlyUnknown, "unknown"},
		{"unknown inside the window, before its not-after", func(e *verdict.Evidence) {
			m := the(e, "unknown")
			m.Status.EndedAt = m.Status.QueuedAt.Add(time.Minute)
			m.NotAfter = m.Status.EndedAt.Add(time.Millisecond)
		}, verdict.EarlyUnknown, "unknown"},
		{"never ends", func(e *verdict.Evidence) { open(e, producer.Retrying) }, verdict.Going, "accepted"},
		{"never ends, although a replica had it", func(e *verdict.Evidence) {
			e.Loses = true
			open(e, producer.Queued).Durable = true
		}, verdict.Going, "accepted"},
		{"without a ticket, queued for ever", func(e *verdict.Evidence) { open(e, producer.Queued).Winners = nil }, verdict.Going, "accepted"},
		{"scheduled, and seen", func(e *verdict.Evidence) { see(e, "later", bodyA) }, verdict.Going, "later"},
		{"scheduled without a not-before", func(e *verdict.Evidence) { open(e, producer.Scheduled) }, verdict.Going, "accepted"},
		{"two bodies got a ticket", func(e *verdict.Evidence) { the(e, "accepted").Winners = []string{bodyA, bodyB} }, verdict.TwoOwners, "accepted"},
		{"another body was seen", func(e *verdict.Evidence) { unsee(e, "accepted"); see(e, "accepted", bodyB) }, verdict.TwoOwners, "accepted"},
		{"seen, never enqueued", func(e *verdict.Evidence) { see(e, "stranger", bodyA) }, verdict.Stranger, "stranger"},
		{"a call too many", func(e *verdict.Evidence) { e.Calls = 11 }, verdict.OverCap, ""},
		{"refused for the quota", func(e *verdict.Evidence) { e.OverCap = 1 }, verdict.OverCap, ""},
		{"active without a worker", func(e *verdict.Evidence) { e.Queues.Active, e.Queues.Tasks = 1, 2 }, verdict.LeftOver, ""},
		{"pending for ever", func(e *verdict.Evidence) { e.Queues.Pending, e.Queues.Tasks = 1, 2 }, verdict.LeftOver, ""},
		{"in the retry set for ever", func(e *verdict.Evidence) { e.Queues.Retry, e.Queues.Tasks = 1, 2 }, verdict.LeftOver, ""},
		{"archived", func(e *verdict.Evidence) { e.Queues.Archived, e.Queues.Tasks = 1, 2 }, verdict.LeftOver, ""},
		{"scheduled without a message", func(e *verdict.Evidence) { e.Queues.Scheduled, e.Queues.Tasks = 2, 2 }, verdict.LeftOver, ""},
		{"a scheduled task is missing", func(e *verdict.Evidence) { e.Queues = verdict.Queues{} }, verdict.LeftOver, ""},
		{"a task in no set", func(e *verdict.Evidence) { e.Queues.Tasks = 2 }, verdict.LeftOver, ""},
		{"goroutines leak", func(e *verdict.Evidence) { e.Growth[0].Goroutines = 1000 }, verdict.Grew, ""},
		{"memory leaks", func(e *verdict.Evidence) { e.Growth[0].Memory = 1 << 30 }, verdict.Grew, ""},
		{"an end was not told", func(e *verdict.Evidence) { delete(tell(e, "stream"), "accepted") }, verdict.Untold, "accepted"},
		{"another end was told", func(e *verdict.Evidence) { tell(e, "stream")["expired"] = []producer.State{producer.Dead} }, verdict.Untold, "expired"},
		{"one of two was not told", func(e *verdict.Evidence) {
			tell(e, "stream")
			delete(tell(e, "webhook"), "cancelled")
		}, verdict.Untold, "cancelled"},
		{"a worker crashed", func(e *verdict.Evidence) { e.Exits = []string{"worker-0: exit 1"} }, verdict.Unclean, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := honest()
			tt.plant(&e)
			_, found := verdict.Judge(e)
			if len(found) != 1 || found[0].Invariant != tt.want {
				t.Fatalf("found %+v, want %q alone", found, tt.want)
			}
			if ids := strings.Join(found[0].IDs, " "); ids != tt.id {
				t.Errorf("of %q, want %q", ids, tt.id)
			}
			if found[0].Detail == "" {
				t.Error("no detail")
			}
		})
	}
}

// What is not our fault is told apart, and counted.
func TestWhatRedisOrTheCallerDidIsNoViolation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		plant func(e *verdict.Evidence)
		want  func(t *verdict.Tally) // changes the honest tally
	}{
		{"a primary lost it", func(e *verdict.Evidence) { e.Loses = true; end(e, producer.Accepted).Status = nil }, func(t *verdict.Tally) { t.SeenOnce--; t.Forgotten++ }},
		{"a primary lost its task", func(e *verdict.Evidence) { e.Loses = true; open(e, producer.Queued) }, func(t *verdict.Tally) { t.SeenOnce--; t.Forgotten++ }},
		{"a primary lost the cancellation", func(e *verdict.Evidence) {
			e.Loses = true
			the(e, "cancelled").Status.State = producer.Accepted
			see(e, "cancelled", bodyA)
		}, func(t *verdict.Tally) { t.SeenOnce++; t.Cancelled-- }},
		{"its caller gave up", func(e *verdict.Evidence) { m := end(e, producer.Accepted); m.Winners, m.Status = nil, nil }, func(t *verdict.Tally) { t.SeenOnce--; t.NoTicket++ }},
		{"its caller gave up, and it was sent", func(e *verdict.Evidence) { the(e, "accepted").Winners = nil }, func(t *verdict.Tally) { t.NoTicket++ }},
		{"it died, as it may", func(e *verdict.Evidence) { e.Deaths = true; end(e, producer.Dead) }, func(t *verdict.Tally) { t.SeenOnce--; t.Dead++ }},
		{"unknown at its not-after", func(e *verdict.Evidence) {
			m := the(e, "unknown")
			m.Status.EndedAt = m.Status.QueuedAt.Add(time.Minute)
			m.NotAfter = m.Status.EndedAt
		}, func(*verdict.Tally) {}},
		{"the task of a cancelled message stays until its not-before", func(e *verdict.Evidence) {
			the(e, "cancelled").Later = true
			e.Queues = verdict.Queues{Scheduled: 2, Tasks: 2}
		}, func(*verdict.Tally) {}},
		{"the scenario makes WeChat refuse for the quota", func(e *verdict.Evidence) { e.Refusals, e.OverCap = true, 5 }, func(*verdict.Tally) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := honest()
			want, _ := verdict.Judge(e)
			tt.plant(&e)
			tt.want(&want)
			tally, found := verdict.Judge(e)
			if len(found) != 0 {
				t.Errorf("found %+v", found)
			}
			if tally != want {
				t.Errorf("tally = %+v, want %+v", tally, want)
			}
		})
	}
}

// One violation names all its messages, with the detail of the first.
func TestMessagesThatBreakTheSameInvariantAreOneViolation(t *testing.T) {
	t.Parallel()
	e := honest()
	e.Seen = nil
	_, found := verdict.Judge(e)
	if len(found) != 1 || found[0].Invariant != verdict.FalseEnd || strings.Join(found[0].IDs, " ") != "accepted delivered" {
		t.Fatalf("found %+v", found)
	}
	if !strings.HasPrefix(found[0].Detail, "accepted, ") {
		t.Errorf("detail = %q", found[0].Detail)
	}
}

// A long ID reaches WeChat as a hash: the verdict finds what was seen under that.
func TestAMessageIsFoundByItsClientMsgID(t *testing.T) {
	t.Parallel()
	const id = "order/1001/with-a-long-name/that-is-hashed"
	e := honest()
	the(&e, "accepted").ID = id
	e.Seen[0].ClientMsgID = job.ClientMsgID(id)
	if _, found := verdict.Judge(e); len(found) != 0 {
		t.Errorf("seen under its client_msg_id: found %+v", found)
	}
	e.Seen[0].ClientMsgID = id
	if _, found := verdict.Judge(e); len(found) != 2 || found[0].IDs[0] != id || found[1].Invariant != verdict.Stranger {
		t.Errorf("seen under its ID: found %+v", found)
	}
}
