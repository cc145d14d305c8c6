package main

import (
	"context"
	"errors"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/worker"
)

// pace is the child that sends as fast as the rate permits, for a span.
func pace(ctx context.Context, t task) (outcome, error) {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = rdb.Close() }()
	count := &counter{}
	rdb.AddHook(count)
	c := &clock{sent: map[int64]int{}}
	s, err := newStack(rdb, t, wired(c.note), func(worker.Event) {})
	if err != nil {
		return outcome{}, err
	}
	ctx, stop := context.WithTimeoutCause(ctx, t.Span, errSpan)
	defer stop()
	err = s.run(ctx)
	if err != nil && !errors.Is(context.Cause(ctx), errSpan) {
		return outcome{}, err
	}
	out := outcome{Seconds: t.Span.Seconds(), Trips: count.read(), PerSecond: c.sent}
	for _, n := range c.sent {
		out.Messages += n
	}
	return out, nil
}

var errSpan = errors.New("the span is over")
