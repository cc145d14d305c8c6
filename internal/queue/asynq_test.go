package queue_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// Our scripts stand in for asynq's. They must leave the same keys behind, byte for
// byte, but for times and for our own fields and keys.

// dump reads everything that asynq keeps of a queue.
func dump(tb testing.TB, rdb *redis.Client) map[string]string {
	tb.Helper()
	ctx := tb.Context()
	all := map[string]string{}
	for _, k := range rdb.Keys(ctx, "asynq:{"+account+":*").Val() {
		switch rdb.Type(ctx, k).Val() {
		case "hash":
			fields := rdb.HGetAll(ctx, k).Val()
			delete(fields, "delivered") // ours
			if fields["state"] == "active" {
				delete(fields, "pending_since") // read of pending tasks only
			}
			for _, name := range slices.Sorted(maps.Keys(fields)) {
				value := fields[name]
				if name == "pending_since" {
					value = "a time"
				}
				all[k] += fmt.Sprintf("%s=%q ", name, value)
			}
		case "list":
			all[k] = fmt.Sprint(rdb.LRange(ctx, k, 0, -1).Val())
		case "zset":
			for _, z := range rdb.ZRangeWithScores(ctx, k, 0, -1).Val() {
				all[k] += fmt.Sprintf("%v@%.0f ", z.Member, z.Score/100) // times of one run
			}
		case "string":
			all[k] = rdb.Get(ctx, k).Val()
		}
		if ttl := rdb.TTL(ctx, k).Val(); ttl > 0 {
			all[k] += fmt.Sprintf(" ttl %.0f h", ttl.Hours())
		}
	}
	return all
}

func same(t *testing.T, what string, ours, asynqs *redis.Client) {
	t.Helper()
	a, b := dump(t, ours), dump(t, asynqs)
	for k := range maps.Keys(b) {
		if a[k] != b[k] {
			t.Errorf("%s: %s\n ours  %s\n asynq %s", what, k, a[k], b[k])
		}
	}
	if len(a) != len(b) {
		t.Errorf("%s: %d keys, asynq leaves %d", what, len(a), len(b))
	}
}

func TestScriptsLeaveWhatAsynqLeaves(t *testing.T) {
	t.Parallel()
	ours, asynqs := redistest.Start(t).Client(t), redistest.Start(t).Client(t)
	client := asynq.NewClientFromRedisClient(asynqs)
	due := time.Now().Add(time.Hour).Truncate(time.Second)
	list := items(30, job.Default)
	list[29].ProcessAt = due
	list[28].Payload = []byte("a payload with \x00 and \xff and 中文")
	put(t, ours, job.Default, list...)
	for _, item := range list {
		opts := []asynq.Option{
			asynq.Queue(queue.Name(account, job.Default)), asynq.MaxRetry(1 << 20), asynq.Timeout(time.Minute), asynq.TaskID(item.ID),
		}
		if !item.ProcessAt.IsZero() {
			opts = append(opts, asynq.ProcessAt(item.ProcessAt))
		}
		if _, err := client.EnqueueContext(t.Context(), asynq.NewTask(job.TaskType, item.Payload, opts...)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "put", ours, asynqs)
	info, err := asynq.NewInspectorFromRedisClient(ours).GetTaskInfo(queue.Name(account, job.Default), list[28].ID)
	if err != nil || string(info.Payload) != string(list[28].Payload) || info.MaxRetry != 1<<20 || info.Timeout != time.Minute || info.Type != job.TaskType {
		t.Errorf("asynq's Inspector reads %+v, %v", info, err)
	}

	// Tasks in the handler's hands: what the fetch has done.
	hold, h := make(chan struct{}), newHandled()
	stop := serve(t, queue.ServerConfig{Redis: ours, Concurrency: 40, Handler: func(_ context.Context, task queue.Task) error {
		h.add(task)
		<-hold
		return nil
	}})
	h.wait(t, 29)
	srv := asynq.NewServerFromRedisClient(asynqs, asynq.Config{
		Concurrency: 40, Queues: map[string]int{queue.Name(account, job.Default): 1}, LogLevel: asynq.FatalLevel,
	})
	h2 := newHandled()
	if err := srv.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		h2.add(queue.Task{ID: task.ResultWriter().TaskID()})
		<-hold
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	h2.wait(t, 29)
	same(t, "fetch", ours, asynqs)
	close(hold)
	for _, rdb := range []*redis.Client{ours, asynqs} {
		testutil.Until(t, "completed", func() bool { return rdb.LLen(t.Context(), key(job.Default, "active")).Val() == 0 })
	}
	same(t, "done", ours, asynqs)
	if err := stop(); err != nil {
		t.Error(err)
	}
	srv.Shutdown()
}

func TestAFetchThatIsNotRecognisedTakesNothing(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	put(t, rdb, job.Critical, items(3, job.Critical)...)
	c := queue.NewClient(rdb, account)
	for name, keys := range map[string][]string{
		"keys in another order": {key(job.Critical, "active"), key(job.Critical, "pending"), key(job.Critical, "paused"), key(job.Critical, "lease")},
		"one key more":          {key(job.Critical, "pending"), key(job.Critical, "paused"), key(job.Critical, "active"), key(job.Critical, "lease"), "x"},
	} {
		script := "return redis.call('RPOP', KEYS[1])"
		for verb, err := range map[string]error{
			"eval":    c.Eval(t.Context(), script, keys).Err(),
			"evalsha": c.EvalSha(t.Context(), redis.NewScript(script).Hash(), keys).Err(),
		} {
			if err == nil || !strings.Contains(err.Error(), "asynq v0.26") {
				t.Errorf("%s, %s: %v, want an error that names the version to build with", name, verb, err)
			}
		}
	}
	if n := rdb.LLen(t.Context(), key(job.Critical, "pending")).Val(); n != 3 {
		t.Errorf("%d tasks wait, want 3", n)
	}
}

func TestPutReplacesNothing(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	put(t, rdb, job.Bulk, queue.Item{ID: "a", Payload: []byte("first")})
	existing, err := queue.Put(t.Context(), rdb, account, job.Bulk,
		queue.Item{ID: "a", Payload: []byte("second")}, queue.Item{ID: "b", Payload: []byte("third")})
	if err != nil || !slices.Equal(existing, []string{"pending", ""}) {
		t.Errorf("existing %v, %v", existing, err)
	}
	info, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo(queue.Name(account, job.Bulk), "a")
	if err != nil || string(info.Payload) != "first" {
		t.Errorf("%+v, %v", info, err)
	}
}

// P11: asynq keeps whole seconds, cut off: a task must not be due before its time.
func TestDueTimesAreRoundedUp(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	at := time.Now().Add(time.Hour).Truncate(time.Second).Add(time.Millisecond)
	put(t, rdb, job.Bulk, queue.Item{ID: "a", Payload: []byte("x"), ProcessAt: at})
	if score := rdb.ZScore(t.Context(), key(job.Bulk, "scheduled"), "a").Val(); int64(score) != at.Unix()+1 {
		t.Errorf("due at %.0f, want %d", score, at.Unix()+1)
	}
}

// The number of a delivery grows, also after Redis has lost the counter.
func TestDeliveryNumbersGrow(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	h := newHandled()
	serve(t, queue.ServerConfig{Redis: rdb, Concurrency: 1, Handler: h.handle})
	last := int64(0)
	for i, item := range items(30, job.Default) {
		if i == 20 {
			rdb.Del(t.Context(), "wxn:{"+account+":default}:deliveries")
		}
		put(t, rdb, job.Default, item)
		h.wait(t, 1)
		task := h.tasks[len(h.tasks)-1]
		if task.Delivery <= last || task.Redelivered {
			t.Errorf("%s: delivery %d after %d, redelivered %v", task.ID, task.Delivery, last, task.Redelivered)
		}
		last = task.Delivery
	}
}
