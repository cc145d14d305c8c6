package ledger_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
)

// TestCancelOutlivesItsTask: the record alone keeps a cancelled message from
// being sent, should its task still wait: for months, when it is scheduled.
func TestCancelOutlivesItsTask(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("appointment")
		e.NotBefore = time.Now().Add(100 * 24 * time.Hour)
		r := record(e)
		r.State = ledger.Scheduled
		born(t, rdb, l, r)
		if done, _, err := l.Cancel(t.Context(), e.ID); err != nil || !done {
			t.Fatal(done, err)
		}
		life := func() time.Duration {
			t.Helper()
			left, err := rdb.PTTL(t.Context(), "wxn:{"+account+"}:m:"+e.ID).Result()
			must(t, err)
			return left
		}
		if left := life(); left < 100*24*time.Hour {
			t.Errorf("forgotten after %s, before the task is due: it would be sent", left)
		}

		// Enqueued again: the new task waits as long as the first.
		if b := born(t, rdb, l, r); b.New || b.Existing.State != ledger.Cancelled {
			t.Errorf("%+v", b)
		}
		must(t, l.Release(t.Context(), e.ID))
		if left := life(); left < 100*24*time.Hour {
			t.Errorf("forgotten after %s although a task was put again", left)
		}

		// Cancelled again, and its task taken off.
		if done, _, err := l.Cancel(t.Context(), e.ID); err != nil || !done {
			t.Fatal(done, err)
		}
		must(t, l.Release(t.Context(), e.ID))
		if left := life(); left > 72*time.Hour || left < 71*time.Hour {
			t.Errorf("kept for %s after its task is gone, want 72h", left)
		}
		must(t, l.Release(t.Context(), "nobody"))
	})
}

// TestDueIsQueued: from its not-before on a message waits for its turn, the quota
// or an admin, and not for its hour any more.
func TestDueIsQueued(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for id, at := range map[string]time.Duration{"due": -time.Second, "tomorrow": 24 * time.Hour} {
			e := envelope(id)
			e.NotBefore = time.Now().Add(at)
			r := record(e)
			r.State = ledger.Scheduled
			born(t, rdb, l, r)
		}
		state(t, l, "due", ledger.Queued)
		state(t, l, "tomorrow", ledger.Scheduled)
	})
}

// TestDeadIsNotRevivedByItsCaller: only the dead letter itself, which an admin
// puts on its queue again, starts afresh. Asynq's archive may have let go of it,
// so that a repeated Enqueue puts a task of its own.
func TestDeadIsNotRevivedByItsCaller(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("order-1001-paid")
		e.QueuedAt = e.QueuedAt.Add(-time.Minute)
		born(t, rdb, l, record(e))
		begin(t, l, e)
		must(t, l.Failed(t.Context(), e.ID, ledger.Outcome{State: ledger.Dead, Attempt: true, Payload: []byte("p")}))

		again := e
		again.QueuedAt = time.Now().Add(time.Second)
		born(t, rdb, l, record(again))
		if s := begin(t, l, again); s.Decision != ledger.Ended {
			t.Errorf("a repeated Enqueue of a dead message: decision %d, want Ended", s.Decision)
		}
		state(t, l, e.ID, ledger.Dead)
		if left := rdb.PTTL(t.Context(), "wxn:{"+account+"}:m:"+e.ID).Val(); left < 29*24*time.Hour {
			t.Errorf("the dead letter's record lives for %s only", left)
		}
		if s := begin(t, l, e); s.Decision != ledger.Go || s.Attempts != 0 {
			t.Errorf("the dead letter itself: %+v, want Go with a fresh budget", s)
		}
	})
}
