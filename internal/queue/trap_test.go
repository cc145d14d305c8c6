package queue_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// The traps of asynq v0.26, each with its guard.

// failing loses the first n completions on their way to the server.
type failing struct{ n atomic.Int64 }

var errCut = errors.New("connection cut")

func (f *failing) hit(cmds ...redis.Cmder) bool {
	for _, cmd := range cmds {
		args := cmd.Args()
		if len(args) <= 6 {
			continue
		}
		first, _ := args[3].(*string)
		third, _ := args[5].(*string)
		if first != nil && strings.HasSuffix(*first, ":active") && third != nil && strings.Contains(*third, ":processed:") && f.n.Add(-1) >= 0 {
			return true
		}
	}
	return false
}

func (*failing) DialHook(next redis.DialHook) redis.DialHook { return next }
func (f *failing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if f.hit(cmd) {
			cmd.SetErr(errCut)
			return errCut
		}
		return next(ctx, cmd)
	}
}

func (f *failing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if f.hit(cmds...) {
			for _, cmd := range cmds {
				cmd.SetErr(errCut)
			}
			return errCut
		}
		return next(ctx, cmds)
	}
}

// A completion that failed once must be written when asynq tries again, although
// asynq has cancelled its context by then.
func TestTrapT01CompletionOutlivesItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		f, h := &failing{}, patient()
		f.n.Store(3)
		rdb.AddHook(f)
		put(t, rdb, job.Default, items(5, job.Default)...)
		stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle})
		h.wait(t, 5)
		time.Sleep(3 * time.Minute) // virtual; leases end after 30 s
		_ = stop()
		if f.n.Load() > 0 {
			t.Fatalf("%d completions were not cut: the test tests nothing", f.n.Load())
		}
		for id, n := range h.count {
			if n != 1 {
				t.Errorf("%s ran %d times", id, n)
			}
		}
		if n := rdb.LLen(t.Context(), key(job.Default, "active")).Val(); n != 0 {
			t.Errorf("%d tasks stayed active", n)
		}
	})
}

func TestTrapT01RedisKilled(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.AOF()...)
	rdb := s.Client(t)
	const n = 1500
	put(t, rdb, job.Default, items(n, job.Default)...)
	h := newHandled()
	serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle, Concurrency: 50, Logger: zap.NewNop()})
	h.wait(t, n/3)
	s.Kill()
	s.Restart(t)
	ctx := t.Context()
	testutil.Until(t, "the queue drains", func() bool {
		pending, err := rdb.LLen(ctx, key(job.Default, "pending")).Result()
		return err == nil && pending == 0
	})
	testutil.Until(t, "completions are written", func() bool {
		// Fetches whose answer was lost stay active until the watchdog comes.
		h.mu.Lock()
		defer h.mu.Unlock()
		active, err := rdb.LLen(ctx, key(job.Default, "active")).Result()
		return err == nil && int(active)+len(h.count) == n
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, times := range h.count {
		if times > 1 {
			t.Errorf("%s ran %d times", id, times)
		}
	}
	t.Logf("%d of %d handled, the others' fetch was cut", len(h.count), n)
}

func TestTrapT02NeverArchivedByAsynq(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		h := patient()
		put(t, rdb, job.Default, items(2, job.Default)...)
		stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task queue.Task) error {
			n := h.add(task)
			switch {
			case n > 40:
				return nil
			case task.ID == "default-000000":
				return errors.New("system busy")
			}
			return &queue.Later{After: time.Second, Reason: "not now"}
		}})
		h.wait(t, 82)
		if n := rdb.ZCard(t.Context(), key(job.Default, "archived")).Val(); n != 0 {
			t.Errorf("%d tasks were archived", n)
		}
		_ = stop()
	})
}

// dead makes a task look like one of a worker that was killed a while ago.
func dead(tb testing.TB, rdb *redis.Client, class job.Class, id string, leaseEnded time.Duration) {
	tb.Helper()
	ctx := tb.Context()
	rdb.LRem(ctx, key(class, "pending"), 0, id)
	rdb.LPush(ctx, key(class, "active"), id)
	rdb.HSet(ctx, key(class, "t:"+id), "state", "active")
	rdb.HDel(ctx, key(class, "t:"+id), "pending_since")
	rdb.ZAdd(ctx, key(class, "lease"), redis.Z{Score: float64(time.Now().Add(-leaseEnded).Unix()), Member: id})
}

func TestTrapT03CrashIsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		put(t, rdb, job.Default, items(3, job.Default)...)
		dead(t, rdb, job.Default, "default-000001", -28*time.Second) // fetched 2 s ago, then killed
		began := time.Now()
		h := patient()
		retried := -1
		stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: func(ctx context.Context, task queue.Task) error {
			if task.ID == "default-000001" {
				retried, _ = asynq.GetRetryCount(ctx)
			}
			return h.handle(ctx, task)
		}})
		h.wait(t, 3)
		if took := time.Since(began); took > 45*time.Second {
			t.Errorf("the killed worker's task came back after %s", took)
		} else {
			t.Logf("back %s after the kill", took+2*time.Second)
		}
		_ = stop()
		if retried != 0 {
			t.Errorf("the crash was counted: retried = %d", retried)
		}
	})
}

func TestTrapT07MissingMessages(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	const missing = 400
	list := items(missing+30, job.Default)
	put(t, rdb, job.Default, list...)
	for _, item := range list[10 : 10+missing] {
		rdb.Del(ctx, key(job.Default, "t:"+item.ID))
	}
	began := time.Now()
	h := newHandled()
	serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle})
	h.wait(t, 30)
	if took := time.Since(began); took > missing/2*time.Second { // a second for each with asynq alone
		t.Errorf("30 tasks behind %d missing ones took %s", missing, took)
	}
	testutil.Until(t, "completed", func() bool {
		return rdb.LLen(ctx, key(job.Default, "active")).Val() == 0
	})
	if n := rdb.ZCard(ctx, key(job.Default, "lease")).Val(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	if keys := rdb.Keys(ctx, key(job.Default, "t:*")).Val(); len(keys) != 0 {
		t.Errorf("left over: %v", keys)
	}
}
