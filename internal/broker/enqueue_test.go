package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestEnqueue(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	q := broker.NewEnqueuer(rdb)
	due := time.Now().Add(time.Hour).Truncate(time.Second)
	list := []broker.Item{
		{Account: account, Class: job.Critical, ID: "now", Payload: []byte("first line\nbody & < >")},
		{Account: account, Class: job.Bulk, ID: "later", Payload: []byte("x"), ProcessAt: due},
		{Account: account, Class: job.Critical, ID: "now", Payload: []byte("other")},
		{Account: account, Class: "urgent", ID: "class"},
		{Account: account, Class: job.Default},
		{Account: "wx{1}", Class: job.Default, ID: "a"},
		{Class: job.Default, ID: "a"},
	}
	got, err := q.Enqueue(t.Context(), list, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", "duplicate", `class "urgent"`, "ID is empty", "appid", "appid"} {
		said := ""
		if got[i].Duplicate {
			said = "duplicate"
		} else if got[i].Err != nil {
			said = got[i].Err.Error()
		}
		if (want == "") != (said == "") || !strings.Contains(said, want) {
			t.Errorf("item %d: %q, want %q", i, said, want)
		}
	}
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	info, err := inspector.GetTaskInfo(account+":critical", "now")
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != job.TaskType || info.MaxRetry != 1<<20 || info.Timeout < time.Second || info.Timeout%time.Second != 0 ||
		string(info.Payload) != string(list[0].Payload) || info.State != asynq.TaskStatePending {
		t.Errorf("task is stored as %+v", info)
	}
	info, err = inspector.GetTaskInfo(account+":bulk", "later")
	if err != nil || info.State != asynq.TaskStateScheduled || !info.NextProcessAt.Equal(due) {
		t.Errorf("scheduled task: %+v, %v; want due %s", info, err, due)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Enqueue(t.Context(), list, nil); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// What the ledger writes must stand before the task can be fetched.
func TestEnqueueBeforeRidesAhead(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	var seen []string
	var mu sync.Mutex
	rdb.AddHook(pipelineHook(func(cmds []redis.Cmder) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range cmds {
			name := c.Name()
			if name == "client" { // a new connection says hello
				continue
			}
			if name == "evalsha" && strings.Contains(fmt.Sprint(c.Args()...), ":idle:") {
				name = "wake"
			}
			seen = append(seen, name)
		}
	}))
	q := broker.NewEnqueuer(rdb)
	births := make([]*redis.IntCmd, 2)
	before := func(pipe redis.Pipeliner, i int) { births[i] = pipe.Incr(t.Context(), fmt.Sprintf("record-%d", i)) }
	if _, err := q.Enqueue(t.Context(), items(2, job.Default), before); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	first := seen
	seen = nil
	mu.Unlock()
	want := []string{"incr", "evalsha", "incr", "evalsha", "wake"}
	if diff := cmp.Diff(want, first[:len(want)]); diff != "" {
		t.Errorf("order in the pipeline (-want +got):\n%s", diff)
	}
	for i, b := range births {
		if b.Val() != 1 {
			t.Errorf("record %d was written %d times", i, b.Val())
		}
	}
	if n := rdb.LLen(t.Context(), key(job.Default, "pending")).Val(); n != 2 {
		t.Errorf("pending = %d although the server did not know the script at first", n)
	}
}

type pipelineHook func(cmds []redis.Cmder)

func (pipelineHook) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (pipelineHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h pipelineHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h(cmds)
		return next(ctx, cmds)
	}
}

func TestEnqueueConcurrentCallersShareTrips(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	var mu sync.Mutex
	trips, commands := 0, 0
	rdb.AddHook(pipelineHook(func(cmds []redis.Cmder) {
		mu.Lock()
		defer mu.Unlock()
		trips++
		commands += len(cmds)
	}))
	q := broker.NewEnqueuer(rdb)
	const callers, each = 64, 50
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := range each {
				item := broker.Item{Account: account, Class: job.Default, ID: fmt.Sprintf("%d-%d", c, i), Payload: []byte("x")}
				got, err := q.Enqueue(t.Context(), []broker.Item{item}, nil)
				if err != nil || got[0].Err != nil || got[0].Duplicate {
					t.Errorf("%s: %+v, %v", item.ID, got, err)
				}
			}
		})
	}
	group.Wait()
	if n := rdb.LLen(t.Context(), key(job.Default, "pending")).Val(); n != callers*each {
		t.Errorf("pending = %d, want %d", n, callers*each)
	}
	t.Logf("%d messages: %d trips, %.2f commands each", callers*each, trips, float64(commands)/(callers*each))
	if trips > callers*each/4 {
		t.Errorf("%d trips for %d messages: callers do not share", trips, callers*each)
	}
}

// Scripts that the server forgot and connections that break must neither lose
// nor double a message.
func TestEnqueueSurvives(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		every   time.Duration
		disturb func(ctx context.Context, rdb *redis.Client)
	}{
		"script flush": {5 * time.Millisecond, func(ctx context.Context, rdb *redis.Client) { rdb.ScriptFlush(ctx) }},
		"client kill": {250 * time.Millisecond, func(ctx context.Context, rdb *redis.Client) {
			rdb.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			rdb, other := s.Client(t), s.Client(t)
			ctx, cancel := context.WithCancel(t.Context())
			var side sync.WaitGroup
			side.Go(func() {
				tick := time.NewTicker(c.every)
				defer tick.Stop()
				for ctx.Err() == nil {
					select {
					case <-tick.C:
						c.disturb(ctx, other)
					case <-ctx.Done():
					}
				}
			})
			q := broker.NewEnqueuer(rdb)
			const n = 20_000
			got, err := q.Enqueue(t.Context(), items(n, job.Bulk), nil)
			cancel()
			side.Wait()
			if err != nil {
				t.Fatal(err)
			}
			duplicates := 0
			for i, r := range got {
				if r.Err != nil {
					t.Fatalf("item %d: %v", i, r.Err)
				}
				if r.Duplicate {
					duplicates++
				}
			}
			if name == "script flush" && duplicates > 0 {
				t.Errorf("%d own messages reported as duplicates", duplicates)
			}
			if have := rdb.LLen(t.Context(), key(job.Bulk, "pending")).Val(); have != n {
				t.Errorf("pending = %d, want %d", have, n)
			}
			t.Logf("%d of %d repeated after a lost reply", duplicates, n)
		})
	}
}

func TestEnqueueCallerGivesUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	q := broker.NewEnqueuer(rdb)
	list := items(3, job.Default)
	if _, err := q.Enqueue(t.Context(), list[:1], nil); err != nil {
		t.Fatal(err)
	}
	s.Pause(t)
	ctx, cancel := context.WithCancel(t.Context())
	said := make(chan error, 2)
	go func() { _, err := q.Enqueue(ctx, list[1:2], nil); said <- err }()
	go func() { _, err := q.Enqueue(ctx, list[2:], nil); said <- err }()
	timer := time.AfterFunc(50*time.Millisecond, cancel)
	defer timer.Stop()
	for range 2 {
		if err := <-said; !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want context.Canceled", err)
		}
	}
	s.Resume(t)
	eventually(t, "the batch goes on", func() bool { return rdb.LLen(t.Context(), key(job.Default, "pending")).Val() == 3 })
}

func TestEnqueueMiniredis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		put(t, rdb, items(1200, job.Bulk)...)
		if n := rdb.LLen(t.Context(), key(job.Bulk, "pending")).Val(); n != 1200 {
			t.Errorf("pending = %d", n)
		}
	})
}
