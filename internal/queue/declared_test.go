package queue_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// Every script runs with the rights of docs/redis.md and uses only keys that it declares.
func TestScriptsDeclareTheirKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb, admin := server.Strict(t), server.Client(t)
	ctx := t.Context()

	// What killed workers left: an ended lease, and an active task without a lease.
	list := items(40, job.Default)
	put(t, rdb, job.Default, list[:3]...)
	for _, item := range list[:2] {
		admin.RPop(ctx, key(job.Default, "pending"))
		admin.LPush(ctx, key(job.Default, "active"), item.ID)
	}
	admin.ZAdd(ctx, key(job.Default, "lease"), zAt(list[0].ID, -time.Minute))
	said := queue.Tend(ctx, rdb, account)
	if len(said) != 1 || said[0].ContextMap()["recovered"] != int64(2) {
		t.Fatalf("%v, want one line that tells of two tasks", said)
	}

	list[3].ProcessAt = time.Now().Add(1500 * time.Millisecond)
	list[4].ProcessAt = time.Now().Add(time.Hour)
	put(t, rdb, job.Default, list[3:]...)
	inspector := queue.NewInspector(rdb)
	if err := inspector.Delete(ctx, account, job.Default, list[4].ID); err != nil {
		t.Error(err)
	}
	states, err := inspector.Queues(ctx, account)
	if err != nil || states[1].Pending != 38 || states[1].Scheduled != 1 || states[1].Missing != 0 || states[1].Latency == 0 {
		t.Errorf("%+v, %v", states, err)
	}

	h := newHandled()
	var failed, back atomic.Int64
	stop := serve(t, queue.ServerConfig{Redis: rdb, Concurrency: 8, Handler: func(ctx context.Context, task queue.Task) error {
		switch {
		case failed.CompareAndSwap(0, 1):
			return errors.New("in 5 s")
		case back.CompareAndSwap(0, 1):
			return &queue.Later{}
		}
		return h.handle(ctx, task)
	}})
	h.wait(t, 39)
	if err := stop(); err != nil {
		t.Error(err)
	}

	// What was fetched goes back when the worker has stopped.
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	rdb.AddHook(&wireTap{hold: hold, held: openOfMany})
	put(t, rdb, job.Bulk, items(100, job.Bulk)...)
	h = newHandled()
	stop = serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle})
	active := func() int { return int(admin.LLen(ctx, key(job.Bulk, "active")).Val()) }
	testutil.Until(t, "many are fetched", func() bool { return active() >= many })
	done := make(chan error, 1)
	go func() { done <- stop() }()
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := active(); n != 0 {
		t.Errorf("%d tasks are active", n)
	}
	rdb.RanAll(t, "lua")
}
