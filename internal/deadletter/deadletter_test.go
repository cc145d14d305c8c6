package deadletter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/deadletter"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

const appid = "wx1234567890abcdef"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRetryPutsADeadLetterOnItsQueueAgainOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		l, err := ledger.New(rdb, appid, nil, ledger.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		e := job.Envelope{ID: "dead-1", Class: job.Bulk, To: "oABCdefGHIjklMNOpqrSTUvwxYZ0", Template: "T", QueuedAt: time.Now(), Body: []byte("{}")}
		payload, err := job.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil { // makes the record from the envelope
			t.Fatal(err)
		}
		if err := deadletter.Retry(t.Context(), rdb, l, appid, e.ID); !errors.Is(err, ledger.ErrNotDead) {
			t.Errorf("a message that is being sent: %v", err)
		}
		if err := l.Failed(t.Context(), e.ID, 1, ledger.Outcome{State: ledger.Dead, Class: e.Class, Payload: payload}); err != nil {
			t.Fatal(err)
		}
		// The worker has recorded the end, and completes the task in a moment.
		if _, err := queue.Put(t.Context(), rdb, appid, e.Class, queue.Item{ID: e.ID, Payload: payload}); err != nil {
			t.Fatal(err)
		}
		taskKey := queue.TaskKey(appid, e.Class, e.ID)
		rdb.HSet(t.Context(), taskKey, "state", "active")
		if err := deadletter.Retry(t.Context(), rdb, l, appid, e.ID); !errors.Is(err, queue.ErrActive) {
			t.Errorf("while a worker has the task: %v", err)
		}
		if found, err := l.Get(t.Context(), e.ID); err != nil || found[0].State != ledger.Dead {
			t.Errorf("refused, and the message is %s, with a task that is completed in a moment (%v)", found[0].State, err)
		}
		rdb.HSet(t.Context(), taskKey, "state", "pending")
		for range 2 { // a repeated call completes one that was cut off
			if err := deadletter.Retry(t.Context(), rdb, l, appid, e.ID); err != nil {
				t.Fatal(err)
			}
		}
		states, err := queue.NewInspector(rdb).Queues(t.Context(), appid)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range states {
			if want := map[job.Class]int64{job.Bulk: 1}[q.Class]; q.Pending != want {
				t.Errorf("%s: %d pending, want %d", q.Class, q.Pending, want)
			}
		}
		task, err := queue.NewInspector(rdb).Task(t.Context(), appid, job.Bulk, e.ID)
		if err != nil || task == nil || string(task.Payload) != string(payload) {
			t.Errorf("the task: %+v, %v", task, err)
		}
		if err := deadletter.Retry(t.Context(), rdb, l, appid, "none"); !errors.Is(err, ledger.ErrNotDead) {
			t.Errorf("no such message: %v", err)
		}
	})
}
