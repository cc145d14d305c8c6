package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// fill leaves tasks of the default class in every state.
func fill(t *testing.T) (*queue.Inspector, func() []queue.State, func(string) string) {
	t.Helper()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	for _, id := range []string{"active", "retry", "done"} {
		put(t, rdb, job.Default, queue.Item{ID: id, Payload: []byte("x")})
	}
	h := newHandled()
	hold := make(chan struct{})
	serve(t, queue.ServerConfig{Redis: rdb, Handler: func(ctx context.Context, task queue.Task) error {
		h.add(task)
		switch task.ID {
		case "active":
			select {
			case <-hold:
			case <-ctx.Done():
			}
		case "retry":
			return &queue.Later{After: time.Hour, Reason: "busy"}
		}
		return nil
	}, DrainTimeout: 30 * time.Second})
	t.Cleanup(func() { close(hold) })
	h.wait(t, 3)
	testutil.Until(t, "one task is active, one is completed", func() bool {
		return rdb.LLen(ctx, key(job.Default, "active")).Val() == 1 && rdb.Get(ctx, key(job.Default, "processed")).Val() == "1"
	})
	n := queue.NewInspector(rdb)
	if err := n.Pause(ctx, account, job.Default, "li", "template under review"); err != nil {
		t.Fatal(err)
	}
	put(t, rdb, job.Default,
		queue.Item{ID: "archived", Payload: []byte("x")}, queue.Item{ID: "pending", Payload: []byte("x")},
		queue.Item{ID: "scheduled", Payload: []byte("x"), ProcessAt: time.Now().Add(time.Hour)})
	if err := asynq.NewInspectorFromRedisClient(rdb).ArchiveTask(account+":default", "archived"); err != nil {
		t.Fatal(err)
	}
	queues := func() []queue.State {
		states, err := n.Queues(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		return states
	}
	state := func(id string) string { return rdb.HGet(t.Context(), key(job.Default, "t:"+id), "state").Val() }
	return n, queues, state
}

func TestQueuesReadsEveryStateInOneRoundTrip(t *testing.T) {
	t.Parallel()
	_, queues, _ := fill(t)
	got := queues()
	want := queue.State{
		Name: account + ":default", Class: job.Default, Pending: 1, Active: 1, Scheduled: 1, Retry: 1, Archived: 1,
		Processed: 1, ProcessedToday: 1,
		Paused: true, Pause: &queue.Pause{Owner: "li", Reason: "template under review"},
	}
	if diff := cmp.Diff(want, got[1], cmpopts.IgnoreFields(queue.State{}, "Latency"), cmpopts.IgnoreFields(queue.Pause{}, "Since")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if l := got[1].Latency; l <= 0 || l > time.Minute {
		t.Errorf("latency = %s", l)
	}
	if got[0].Class != job.Critical || got[2].Class != job.Bulk || got[2].Paused {
		t.Errorf("%+v", got)
	}
}

// Each number is read from its own key.
func TestQueuesReadsEachCounterFromItsKey(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	day := time.Now().UTC().Format(time.DateOnly)
	for i, name := range []string{"active", "pending"} {
		for range i + 1 {
			rdb.LPush(ctx, key(job.Bulk, name), "x")
		}
	}
	for i, name := range []string{"scheduled", "retry", "archived", "completed"} {
		for m := range i + 3 {
			rdb.ZAdd(ctx, key(job.Bulk, name), redis.Z{Score: 1, Member: m})
		}
	}
	for i, name := range []string{"processed", "failed", "processed:" + day, "failed:" + day} {
		rdb.Set(ctx, key(job.Bulk, name), i+7, 0)
	}
	states, err := queue.NewInspector(rdb).Queues(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	want := queue.State{
		Name: account + ":bulk", Class: job.Bulk, Active: 1, Pending: 2, Scheduled: 3, Retry: 4, Archived: 5, Completed: 6,
		Processed: 7, Failed: 8, ProcessedToday: 9, FailedToday: 10, Missing: 1 + 2 + 3 + 4 + 5 + 5,
	}
	if diff := cmp.Diff(want, states[2]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAllQueuesReadsOthersBesideABrokenQueue(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	put(t, rdb, job.Critical, items(3, job.Critical)...)
	rdb.SAdd(ctx, "asynq:queues", account+":default", "mail")
	rdb.Set(ctx, key(job.Default, "pending"), "not a list", 0)
	rdb.LPush(ctx, "asynq:{mail}:pending", "x")
	n := queue.NewInspector(rdb)
	states, err := n.AllQueues(ctx)
	if err != nil || len(states) != 4 {
		t.Fatalf("%+v, %v", states, err)
	}
	if s := states[0]; s.Name != "mail" || s.Class != "" || s.Pending != 1 || s.Err != nil {
		t.Errorf("a queue of another program: %+v", s)
	}
	if s := states[2]; s.Name != account+":critical" || s.Pending != 3 || s.Missing != 0 || s.Err != nil {
		t.Errorf("a sound queue: %+v", s)
	}
	if s := states[3]; s.Err == nil || !strings.Contains(s.Err.Error(), account+":default") {
		t.Errorf("a broken queue: %+v", s)
	}
	if _, err := n.Queues(ctx, account); err == nil {
		t.Error("Queues returns counts of an account with a broken queue")
	}
}

func TestInspectorDelete(t *testing.T) {
	t.Parallel()
	n, queues, state := fill(t)
	for _, id := range []string{"pending", "scheduled", "retry", "archived"} {
		if err := n.Delete(t.Context(), account, job.Default, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if s := state(id); s != "" {
			t.Errorf("%s is still %s", id, s)
		}
	}
	if err := n.Delete(t.Context(), account, job.Default, "active"); !errors.Is(err, queue.ErrActive) {
		t.Errorf("active: %v, want ErrActive", err)
	}
	if err := n.Delete(t.Context(), account, job.Default, "unknown"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("unknown: %v, want ErrNotFound", err)
	}
	want := queue.State{
		Name: account + ":default", Class: job.Default, Active: 1, Paused: true,
		Processed: 1, ProcessedToday: 1,
	}
	if diff := cmp.Diff(want, queues()[1], cmpopts.IgnoreFields(queue.State{}, "Pause")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	t.Run("stops fetching until Resume", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			n, h := queue.NewInspector(rdb), patient()
			if err := n.Pause(t.Context(), account, job.Default, "li", "template under review"); err != nil {
				t.Fatal(err)
			}
			put(t, rdb, job.Default, items(3, job.Default)...)
			g := &gate{}
			stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
			time.Sleep(3 * time.Minute) // virtual
			if taken, _ := g.counts(); taken != 0 || len(h.ids()) != 0 {
				t.Errorf("%d permits, %d tasks while paused", taken, len(h.ids()))
			}
			resumed := time.Now()
			if err := n.Resume(t.Context(), account, job.Default); err != nil {
				t.Fatal(err)
			}
			h.wait(t, 3)
			if late := time.Since(resumed); late > 2*time.Second {
				t.Errorf("fetched %s after Resume", late)
			}
			_ = stop()
		})
	})
	t.Run("by another tool has no owner, and Pause and Resume act on it", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		ctx := t.Context()
		n := queue.NewInspector(rdb)
		bulk := func() queue.State {
			states, err := n.Queues(ctx, account)
			if err != nil {
				t.Fatal(err)
			}
			return states[2]
		}
		if err := queue.List(ctx, rdb, account); err != nil { // for asynq's tools
			t.Fatal(err)
		}
		byAnother := func() {
			t.Helper()
			rdb.Set(ctx, key(job.Bulk, "paused"), time.Now().Unix(), 0) // as asynq's tools do
			if s := bulk(); !s.Paused || s.Pause != nil {
				t.Errorf("%+v, want paused by another tool", s)
			}
		}
		byAnother()
		if err := n.Pause(ctx, account, job.Bulk, "wang", "now ours"); err != nil {
			t.Fatal(err)
		}
		if s := bulk(); !s.Paused || s.Pause == nil || s.Pause.Owner != "wang" || s.Pause.Reason != "now ours" || s.Pause.Since.IsZero() {
			t.Errorf("%+v, pause %+v", s, s.Pause)
		}
		if info, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo(queue.Name(account, job.Bulk)); err != nil || !info.Paused {
			t.Errorf("asynq's tools see %+v, %v", info, err)
		}
		byAnother() // resumed and paused again
		for range 2 {
			if err := n.Resume(ctx, account, job.Bulk); err != nil {
				t.Fatal(err)
			}
		}
		if s := bulk(); s.Paused || s.Pause != nil {
			t.Errorf("%+v, want resumed", s)
		}
	})
}

// asynqmon lists its queues although one of them is broken, or, as managed Redis services
// do, the server forbids MEMORY.
func TestMonitorClientAnswersForABrokenQueue(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	put(t, rdb, job.Bulk, items(3, job.Bulk)...)
	if err := rdb.Do(t.Context(), "ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-memory").Err(); err != nil {
		t.Fatal(err)
	}
	limited := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "limited", Password: "pw"})
	t.Cleanup(func() { _ = limited.Close() })
	read := func(rdb *redis.Client, name string) (*asynq.QueueInfo, error) {
		return asynq.NewInspectorFromRedisClient(queue.NewInspector(rdb).MonitorClient()).GetQueueInfo(account + name)
	}
	if info, err := read(rdb, ":bulk"); err != nil || info.MemoryUsage == 0 {
		t.Errorf("a sound queue: %+v, %v", info, err)
	}
	if info, err := read(limited, ":bulk"); err != nil || info.Pending != 3 || info.MemoryUsage != 0 {
		t.Errorf("without MEMORY: %+v, %v", info, err)
	}
	rdb.Del(t.Context(), key(job.Bulk, "t:bulk-000001"))
	if _, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo(account + ":bulk"); err == nil {
		t.Fatal("asynq reads a queue with missing data: MonitorClient can go")
	}
	if info, err := read(rdb, ":bulk"); err != nil || info.Pending != 3 {
		t.Errorf("a task without a message: %+v, %v", info, err)
	}
	rdb.Set(t.Context(), key(job.Critical, "pending"), "not a list", 0)
	rdb.SAdd(t.Context(), "asynq:queues", account+":critical")
	if _, err := read(rdb, ":critical"); err == nil {
		t.Error("no error for a queue that cannot be read")
	}
}

func TestParseNameReversesName(t *testing.T) {
	t.Parallel()
	for _, class := range job.Classes() {
		if a, c, ok := queue.ParseName(queue.Name(account, class)); !ok || a != account || c != class {
			t.Errorf("%s: %q %q %v", class, a, c, ok)
		}
	}
	for _, other := range []string{"", "mail", "mail:", ":bulk", "wx1:low", "wx1:bulk:x"} {
		if a, c, ok := queue.ParseName(other); ok {
			t.Errorf("%q is taken for class %q of %q", other, c, a)
		}
	}
}

func TestTaskFindsTasksInAnyState(t *testing.T) {
	t.Parallel()
	n, _, _ := fill(t)
	for id, want := range map[string]bool{
		"active": true, "unknown": false, "archived": true, "done": false, "pending": true, "retry": true, "scheduled": true,
	} {
		if task, err := n.Task(t.Context(), account, job.Default, id); err != nil || (task != nil) != want {
			t.Errorf("%s: %+v, %v, want a task: %v", id, task, err, want)
		}
	}
}
