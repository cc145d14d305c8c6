package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/worker"
)

const (
	shareLook = 20 * time.Millisecond // between looks whether anything is left
)

// share is the child that is one of several that empty a queue together. It ends
// when the queue is empty.
func share(ctx context.Context, t task) (outcome, error) {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = rdb.Close() }()
	t.Rate = noLimit
	var sent, first, last atomic.Int64
	s, err := newStack(rdb, t, tuned(&atomic.Int64{}), func(e worker.Event) {
		if e.Action == worker.Sent {
			now := time.Now().UnixMicro()
			first.CompareAndSwap(0, now)
			last.Store(now)
			sent.Add(1)
		}
	})
	if err != nil {
		return outcome{}, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	inspector := broker.NewInspector(rdb)
	go func() {
		for ctx.Err() == nil {
			_ = rest(ctx, shareLook)
			states, err := inspector.Queues(ctx, appID)
			left := int64(0)
			for _, q := range states {
				if q.Class == job.Default {
					left = q.Pending + q.Active
				}
			}
			if err == nil && left == 0 && last.Load() > 0 && time.Since(time.UnixMicro(last.Load())) > 5*shareLook {
				stop(errSpan)
			}
		}
	}()
	if err := s.run(ctx); err != nil && !errors.Is(context.Cause(ctx), errSpan) {
		return outcome{}, err
	}
	cpu, _, err := ownUse()
	return outcome{Messages: int(sent.Load()), CPU: cpu, First: first.Load(), Last: last.Load()}, err
}
