package verdict_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
)

// honest is a run that kept the promise: a message of each end.
func honest() verdict.Evidence {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	message := func(id string, state verdict.State) verdict.Message {
		return verdict.Message{
			ID: id, ClientMsgID: id, Ticket: true, Tickets: 1, Winner: "a", State: state,
			QueuedAt: at, EndedAt: at.Add(time.Second),
		}
	}
	accepted, delivered := message("accepted", verdict.Accepted), message("delivered", verdict.Delivered)
	cancelled, later := message("cancelled", verdict.Cancelled), message("later", verdict.Scheduled)
	cancelled.Cancelled, later.Later = true, true
	expired, unknown := message("expired", verdict.Expired), message("unknown", verdict.Unknown)
	expired.NotAfter = at.Add(time.Second)
	unknown.EndedAt = at.Add(9 * time.Minute)
	return verdict.Evidence{
		Messages: []verdict.Message{accepted, delivered, cancelled, later, expired, unknown},
		Seen:     []verdict.Seen{{ClientMsgID: "accepted", Body: "a", At: at}, {ClientMsgID: "delivered", Body: "a", At: at}},
		Queues:   verdict.Queues{Scheduled: 1, Tasks: 1},
		Growth:   []verdict.Growth{{Worker: "worker-0", GoroutinesAt: 100, Goroutines: 90, MemoryAt: 40 << 20, Memory: 50 << 20}},
		Window:   8 * time.Minute, Calls: 3, Cap: 10,
	}
}

func TestAnHonestRunHolds(t *testing.T) {
	t.Parallel()
	tally, found := verdict.Judge(honest())
	if len(found) != 0 {
		t.Fatalf("found %+v in an honest run", found)
	}
	want := verdict.Tally{Messages: 6, SeenOnce: 2, Unknown: 1, Expired: 1, Cancelled: 1, Going: 1}
	if tally != want {
		t.Errorf("tally = %+v, want %+v", tally, want)
	}
}

// A verdict that cannot fail is worth nothing: each lie is planted into the
// honest run and must be found, by its name, and nothing else with it.
func TestPlantedLiesAreFound(t *testing.T) {
	t.Parallel()
	the := func(e *verdict.Evidence, id string) *verdict.Message {
		i := slices.IndexFunc(e.Messages, func(m verdict.Message) bool { return m.ID == id })
		return &e.Messages[i]
	}
	see := func(e *verdict.Evidence, id, body string) {
		e.Seen = append(e.Seen, verdict.Seen{ClientMsgID: id, Body: body})
	}
	unsee := func(e *verdict.Evidence, id string) {
		e.Seen = slices.DeleteFunc(e.Seen, func(s verdict.Seen) bool { return s.ClientMsgID == id })
	}
	tests := []struct {
		lie   string
		plant func(e *verdict.Evidence)
		want  string
		id    string
	}{
		{"no trace of a ticket", func(e *verdict.Evidence) { the(e, "accepted").State = ""; unsee(e, "accepted") }, verdict.Lost, "accepted"},
		{"seen, and no record", func(e *verdict.Evidence) { the(e, "accepted").State = "" }, verdict.Lost, "accepted"},
		{"a replica had it, and it is gone", func(e *verdict.Evidence) {
			e.Forgets = true
			the(e, "accepted").State, the(e, "accepted").Durable = "", true
		}, verdict.Lost, "accepted"},
		{"seen twice", func(e *verdict.Evidence) { see(e, "accepted", "a") }, verdict.Twice, "accepted"},
		{"accepted, never seen", func(e *verdict.Evidence) { unsee(e, "accepted") }, verdict.FalseEnd, "accepted"},
		{"delivered, never seen", func(e *verdict.Evidence) { unsee(e, "delivered") }, verdict.FalseEnd, "delivered"},
		{"cancelled, and seen", func(e *verdict.Evidence) { see(e, "cancelled", "a") }, verdict.FalseEnd, "cancelled"},
		{"cancelled, the state says otherwise", func(e *verdict.Evidence) {
			the(e, "cancelled").State = verdict.Accepted
			see(e, "cancelled", "a")
		}, verdict.FalseEnd, "cancelled"},
		{"expired, and seen", func(e *verdict.Evidence) { see(e, "expired", "a") }, verdict.FalseEnd, "expired"},
		{"expired before its time", func(e *verdict.Evidence) { the(e, "expired").NotAfter = the(e, "expired").EndedAt.Add(1) }, verdict.FalseEnd, "expired"},
		{"expired without a time", func(e *verdict.Evidence) { the(e, "expired").NotAfter = time.Time{} }, verdict.FalseEnd, "expired"},
		{"rejected by nobody", func(e *verdict.Evidence) { the(e, "accepted").State = verdict.Rejected; unsee(e, "accepted") }, verdict.FalseEnd, "accepted"},
		{"dead without need", func(e *verdict.Evidence) { the(e, "accepted").State = verdict.Dead; unsee(e, "accepted") }, verdict.FalseEnd, "accepted"},
		{"dead, and seen", func(e *verdict.Evidence) { e.Archive = true; the(e, "accepted").State = verdict.Dead }, verdict.FalseEnd, "accepted"},
		{"unknown too soon", func(e *verdict.Evidence) { the(e, "unknown").EndedAt = the(e, "unknown").QueuedAt.Add(7 * time.Minute) }, verdict.EarlyDoom, "unknown"},
		{"never ends", func(e *verdict.Evidence) { the(e, "accepted").State = "retrying"; unsee(e, "accepted") }, verdict.Going, "accepted"},
		{"scheduled, and seen", func(e *verdict.Evidence) { see(e, "later", "a") }, verdict.Going, "later"},
		{"two bodies got a ticket", func(e *verdict.Evidence) { the(e, "accepted").Tickets = 2 }, verdict.TwoOwners, "accepted"},
		{"another body was seen", func(e *verdict.Evidence) { unsee(e, "accepted"); see(e, "accepted", "b") }, verdict.TwoOwners, "accepted"},
		{"seen, never enqueued", func(e *verdict.Evidence) { see(e, "stranger", "a") }, verdict.Stranger, "stranger"},
		{"a call too many", func(e *verdict.Evidence) { e.Calls = 11 }, verdict.OverCap, ""},
		{"refused for the quota", func(e *verdict.Evidence) { e.OverCap = 1 }, verdict.OverCap, ""},
		{"active without a worker", func(e *verdict.Evidence) { e.Queues.Active, e.Queues.Tasks = 1, 2 }, verdict.LeftOver, ""},
		{"in a queue for ever", func(e *verdict.Evidence) { e.Queues.Pending, e.Queues.Tasks = 1, 2 }, verdict.LeftOver, ""},
		{"in the retry set for ever", func(e *verdict.Evidence) { e.Queues.Retry, e.Queues.Tasks = 1, 2 }, verdict.LeftOver, ""},
		{"scheduled for nobody", func(e *verdict.Evidence) { e.Queues.Scheduled, e.Queues.Tasks = 2, 2 }, verdict.LeftOver, ""},
		{"an orphaned task", func(e *verdict.Evidence) { e.Queues.Tasks = 2 }, verdict.LeftOver, ""},
		{"goroutines leak", func(e *verdict.Evidence) { e.Growth[0].Goroutines = 1000 }, verdict.Grew, ""},
		{"memory leaks", func(e *verdict.Evidence) { e.Growth[0].Memory = 1 << 30 }, verdict.Grew, ""},
		{"a worker crashed", func(e *verdict.Evidence) { e.Exits = []string{"worker-0: exit 1"} }, verdict.Unclean, ""},
	}
	for _, tt := range tests {
		t.Run(tt.lie, func(t *testing.T) {
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

// What is not our doing is told apart, and counted.
func TestWhatIsNotALie(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		plant func(e *verdict.Evidence, m *verdict.Message)
		count func(t verdict.Tally) int
	}{
		{"a primary took it along", func(e *verdict.Evidence, m *verdict.Message) { e.Forgets, m.State = true, "" }, func(t verdict.Tally) int { return t.Forgotten }},
		{"a primary took its task along", func(e *verdict.Evidence, m *verdict.Message) { e.Forgets, m.State = true, "queued" }, func(t verdict.Tally) int { return t.Forgotten }},
		{"its caller gave up", func(_ *verdict.Evidence, m *verdict.Message) { m.Ticket, m.State = false, "" }, func(t verdict.Tally) int { return t.NoTicket }},
		{"its caller gave up, the record stands", func(_ *verdict.Evidence, m *verdict.Message) { m.Ticket, m.State = false, "queued" }, func(t verdict.Tally) int { return t.Going }},
		{"the quota is used up", func(e *verdict.Evidence, m *verdict.Message) { e.Waiting, m.State = true, "queued" }, func(t verdict.Tally) int { return t.Going - 1 }},
		{"WeChat refused it", func(e *verdict.Evidence, m *verdict.Message) { e.Refuses, m.State = true, verdict.Rejected }, func(t verdict.Tally) int { return t.Rejected }},
		{"it died, as it may", func(e *verdict.Evidence, m *verdict.Message) { e.Archive, m.State = true, verdict.Dead }, func(t verdict.Tally) int { return t.Dead }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := honest()
			e.Seen = e.Seen[1:] // nobody saw the first
			tt.plant(&e, &e.Messages[0])
			tally, found := verdict.Judge(e)
			if len(found) != 0 {
				t.Errorf("found %+v", found)
			}
			if tt.count(tally) < 1 {
				t.Errorf("not counted: %+v", tally)
			}
		})
	}
}
