package deadletter_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/deadletter"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// before calls do before the first script call that has the key.
type before struct {
	key string
	do  func()
}

func (*before) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		isKey := func(arg any) bool { key, ok := arg.(*string); return ok && *key == b.key }
		if do := b.do; do != nil && slices.ContainsFunc(cmd.Args(), isKey) {
			b.do = nil
			do()
		}
		return next(ctx, cmd)
	}
}

func (*before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A worker fetches what is left of a dead letter while an operator has it sent again: it
// has seen the end and completes the task, which would be that of the message's new life.
func TestRetryIsNotOvertakenByAWorkerThatHasSeenTheEnd(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	l, err := ledger.New(rdb, appid, nil, ledger.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	e := job.Envelope{ID: "dead-1", Class: job.Bulk, To: "oABCdefGHIjklMNOpqrSTUvwxYZ0", Template: "T", QueuedAt: time.Now(), Body: []byte("{}")}
	payload, err := job.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil {
		t.Fatal(err)
	}
	if err := l.Failed(t.Context(), e.ID, 1, ledger.Outcome{State: ledger.Dead, Class: e.Class, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	// Its worker was killed before it completed the task.
	if _, err := queue.Put(t.Context(), rdb, appid, e.Class, queue.Item{ID: e.ID, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	task := queue.TaskKey(appid, e.Class, e.ID)
	rdb.AddHook(&before{"wxn:{" + appid + "}:dead", func() { // Revive alone uses it here
		if rdb.Exists(context.Background(), task).Val() == 1 {
			rdb.HSet(context.Background(), task, "state", "active")
		}
	}})
	if err := deadletter.Retry(t.Context(), rdb, l, appid, e.ID); err != nil {
		t.Error(err)
	}
	if state := rdb.HGet(t.Context(), task, "state").Val(); state != "pending" {
		t.Errorf("its task is %q, which its worker completes", state)
	}
}
