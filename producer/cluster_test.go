package producer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
)

// cluster is two primaries, and an appid whose records and tasks lie apart.
func cluster(t *testing.T) (addrs []string, appid string) {
	t.Helper()
	var nodes []*redis.Client
	for i := range 2 {
		s := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
		c := s.Client(t)
		must(t, c.ClusterAddSlotsRange(t.Context(), i*8192, i*8192+8191).Err())
		addrs, nodes = append(addrs, s.Addr), append(nodes, c)
	}
	host, port, _ := net.SplitHostPort(addrs[1])
	must(t, nodes[0].ClusterMeet(t.Context(), host, port).Err())
	testutil.Until(t, "the cluster is ready", func() bool {
		return !slices.ContainsFunc(nodes, func(c *redis.Client) bool {
			info := c.ClusterInfo(t.Context()).Val()
			return !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:2")
		})
	})
	for i := range 100 {
		id := fmt.Sprintf("wx%016d", i)
		record, _ := nodes[0].ClusterKeySlot(t.Context(), "{"+id+"}").Result()
		task, _ := nodes[0].ClusterKeySlot(t.Context(), "{"+id+":default}").Result()
		if record < 8192 != (task < 8192) {
			return addrs, id
		}
	}
	t.Fatal("no appid lies apart")
	return nil, ""
}

func clusterClient(t *testing.T, addrs []string) *redis.ClusterClient {
	t.Helper()
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, Protocol: 2, MaxRedirects: 8})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// killedAfter fails every script call after the first n, as if the process had been
// killed then.
type killedAfter struct{ left atomic.Int64 }

var errKilled = errors.New("the process was killed")

func (k *killedAfter) DialHook(next redis.DialHook) redis.DialHook { return next }
func (k *killedAfter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); (name == "evalsha" || name == "eval" || name == "zrem") && k.left.Add(-1) < 0 {
			cmd.SetErr(errKilled)
			return errKilled
		}
		return next(ctx, cmd)
	}
}

func (k *killedAfter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestEnqueueOnACluster(t *testing.T) { //nolint:tparallel // the subtests share the cluster and its list
	t.Parallel()
	addrs, appid := cluster(t)
	rdb := clusterClient(t, addrs)
	records, err := ledger.New(rdb, appid, nil, ledger.Config{})
	must(t, err)
	open := func(t *testing.T, hook redis.Hook) *producer.Producer {
		t.Helper()
		own := clusterClient(t, addrs)
		if hook != nil {
			own.AddHook(hook)
		}
		p, err := producer.New(own, producer.Config{Account: appid})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		return p
	}
	task := func(id string) bool {
		task, err := queue.NewInspector(rdb).Task(t.Context(), appid, producer.Default, id)
		must(t, err)
		return task != nil
	}

	t.Run("callers of one ID: one message, one task", func(t *testing.T) {
		a, b := open(t, nil), open(t, nil)
		for round := range 300 {
			id := fmt.Sprintf("order-%d", round)
			var group sync.WaitGroup
			var duplicates atomic.Int64
			for _, p := range []*producer.Producer{a, b} {
				group.Go(func() {
					ticket, err := p.Enqueue(t.Context(), id, message("paid"))
					if err != nil {
						t.Error(err)
					}
					if ticket.Duplicate {
						duplicates.Add(1)
					}
				})
			}
			group.Wait()
			if duplicates.Load() != 1 || !task(id) {
				t.Fatalf("%s: %d duplicates, task %v", id, duplicates.Load(), task(id))
			}
		}
		if left, err := records.Orphans(t.Context(), time.Now().Add(time.Hour)); err != nil || len(left) != 0 {
			t.Errorf("%d records are listed as without a task, %v", len(left), err)
		}
	})
	t.Run("killed between record and task: the repetition completes it", func(t *testing.T) {
		killed := &killedAfter{}
		p := open(t, killed)
		killed.left.Store(1) // the record's script, which the servers know by now
		if _, err := p.Enqueue(t.Context(), "half", message("x")); !errors.Is(err, errKilled) {
			t.Fatalf("got %v: the test tests nothing", err)
		}
		if s, err := open(t, nil).Status(t.Context(), "half"); err != nil || s.State != producer.Queued || task("half") {
			t.Fatalf("status %+v, %v, task %v: want a record without a task", s, err, task("half"))
		}
		ticket, err := open(t, nil).Enqueue(t.Context(), "half", message("x"))
		if err != nil || !ticket.Duplicate || !task("half") {
			t.Errorf("ticket %+v, %v, task %v", ticket, err, task("half"))
		}
	})
	t.Run("killed between record and task, never repeated: the sweep frees the ID", func(t *testing.T) {
		killed := &killedAfter{}
		p := open(t, killed)
		killed.left.Store(1)
		if _, err := p.Enqueue(t.Context(), "gone", message("x")); !errors.Is(err, errKilled) {
			t.Fatalf("got %v: the test tests nothing", err)
		}
		orphans, err := records.Orphans(t.Context(), time.Now())
		must(t, err)
		found := false
		for _, o := range orphans {
			deleted, err := records.Resolve(t.Context(), o, task(o.ID))
			must(t, err)
			found = found || o.ID == "gone" && deleted
		}
		if !found {
			t.Errorf("the record without a task was not found among %v", orphans)
		}
		if _, err := open(t, nil).Status(t.Context(), "gone"); !errors.Is(err, producer.ErrNotFound) {
			t.Errorf("status: %v, want not found", err)
		}
		if left, err := records.Orphans(t.Context(), time.Now()); err != nil || len(left) != 0 {
			t.Errorf("left on the list: %v, %v", left, err)
		}
	})
	t.Run("killed between record and task, repeated while the sweep looks: the message stays known", func(t *testing.T) {
		killed := &killedAfter{}
		p := open(t, killed)
		killed.left.Store(1)
		if _, err := p.Enqueue(t.Context(), "again", message("x")); !errors.Is(err, errKilled) {
			t.Fatalf("got %v: the test tests nothing", err)
		}
		orphans, err := records.Orphans(t.Context(), time.Now())
		must(t, err)
		if len(orphans) != 1 || task("again") {
			t.Fatalf("listed %v, task %v: the test tests nothing", orphans, task("again"))
		}
		_, err = open(t, nil).Enqueue(t.Context(), "again", message("x"))
		must(t, err)
		if deleted, err := records.Resolve(t.Context(), orphans[0], false); deleted || err != nil {
			t.Errorf("the record of a message that has a ticket is deleted: %v, %v", deleted, err)
		}
		if s, err := open(t, nil).Status(t.Context(), "again"); err != nil || s.State != producer.Queued {
			t.Errorf("status: %+v, %v", s, err)
		}
	})
	t.Run("a worker completes the task of an earlier message: the repetition comes too soon as well", func(t *testing.T) {
		p := open(t, nil)
		if _, err := queue.Put(t.Context(), rdb, appid, producer.Default, queue.Item{ID: "busy", Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		old := queue.TaskKey(appid, producer.Default, "busy")
		must(t, rdb.HSet(t.Context(), old, "state", "active").Err())
		for range 2 {
			if ticket, err := p.Enqueue(t.Context(), "busy", message("x")); !errors.Is(err, producer.ErrBusy) {
				t.Fatalf("ticket %+v, %v, though the task will be gone", ticket, err)
			}
			if s, err := p.Status(t.Context(), "busy"); !errors.Is(err, producer.ErrNotFound) {
				t.Errorf("status %+v, %v, want none", s, err)
			}
		}
		must(t, rdb.Del(t.Context(), old).Err())
		if ticket, err := p.Enqueue(t.Context(), "busy", message("x")); err != nil || ticket.Duplicate || !task("busy") {
			t.Errorf("ticket %+v, %v, task %v", ticket, err, task("busy"))
		}
	})
}
