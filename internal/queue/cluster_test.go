package queue_test

import (
	"context"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// A cluster of one node has all the rules of one of many: keys of one script
// must share a slot, and redirections count.
func TestCluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.Cluster(t)
	h := newHandled()
	stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
		if h.add(task) == 1 && strings.HasSuffix(task.ID, "1") {
			return &queue.Later{Reason: "again"}
		}
		return nil
	}})
	for _, class := range job.Classes() {
		put(t, rdb, class, items(700, class)...)
	}
	h.wait(t, 3*770)
	if err := stop(); err != nil {
		t.Error(err)
	}
	n := queue.NewInspector(rdb)
	put(t, rdb, job.Bulk, items(3, job.Bulk)...)
	if err := n.Delete(t.Context(), account, job.Bulk, "bulk-000001"); err != nil {
		t.Error(err)
	}
	if err := n.Pause(t.Context(), account, job.Bulk, "x", ""); err != nil {
		t.Error(err)
	}
	if said := queue.Tend(t.Context(), rdb, account); len(said) > 0 {
		t.Error(said)
	}
	states, err := n.Queues(t.Context(), account)
	if err != nil || states[2].Pending != 2 || !states[2].Paused || states[0].Active != 0 {
		t.Errorf("%+v, %v", states, err)
	}
}
