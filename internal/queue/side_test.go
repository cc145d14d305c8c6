package queue_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// cut loses the first n calls that have a key on their way to the server.
type cut struct {
	singleCalls

	key string
	n   atomic.Int64
}

func (c *cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if slices.ContainsFunc(cmd.Args(), func(arg any) bool { key, _ := arg.(string); return strings.HasSuffix(key, c.key) }) && c.n.Add(-1) >= 0 {
			cmd.SetErr(errCut)
			return errCut
		}
		return next(ctx, cmd)
	}
}

// The completion of a task of a side queue that failed once is written when asynq tries
// again, although asynq has cancelled its context by then (trap T1).
func TestATaskOfASideQueueRunsOnceThoughItsCompletionFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		c := &cut{key: "}:completed"}
		c.n.Store(1)
		if err := queue.PutSide(t.Context(), rdb, account, "side", "m", []byte("{}"), 8); err != nil {
			t.Fatal(err)
		}
		rdb.AddHook(c)
		var calls atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- queue.Side{
				Redis: rdb, Account: account, Name: "side", Concurrency: 1, Log: zap.NewNop(),
				Handle: func(context.Context, []byte) error { calls.Add(1); return nil },
				Delays: func(int) time.Duration { return time.Second },
			}.Run(ctx)
		}()
		time.Sleep(5 * time.Minute) // virtual; beyond the lease and the retry
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if c.n.Load() >= 1 {
			t.Fatal("no completion was cut: the test tests nothing")
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("the task ran %d times", n)
		}
	})
}
