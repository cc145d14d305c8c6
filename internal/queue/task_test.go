package queue_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestTaskTellsStatePayloadAndWhenItIsDue(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		const account = "wx0123456789abcdef"
		in := queue.NewInspector(rdb)
		due := time.Now().Add(time.Hour).Truncate(time.Second)
		if _, err := queue.Put(t.Context(), rdb, account, job.Default,
			queue.Item{ID: "now", Payload: []byte("one")}, queue.Item{ID: "later", Payload: []byte("two"), ProcessAt: due}); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]queue.Waiting{
			"now": {State: "pending", Payload: []byte("one")}, "later": {State: "scheduled", Payload: []byte("two"), Due: due},
		} {
			got, err := in.Task(t.Context(), account, job.Default, id)
			if err != nil || got == nil {
				t.Fatalf("%s: %v, %v", id, got, err)
			}
			if got.State != want.State || string(got.Payload) != string(want.Payload) || !got.Due.Equal(want.Due) {
				t.Errorf("%s: %+v, want %+v", id, got, want)
			}
		}
		if got, err := in.Task(t.Context(), account, job.Default, "none"); err != nil || got != nil {
			t.Errorf("a task that does not exist: %v, %v", got, err)
		}
		closed := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
		t.Cleanup(func() { _ = closed.Close() })
		if got, err := queue.NewInspector(closed).Task(t.Context(), account, job.Default, "now"); err == nil || got != nil {
			t.Errorf("without Redis: %v, %v", got, err)
		}
	})
}
