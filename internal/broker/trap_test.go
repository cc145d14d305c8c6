package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// The traps of asynq v0.26, each with its guard.

// failing loses the first n completions on their way to the server.
type failing struct{ n atomic.Int64 }

var errCut = errors.New("connection cut")

func (f *failing) hit(cmds ...redis.Cmder) bool {
	for _, cmd := range cmds {
		args := cmd.Args()
		if len(args) > 5 && strings.HasSuffix(fmt.Sprint(args[3]), ":active") && fmt.Sprint(args[2]) == "5" && f.n.Add(-1) >= 0 {
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
		put(t, rdb, items(5, job.Default)...)
		stop := serve(t, broker.ServerConfig{Redis: rdb, Handler: h.handle})
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
	put(t, rdb, items(n, job.Default)...)
	h := newHandled()
	serve(t, broker.ServerConfig{Redis: rdb, Handler: h.handle, Concurrency: 50, Logger: zap.NewNop()})
	h.wait(t, n/3)
	s.Kill()
	s.Restart(t)
	ctx := t.Context()
	eventually(t, "the queue drains", func() bool {
		pending, err := rdb.LLen(ctx, key(job.Default, "pending")).Result()
		return err == nil && pending == 0
	})
	eventually(t, "completions are written", func() bool {
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
		put(t, rdb, items(2, job.Default)...)
		stop := serve(t, broker.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task broker.Task) error {
			n := h.add(task)
			switch {
			case n > 40:
				return nil
			case task.ID == "default-000000":
				return errors.New("system busy")
			}
			return &broker.Later{After: time.Second, Cause: errors.New("not now")}
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
		put(t, rdb, items(3, job.Default)...)
		dead(t, rdb, job.Default, "default-000001", -28*time.Second) // fetched 2 s ago, then killed
		began := time.Now()
		h := patient()
		retried := -1
		stop := serve(t, broker.ServerConfig{Redis: rdb, Handler: func(ctx context.Context, task broker.Task) error {
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

func TestTrapT04FullArchiveWarns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		zs := make([]redis.Z, 5001)
		for i := range zs {
			zs[i] = redis.Z{Score: float64(time.Now().Unix()), Member: fmt.Sprint("dead-", i)}
		}
		rdb.ZAdd(t.Context(), key(job.Bulk, "archived"), zs...)
		core, logs := observer.New(zap.WarnLevel)
		ctx, cancel := context.WithCancel(t.Context())
		var side sync.WaitGroup
		side.Go(func() { broker.NewWatchdog(rdb, account, zap.New(core)).Run(ctx) })
		time.Sleep(time.Minute) // virtual
		cancel()
		side.Wait()
		if n := logs.FilterMessageSnippet("archive is filling").Len(); n != 1 {
			t.Errorf("%d warnings, want one", n)
		}
	})
}

func TestTrapT05OrphansOfArchiveAll(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	const n = 10_100
	list := items(n, job.Bulk)
	put(t, rdb, list...)
	if _, err := asynq.NewInspectorFromRedisClient(rdb).ArchiveAllPendingTasks(account + ":bulk"); err != nil {
		t.Fatal(err)
	}
	q := broker.NewEnqueuer(rdb)
	again, _ := q.Enqueue(t.Context(), list[:1], nil)
	if !again[0].Duplicate {
		t.Fatal("asynq leaves no orphan any more: this guard can go")
	}
	w := broker.NewWatchdog(rdb, account, nil)
	found := 0
	for range 4 {
		found += sweep(t, rdb, w).Orphans
	}
	if want := n - int(rdb.ZCard(t.Context(), key(job.Bulk, "archived")).Val()); found != want {
		t.Errorf("%d orphans deleted, want %d", found, want)
	}
	if again, err := q.Enqueue(t.Context(), list[:1], nil); err != nil || again[0].Duplicate {
		t.Errorf("the ID still conflicts: %+v, %v", again, err)
	}
}

// sweep sweeps at once, whoever swept last.
func sweep(tb testing.TB, rdb *redis.Client, w *broker.Watchdog) broker.Swept {
	tb.Helper()
	rdb.Del(tb.Context(), "wxn:{"+account+"}:watchdog", "wxn:{"+account+"}:orphans")
	s, err := w.Sweep(tb.Context())
	if err != nil || !s.Ran {
		tb.Fatalf("sweep: ran %v, %v", s.Ran, err)
	}
	return s
}

func TestTrapT06OldArchiveIsTrimmed(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	const n = 9000
	old := float64(time.Now().Add(-100 * 24 * time.Hour).Unix())
	pipe := rdb.Pipeline()
	for i := range n {
		id := fmt.Sprint("dead-", i)
		pipe.ZAdd(ctx, key(job.Default, "archived"), redis.Z{Score: old, Member: id})
		pipe.HSet(ctx, key(job.Default, "t:"+id), "msg", "x", "state", "archived")
	}
	pipe.ZAdd(ctx, key(job.Default, "archived"), redis.Z{Score: float64(time.Now().Unix()), Member: "young"})
	pipe.HSet(ctx, key(job.Default, "t:young"), "msg", "x", "state", "archived")
	// An ID that died long ago and was enqueued again keeps its message.
	pipe.HSet(ctx, key(job.Default, "t:dead-7"), "state", "pending")
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	w := broker.NewWatchdog(rdb, account, nil)
	trimmed := 0
	for range 10 {
		trimmed += sweep(t, rdb, w).Trimmed
	}
	if trimmed != n {
		t.Errorf("trimmed %d, want %d", trimmed, n)
	}
	if keys := rdb.Keys(ctx, key(job.Default, "t:*")).Val(); len(keys) != 2 {
		t.Errorf("%d messages are left, want the young one and the one enqueued again", len(keys))
	}
	// With the old ones gone asynq's own script works.
	put(t, rdb, items(1, job.Default)...)
	h := newHandled()
	serve(t, broker.ServerConfig{Redis: rdb, Handler: func(_ context.Context, task broker.Task) error {
		h.add(task)
		return &broker.Dead{Cause: "refused"}
	}})
	h.wait(t, 1)
	eventually(t, "archived", func() bool { return rdb.ZCard(ctx, key(job.Default, "archived")).Val() == 2 })
	if n := rdb.LLen(ctx, key(job.Default, "active")).Val(); n != 0 {
		t.Errorf("active = %d", n)
	}
}

func TestTrapT07MissingMessages(t *testing.T) { //nolint:tparallel // the subtest goes on where the story ended
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	list := items(60, job.Default)
	put(t, rdb, list...)
	for _, item := range list[10:40] {
		rdb.Del(ctx, key(job.Default, "t:"+item.ID))
	}
	w := broker.NewWatchdog(rdb, account, nil)
	began := time.Now()
	h := newHandled()
	serve(t, broker.ServerConfig{Redis: rdb, Handler: h.handle})
	h.wait(t, 30)
	if took := time.Since(began); took > 5*time.Second { // a second for each with asynq alone
		t.Errorf("30 tasks behind 30 missing ones took %s", took)
	}
	eventually(t, "completed", func() bool {
		sweep(t, rdb, w)
		return rdb.LLen(ctx, key(job.Default, "active")).Val() == 0
	})
	if n := rdb.ZCard(ctx, key(job.Default, "lease")).Val(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	if keys := rdb.Keys(ctx, key(job.Default, "t:*")).Val(); len(keys) != 0 {
		t.Errorf("left over: %v", keys)
	}
	t.Run("consoles work again when the next one is missing", func(t *testing.T) {
		put(t, rdb, broker.Item{Account: account, Class: job.Bulk, ID: "gone", Payload: []byte("x")})
		q := broker.NewInspector(rdb)
		if err := q.Pause(ctx, account, job.Bulk, broker.Pause{Owner: "test"}); err != nil {
			t.Fatal(err)
		}
		rdb.Del(ctx, key(job.Bulk, "t:gone"))
		sweep(t, rdb, w)
		if _, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo(account + ":bulk"); err != nil {
			t.Error(err)
		}
	})
}

func TestTrapT08FullRedis(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, "--maxmemory", "12mb").Client(t)
	q := broker.NewEnqueuer(rdb)
	body := []byte(strings.Repeat("x", 4000))
	full, n := error(nil), 0
	limit := time.Now().Add(20 * time.Second)
	for full == nil && time.Now().Before(limit) {
		list := make([]broker.Item, 50)
		for i := range list {
			list[i] = broker.Item{Account: account, Class: job.Bulk, ID: fmt.Sprint("id-", n+i), Payload: body}
		}
		got, err := q.Enqueue(t.Context(), list, nil)
		if err == nil && got[49].Err == nil {
			n += 50 // as fast as it goes: the guard must be faster
			continue
		}
		full = errors.Join(err, got50(got))
	}
	if !errors.Is(full, redisx.ErrFull) {
		t.Fatalf("error = %v, want ErrRedisFull", full)
	}
	if strings.Contains(full.Error(), "OOM") {
		t.Fatalf("Redis itself was full before Enqueue refused: %v", full)
	}
	t.Logf("after %d messages: %v", n, full)
	h := newHandled()
	serve(t, broker.ServerConfig{Redis: rdb, Handler: h.handle})
	h.wait(t, n) // workers must go on
	eventually(t, "room again", func() bool {
		_, err := q.Enqueue(t.Context(), []broker.Item{{Account: account, Class: job.Bulk, ID: "after", Payload: body}}, nil)
		return err == nil
	})
}

func got50(got []broker.Result) error {
	if len(got) < 50 {
		return nil
	}
	return got[49].Err
}
