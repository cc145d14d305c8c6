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
		create(t, rdb, r)
		if done, _, err := l.Cancel(t.Context(), e.ID); err != nil || !done {
			t.Fatal(done, err)
		}
		life := func() time.Duration {
			t.Helper()
			left, err := rdb.PTTL(t.Context(), key("m:"+e.ID)).Result()
			must(t, err)
			return left
		}
		if left := life(); left < 100*24*time.Hour {
			t.Errorf("expires after %s, before the task is due: it would be sent", left)
		}

		// Its task is taken off the queue.
		must(t, l.Release(t.Context(), e.ID))
		if left := life(); left > 72*time.Hour || left < 71*time.Hour {
			t.Errorf("kept for %s after its task is gone, want 72h", left)
		}
		must(t, l.Release(t.Context(), "missing"))
	})
}

// TestScheduledReadsAsQueuedWhenDue: from its not-before on a message waits for its turn, the quota
// or an admin, and not for its hour any more.
func TestScheduledReadsAsQueuedWhenDue(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for id, at := range map[string]time.Duration{"due": -time.Second, "tomorrow": 24 * time.Hour} {
			e := envelope(id)
			e.NotBefore = time.Now().Add(at)
			r := record(e)
			r.State = ledger.Scheduled
			create(t, rdb, r)
		}
		state(t, l, "due", ledger.Queued)
		state(t, l, "tomorrow", ledger.Scheduled)
	})
}
