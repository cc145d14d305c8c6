package main

import (
	"context"
	"fmt"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/producer"
)

const (
	// shallow is the backlog that a deep one is compared with.
	shallow = 1000
	// criticalRate is the sends a second at which bulk is held back meanwhile.
	criticalRate = 500
)

// deep is P14 and P9: what a large backlog does to the messages themselves, and to
// the critical ones that come while it waits. It has a Redis of its own.
func (l *lab) deep(ctx context.Context) ([]figure.Row, error) {
	url, stop, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	big := *l
	big.redis = url
	if big.rdb, err = broker.Dial(url); err != nil {
		return nil, err
	}
	defer func() { _ = big.rdb.Close() }()
	rows, err := l.growth(ctx, &big)
	if err != nil {
		return nil, err
	}
	more, err := big.urgent(ctx)
	return append(rows, more...), err
}

// growth is P14: the same number of messages off a short queue and off a long one.
func (l *lab) growth(ctx context.Context, big *lab) ([]figure.Row, error) {
	n := l.o.messages
	prefix := l.prefix()
	if err := fill(ctx, big.rdb, prefix, l.o.backlog, true); err != nil {
		return nil, err
	}
	s := series{}
	const short, long = "short", "long"
	t := task{Role: "send", Variant: ours, Messages: n, Warm: n / 4, InFlight: l.o.inFlight}
	for range l.o.rounds {
		near := t
		near.Prefix = l.prefix()
		if err := fill(ctx, l.rdb, near.Prefix, n+shallow, true); err != nil {
			return nil, err
		}
		out, err := l.child(ctx, near)
		if err != nil {
			return nil, err
		}
		s[short] = append(s[short], out)
		t.Prefix = prefix
		if out, err = big.child(ctx, t); err != nil {
			return nil, err
		}
		s[long] = append(s[long], out)
	}
	with := "at " + figure.Number(shallow)
	both := func(o outcome) float64 { return 1e6 * o.perMessage(o.CPU+o.RedisCPU) }
	return []figure.Row{
		s.beside("P14", "messages/s at a backlog of "+figure.Number(float64(l.o.backlog)), long, short, with, figure.AtLeast(0.95), outcome.rate),
		s.beside("P14", "  worker + Redis CPU µs/message", long, short, with, figure.Goal{}, both),
	}, nil
}

// urgent is P9.
func (l *lab) urgent(ctx context.Context) ([]figure.Row, error) {
	if err := l.empty(ctx); err != nil {
		return nil, err
	}
	if err := fillClass(ctx, l.rdb, "bulk", l.o.backlog, producer.Bulk); err != nil {
		return nil, err
	}
	out, err := l.child(ctx, task{Role: "urgent", Variant: ours, Messages: l.o.samples, InFlight: 200, Rate: criticalRate})
	if err != nil {
		return nil, err
	}
	waiting := fmt.Sprintf("critical, Enqueue to wire, %s bulk wait at %d/s, p50, ms", figure.Number(float64(l.o.backlog)), criticalRate)
	return []figure.Row{
		l.only("P9", waiting, figure.Percentile(out.Latencies, 0.5), figure.Goal{}),
		l.only("P9", fmt.Sprintf("  p99 of %d, ms", l.o.samples), figure.Percentile(out.Latencies, 0.99), figure.AtMost(1000)),
		l.only("P9", "  bulk sent meanwhile, /s", out.rate(), figure.Goal{}),
	}, nil
}
