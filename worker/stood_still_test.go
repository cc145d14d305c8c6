package worker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/worker"
)

// slowLedger answers Begin, but the process sees the answer only later, as after
// SIGSTOP.
type slowLedger struct {
	*records
	stop time.Duration
}

func (l *slowLedger) Begin(ctx context.Context, e job.Envelope, d ledger.Delivery) (ledger.Start, error) {
	s, err := l.records.Begin(ctx, e, d)
	time.Sleep(l.stop) // virtual
	return s, err
}

// A permit from before the process was stopped may be of the day before: nothing is
// sent with it.
func TestStalledPermitIsNotUsed(t *testing.T) {
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
		err = worker.Handle(t.Context(), b.w, 0, queue.Task{
			ID: e.ID, Queue: queue.Name("wx1", e.Class), Payload: payload, Permit: old, Delivery: 1,
		})
		if later(t, err) != 0 || len(b.send.bodies) != 0 || b.ledger.began != 0 {
			t.Errorf("%d sends, began %d, %v; want the task back at once", len(b.send.bodies), b.ledger.began, err)
		}
		if b.gate.outstanding() != 0 {
			t.Error("the permit was not returned")
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
				send, slow := answers(nil), &slowLedger{stop: stop}
				b := setupWith(t, send, func(a *worker.Account) {
					slow.records = &records{start: ledger.Start{Decision: ledger.Send}}
					*a = worker.With(*a, slow)
				})
				err := b.deliver(t, nil)
				if got := len(send.bodies); got != sends {
					t.Errorf("%d sends after standing still for %s, want %d", got, stop, sends)
				}
				if sends == 0 && later(t, err) != 0 {
					t.Error("the task does not go back to the head of its queue")
				}
				if undone := len(slow.undone) == 1; undone != (sends == 0) {
					t.Errorf("undone: %v after %d sends", undone, sends)
				}
				if n := b.gate.outstanding(); n != sends {
					t.Errorf("%d permits are kept for %d sends", n, sends)
				}
			})
		})
	}
}
