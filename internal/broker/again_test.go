package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// A message that was sent before goes on its queue again, once, but not while a
// worker has its first task in hand: the ID would go with that.
func TestEnqueueAgain(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	item := broker.Item{Account: account, Class: job.Critical, ID: "m", Payload: []byte("first")}
	put(t, rdb, item)
	started, finish := make(chan struct{}), make(chan error)
	serve(t, broker.ServerConfig{Redis: rdb, Handler: func(ctx context.Context, _ broker.Task) error {
		started <- struct{}{}
		select {
		case err := <-finish:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	<-started
	q := broker.NewEnqueuer(rdb)
	defer q.Close()
	item.Payload, item.ProcessAt = []byte("second"), time.Now().Add(time.Hour)
	if err := q.Again(t.Context(), item); !errors.Is(err, broker.ErrActive) {
		t.Fatalf("while the first is in hand: %v", err)
	}
	finish <- nil
	eventually(t, "the first is completed", func() bool {
		return rdb.Exists(t.Context(), key(job.Critical, "t:m")).Val() == 0
	})
	for range 2 {
		if err := q.Again(t.Context(), item); err != nil {
			t.Fatal(err)
		}
	}
	if n := rdb.ZCard(t.Context(), key(job.Critical, "scheduled")).Val(); n != 1 {
		t.Errorf("%d tasks are scheduled, want 1", n)
	}
	if err := broker.NewInspector(rdb).RunTask(t.Context(), account, job.Critical, "m"); err != nil {
		t.Fatal(err)
	}
	<-started
	finish <- asynq.SkipRetry
	eventually(t, "archived", func() bool { return rdb.ZCard(t.Context(), key(job.Critical, "archived")).Val() == 1 })
	if err := q.Again(t.Context(), item); err == nil {
		t.Error("a dead letter of this ID is in the way, and nobody says so")
	}
	if err := q.Again(t.Context(), broker.Item{}); err == nil {
		t.Error("took an empty item")
	}
}
