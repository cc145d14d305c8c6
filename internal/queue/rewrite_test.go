package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestEachReplacesPayloadsAndNothingElse(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		put := func(class job.Class, id, payload string, at time.Time) {
			t.Helper()
			if _, err := queue.Put(ctx, rdb, account, class, queue.Item{ID: id, Payload: []byte(payload), ProcessAt: at}); err != nil {
				t.Fatal(err)
			}
		}
		put(job.Critical, "one", "old 1", time.Time{})
		put(job.Bulk, "later", "old 2", time.Now().Add(time.Hour))
		put(job.Default, "stays", "new 3", time.Time{})
		put(job.Default, "sending", "old 4", time.Time{})
		active := queue.TaskKey(account, job.Default, "sending")
		must(rdb.HSet(ctx, active, "state", "active").Err())
		tasks := queue.NewInspector(rdb)
		read := func(class job.Class, id string) *queue.Waiting {
			t.Helper()
			task, err := tasks.Task(ctx, account, class, id)
			must(err)
			return task
		}
		before := read(job.Bulk, "later")
		change := func(task queue.Ref, payload []byte) []byte {
			if text, old := strings.CutPrefix(string(payload), "old"); old {
				return []byte("new and longer" + text + " of " + task.ID)
			}
			return nil
		}
		written, left, err := tasks.Each(ctx, account, change)
		if err != nil || written != 2 || left != 1 {
			t.Errorf("written %d, left %d, %v; want 2 and the one that is being sent", written, left, err)
		}
		if got := string(read(job.Critical, "one").Payload); got != "new and longer 1 of one" {
			t.Errorf("the payload is %q", got)
		}
		before.Payload = []byte("new and longer 2 of later")
		if diff := cmp.Diff(before, read(job.Bulk, "later")); diff != "" {
			t.Errorf("a scheduled task (-want +got):\n%s", diff)
		}
		if got := string(read(job.Default, "sending").Payload); got != "old 4" {
			t.Errorf("a task that a worker has was rewritten to %q", got)
		}
		must(rdb.HSet(ctx, active, "state", "pending").Err())
		if written, left, err := tasks.Each(ctx, account, change); err != nil || written != 1 || left != 0 {
			t.Errorf("then: written %d, left %d, %v", written, left, err)
		}
	})
}

// What changes between the read and the write is left alone.
func TestEachDoesNotOverwriteALaterMessage(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	tasks := queue.NewInspector(rdb)
	put := func(payload string, replace bool) {
		t.Helper()
		if _, err := queue.Put(t.Context(), rdb, account, job.Default, queue.Item{ID: "one", Payload: []byte(payload), Replace: replace}); err != nil {
			t.Fatal(err)
		}
	}
	put("old", false)
	_, left, err := tasks.Each(t.Context(), account, func(queue.Ref, []byte) []byte {
		put("later", true)
		return []byte("new")
	})
	task, readErr := tasks.Task(t.Context(), account, job.Default, "one")
	if err != nil || readErr != nil || left != 1 || string(task.Payload) != "later" {
		t.Errorf("left %d, %v, the payload is %q", left, err, task.Payload)
	}
	_ = rdb.Close()
	if _, _, err := tasks.Each(t.Context(), account, func(queue.Ref, []byte) []byte { return nil }); err == nil {
		t.Error("no error without Redis")
	}
}
