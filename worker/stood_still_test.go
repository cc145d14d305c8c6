package worker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/worker"
)

// slowLedger answers Begin, but the process sees the answer only later, as one
// does that was stopped meanwhile.
type slowLedger struct {
	*records
	stop time.Duration
}

func (l *slowLedger) Begin(ctx context.Context, e job.Envelope) (ledger.Start, error) {
	s, err := l.records.Begin(ctx, e)
	time.Sleep(l.stop) // virtual
	return s, err
}

// TestStoodStillWithPermit: a permit from before the process was stopped is no
// longer leased, and may be of the day before: it is not sent with.
func TestStoodStillWithPermit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answers(nil))
		old, err := worker.WatchedGate(b.w, 0).Take(t.Context(), ratelimit.General)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // virtual
		e := message(nil)
		payload, err := job.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		err = worker.Handle(t.Context(), b.w, 0, broker.Task{
			ID: e.ID, Queue: broker.Queue("wx1", e.Class), Payload: payload, Permit: &old,
		})
		if err != nil || len(b.send.bodies) != 1 {
			t.Fatalf("%d sends, %v", len(b.send.bodies), err)
		}
		if b.gate.taken != 2 || b.gate.returned != 1 {
			t.Errorf("%d permits taken and %d returned; want a second one, and the old one back", b.gate.taken, b.gate.returned)
		}
	})
}

// TestStoodStill: a process that was stopped between Begin and the send has lost
// its lease; it must not send what another one may have sent since.
func TestStoodStill(t *testing.T) {
	t.Parallel()
	for stop, sends := range map[time.Duration]int{10 * time.Second: 1, 30 * time.Minute: 0} {
		t.Run(stop.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				send := answers(nil)
				b := setupWith(t, send, func(a *worker.Account) { a.Ledger = &slowLedger{a.Ledger.(*records), stop} })
				err := b.deliver(t, nil)
				if got := len(send.bodies); got != sends {
					t.Errorf("%d sends after standing still for %s, want %d", got, stop, sends)
				}
				if sends == 0 && later(t, err) != 0 {
					t.Error("the task does not go back to the head of its queue")
				}
				if n := b.gate.outstanding(); n != sends {
					t.Errorf("%d permits are kept for %d sends", n, sends)
				}
			})
		})
	}
}
