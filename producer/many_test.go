package producer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestEnqueueMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 5001
	list := many(n)
	list[17].Terms.Class = producer.Critical
	list[4999].Message = nil
	list[5000].ID = list[16].ID // the same ID with another message
	results, err := b.EnqueueMany(t.Context(), list)
	var partial *producer.PartialError
	if !errors.As(err, &partial) || partial.Failed != 2 || partial.Total != n || partial.FirstID != list[4999].ID {
		t.Fatalf("got %v", err)
	}
	var invalid *wechat.InvalidError
	if !errors.As(err, &invalid) || !errors.Is(results[5000].Err, producer.ErrIDReused) {
		t.Errorf("got %v and %v", err, results[5000].Err)
	}
	for i, r := range results {
		if r.ID != list[i].ID || i < 4999 && (r.Err != nil || r.Duplicate || r.State != producer.Queued) {
			t.Fatalf("result %d: %+v", i, r)
		}
	}
	if n, m := b.waiting(t, producer.Default), b.waiting(t, producer.Critical); n != 4998 || m != 1 {
		t.Errorf("%d default, %d critical", n, m)
	}
	again, err := b.EnqueueMany(t.Context(), list[:4999])
	must(t, err)
	for i, r := range again {
		if !r.Duplicate {
			t.Fatalf("again %d: %+v", i, r)
		}
	}
	if n := b.waiting(t, producer.Default); n != 4998 {
		t.Errorf("%d tasks after the same again", n)
	}
	if none, err := b.EnqueueMany(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("none: %v, %v", none, err)
	}
}

// snd-14: two recipients are two messages with two results.
func TestSnd14TwoRecipients(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := message("x"), message("x")
	two.ToUser = "oSECOND"
	results, err := b.EnqueueMany(t.Context(), []producer.Message{
		{ID: "n-1", Message: one}, {ID: "n-2", Message: two, Terms: producer.Terms{Class: producer.Bulk}},
	})
	must(t, err)
	if len(results) != 2 || results[0].ID != "n-1" || results[1].Class != producer.Bulk {
		t.Errorf("got %+v", results)
	}
	if e := b.envelope(t, producer.Bulk, "n-2"); e.To != "oSECOND" {
		t.Errorf("got %+v", e)
	}
}

func TestEnqueueSeq(t *testing.T) { //nolint:tparallel // counts what was read
	t.Parallel()
	b := setup(t)
	read := 0
	counted := func(list []producer.Message) iter.Seq[producer.Message] {
		return func(yield func(producer.Message) bool) {
			for _, m := range list {
				read++
				if !yield(m) {
					return
				}
			}
		}
	}
	list := many(9000)
	i := 0
	for r := range b.EnqueueSeq(t.Context(), counted(list)) {
		if r.Err != nil || r.ID != list[i].ID {
			t.Fatalf("result %d: %+v", i, r)
		}
		if read > i+8000 {
			t.Fatalf("read %d ahead of result %d", read-i, i)
		}
		i++
	}
	if i != len(list) {
		t.Errorf("%d results", i)
	}
	t.Run("break", func(t *testing.T) {
		read = 0
		for range b.EnqueueSeq(t.Context(), counted(list)) {
			break
		}
		if read == 0 || read == len(list) {
			t.Errorf("read %d of %d", read, len(list))
		}
	})
	t.Run("an ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		results := slices.Collect(b.EnqueueSeq(ctx, counted(list)))
		if len(results) == 0 || len(results) > 4000 {
			t.Errorf("%d results", len(results))
		}
		for _, r := range results {
			if !errors.Is(r.Err, context.Canceled) {
				t.Fatalf("got %+v", r)
			}
		}
	})
}

// TestEnqueueManyEndedEarly: one result per message also when ctx ends before all
// were read, and no success for what was never tried.
func TestEnqueueManyEndedEarly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	messages := many(5000)
	results, err := b.EnqueueMany(ctx, messages)
	var partial *producer.PartialError
	if !errors.As(err, &partial) || partial.Failed != len(messages) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if len(results) != len(messages) {
		t.Fatalf("%d results for %d messages", len(results), len(messages))
	}
	for i, r := range results {
		if r.ID != messages[i].ID || !errors.Is(r.Err, context.Canceled) {
			t.Fatalf("result %d: %+v", i, r)
		}
	}
}

// Callers that enqueue one message each share the script calls of Redis.
func TestEnqueueManyOfOneSharesRoundTrips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		b := around(t, rdb)
		_, err := b.Enqueue(t.Context(), "first", message("loads the script"))
		must(t, err)
		held := holdsScripts{count: new(atomic.Int64), until: make(chan struct{})}
		rdb.AddHook(held)
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				if _, err := b.EnqueueMany(t.Context(), []producer.Message{{ID: fmt.Sprint("m-", i), Message: message("x")}}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // two calls run at most, the other callers have joined the next
		close(held.until)
		group.Wait()
		if n := held.count.Load(); n < 1 || n > 3 {
			t.Errorf("%d calls of Redis for 50 callers, want 3 at most", n)
		}
	})
}

// holdsScripts counts script calls, and holds them until the channel is closed.
type holdsScripts struct {
	count *atomic.Int64
	until chan struct{}
}

func (holdsScripts) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h holdsScripts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			h.count.Add(1)
			<-h.until
		}
		return next(ctx, cmd)
	}
}

func (h holdsScripts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
