package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// Accounts of one process hear only their own wake-ups, and stop listening when they stop.
func TestWakeUpsAreOfOneAccount(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	const accounts = 5
	got := make(chan queue.Task, accounts)
	var stops []func() error
	for i := range accounts {
		stops = append(stops, serve(t, queue.ServerConfig{
			Redis: rdb, Account: fmt.Sprint("wx", i),
			Handler: func(_ context.Context, task queue.Task) error { got <- task; return nil },
		}))
	}
	for i := range accounts {
		testutil.Until(t, "idle", func() bool { return rdb.Exists(t.Context(), fmt.Sprintf("wxn:{wx%d:default}:idle", i)).Val() == 1 })
		channel := fmt.Sprintf("wxn:{wx%d}:wake", i)
		testutil.Until(t, "subscribed", func() bool { return rdb.PubSubNumSub(t.Context(), channel).Val()[channel] == 1 })
	}
	if n := len(rdb.PubSubChannels(t.Context(), "wxn:*").Val()); n != accounts {
		t.Errorf("%d channels, want %d", n, accounts)
	}
	for i := range accounts {
		name := fmt.Sprint("wx", i)
		putFor(t, rdb, name, job.Default, queue.Item{ID: "a", Payload: []byte("x")})
		if task, want := testutil.Receive(t, "a task", got), queue.Name(name, job.Default); task.Queue != want {
			t.Errorf("queue %s, want %s", task.Queue, want)
		}
	}
	for i, stop := range stops {
		if err := stop(); err != nil {
			t.Error(err)
		}
		want := accounts - 1 - i
		testutil.Until(t, "unsubscribed", func() bool { return len(rdb.PubSubChannels(t.Context(), "wxn:*").Val()) == want })
	}
}

// Without wake-ups the worker still looks once a second.
func TestFetchWithoutPubSub(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	h := newHandled()
	serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle})
	testutil.Until(t, "idle", func() bool { return rdb.Exists(t.Context(), "wxn:{"+account+":bulk}:idle").Val() == 1 })
	rdb.Del(t.Context(), "wxn:{"+account+":default}:idle") // no wake-up follows
	began := time.Now()
	put(t, rdb, job.Default, items(1, job.Default)...)
	h.wait(t, 1)
	t.Logf("found by looking after %s", time.Since(began))
}
