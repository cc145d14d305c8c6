package queue_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// Each names tasks of all classes, waiting or scheduled, and leaves out other accounts and
// what cannot be read.
func TestEachFindsTasksByPayload(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	put := func(account string, class job.Class, id, payload string, at time.Time) {
		t.Helper()
		if _, err := queue.Put(t.Context(), rdb, account, class, queue.Item{ID: id, Payload: []byte(payload), ProcessAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	put("wx1", job.Critical, "one", "a CANARY b", time.Time{})
	put("wx1", job.Default, "two", "other", time.Time{})
	put("wx1", job.Bulk, "three:t:x", "CANARY", time.Now().Add(time.Hour))
	put("wx12", job.Bulk, "four", "CANARY", time.Time{})
	if err := rdb.HSet(t.Context(), queue.TaskKey("wx1", job.Bulk, "broken"), "msg", "\xff\xffCANARY").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.HSet(t.Context(), queue.TaskKey("wx1", job.Bulk, "empty"), "state", "pending").Err(); err != nil {
		t.Fatal(err)
	}
	var found []queue.Ref
	written, left, err := queue.NewInspector(rdb).Each(t.Context(), "wx1", func(task queue.Ref, payload []byte) []byte {
		if bytes.Contains(payload, []byte("CANARY")) {
			found = append(found, task)
		}
		return nil
	})
	if err != nil || written != 0 || left != 0 {
		t.Fatal(written, left, err)
	}
	slices.SortFunc(found, func(a, b queue.Ref) int { return strings.Compare(a.ID, b.ID) })
	want := []queue.Ref{{ID: "one", Class: job.Critical}, {ID: "three:t:x", Class: job.Bulk}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	_ = rdb.Close()
	if _, _, err := queue.NewInspector(rdb).Each(t.Context(), "wx1", func(queue.Ref, []byte) []byte { return nil }); err == nil {
		t.Error("no error without Redis")
	}
}
