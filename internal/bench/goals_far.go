package main

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
)

const bareOne = "bare, one server"

// distant is P11: Redis is a millisecond away.
func (l *lab) distant(ctx context.Context) ([]figure.Row, error) {
	n := l.o.messages
	t := task{Role: "send", Variant: ours, Messages: n, Warm: n / 4, InFlight: l.o.inFlight, Redis: l.far}
	four, one := t, t
	four.Variant, one.Variant = bare, bareOne
	one.Messages, one.Warm = n/8, n/32 // it sends some hundreds a second
	s, err := l.rounds(ctx, l.o.rounds, t, four, one)
	if err != nil {
		return nil, err
	}
	put := task{Role: "enqueue", Variant: oneByOne, Messages: n, Redis: l.far}
	plain, many500 := put, put
	plain.Variant, many500.Variant = oneByOnePlain, many
	e, err := l.rounds(ctx, l.o.rounds, put, plain, many500)
	if err != nil {
		return nil, err
	}
	if err := l.empty(ctx); err != nil {
		return nil, err
	}
	idle, err := l.child(ctx, task{Role: "idle", Variant: ours, Messages: l.o.samples, InFlight: 64, Redis: l.far})
	if err != nil {
		return nil, err
	}
	all := func(o outcome) float64 { return o.perMessage(float64(o.Trips.All)) }
	none := figure.Goal{}
	return []figure.Row{
		s.beside("P11", "messages/s, Redis 1 ms away", ours, bareOne, "bare asynq, 1 server", figure.AtLeast(5), outcome.rate),
		s.beside("P11", "  to four servers", ours, bare, "bare asynq, 4 servers", none, outcome.rate),
		s.alone("P11", "  Redis trips/message, asynq's too", none, all),
		e.beside("P11", "  Enqueue/s from 64 goroutines", oneByOne, oneByOnePlain, "asynq Client", none, outcome.rate),
		e.beside("P11", "  EnqueueMany/s", many, oneByOnePlain, "asynq, 64 goroutines", none, outcome.rate),
		l.only("P11", "  Enqueue to wire when idle, p50, ms", figure.Percentile(idle.Latencies, 0.5), none),
		l.only("P11", fmt.Sprintf("  p99 of %d, ms", l.o.samples), figure.Percentile(idle.Latencies, 0.99), none),
	}, nil
}

// instant is P1 with a WeChat that answers at once: what the machine can do.
func (l *lab) instant(ctx context.Context) ([]figure.Row, error) {
	n := l.o.messages
	t := task{Role: "send", Variant: ours, Messages: n, Warm: n / 4, InFlight: l.o.inFlight, WeChat: l.quick}
	plain, post, pipe := t, t, task{Role: "floor", Variant: floorRedis, Messages: n}
	plain.Variant = bare
	post.Role, post.Variant = "floor", floorHTTP
	s, err := l.rounds(ctx, l.o.rounds, t, plain, post, pipe)
	if err != nil {
		return nil, err
	}
	both := func(o outcome) float64 { return 1e6 * o.perMessage(o.CPU+o.RedisCPU) }
	none := figure.Goal{}
	floors := make([]float64, 0, l.o.rounds)
	for i := range s[floorHTTP] {
		// Redis' own time while only HTTP runs is its idling.
		floors = append(floors, cpuMicros(s[floorHTTP][i])+both(s[floorRedis][i]))
	}
	cost := s.of(ours, both)
	return []figure.Row{
		s.beside("P0", "messages/s, WeChat at 0 ms", ours, bare, "bare asynq", none, outcome.rate),
		s.beside("P0", "  worker + Redis CPU µs/message", ours, bare, "bare asynq", none, both),
		s.beside("P0", "  messages/s", ours, floorHTTP, "the HTTP client alone", none, outcome.rate),
		s.beside("P0", "  messages/s", ours, floorRedis, "fetch and completion alone, pipelined", none, outcome.rate),
		{
			Number: "P0", Measure: "  worker + Redis CPU µs/message", Ours: figure.Median(cost), With: "the floor: both alone",
			Theirs: figure.Median(floors), Ratio: figure.Ratio(cost, floors),
		},
	}, nil
}

// busyOf is how many accounts P12 has.
const busyOf = 50

// accounts is P12: one account of many has something to send.
func (l *lab) accounts(ctx context.Context) ([]figure.Row, error) {
	n := l.o.messages
	one := task{Role: "send", Variant: ours, Messages: n, Warm: n / 4, InFlight: l.o.inFlight}
	fifty, plain, plainFifty := one, one, one
	fifty.Variant, fifty.Accounts = ours+" 50", busyOf
	plain.Variant = bareOne
	plainFifty.Variant, plainFifty.Accounts = bareOne+" 50", busyOf
	plainFifty.Messages, plainFifty.Warm = n/4, n/16 // it is slow
	s, err := l.rounds(ctx, l.o.rounds, one, fifty, plain, plainFifty)
	if err != nil {
		return nil, err
	}
	both := func(o outcome) float64 { return 1e6 * o.perMessage(o.CPU+o.RedisCPU) }
	return []figure.Row{
		s.beside("P12", "messages/s, 50 accounts, one busy", ours+" 50", ours, "one account", figure.AtLeast(0.9), outcome.rate),
		s.beside("P12", "  worker + Redis CPU µs/message", ours+" 50", ours, "one account", figure.Goal{}, both),
		{
			Number: "P12", Measure: "  bare asynq, one server with 50 queues, /s", Ours: figure.Median(s.of(bareOne+" 50", outcome.rate)),
			With: "one queue", Theirs: figure.Median(s.of(bareOne, outcome.rate)),
			Ratio: figure.Ratio(s.of(bareOne+" 50", outcome.rate), s.of(bareOne, outcome.rate)),
		},
	}, nil
}

// processes has 1, 2 and 4 of them share a queue.
func (l *lab) processes(ctx context.Context) ([]figure.Row, error) {
	counts := []int{1, 2, 4}
	rates, costs := map[int][]float64{}, map[int][]float64{}
	for range l.o.rounds {
		for _, k := range counts {
			rate, cost, err := l.together(ctx, k)
			if err != nil {
				return nil, err
			}
			rates[k], costs[k] = append(rates[k], rate), append(costs[k], cost)
		}
	}
	var rows []figure.Row
	for _, k := range counts[1:] {
		rows = append(rows, figure.Row{
			Number: "P1N", Measure: fmt.Sprintf("messages/s, %d processes", k), Ours: figure.Median(rates[k]),
			With: "one process", Theirs: figure.Median(rates[1]), Ratio: figure.Ratio(rates[k], rates[1]),
		}, figure.Row{
			Number: "P1N", Measure: "  workers' CPU µs/message", Ours: figure.Median(costs[k]),
			With: "one process", Theirs: figure.Median(costs[1]), Ratio: figure.Ratio(costs[k], costs[1]),
		})
	}
	return rows, nil
}

// together empties a queue with k processes and returns messages a second and
// processor µs a message.
func (l *lab) together(ctx context.Context, k int) (rate, cost float64, err error) {
	prefix := l.prefix()
	if err := fill(ctx, l.rdb, prefix, l.o.messages, true); err != nil {
		return 0, 0, err
	}
	outs := make([]outcome, k)
	var g errgroup.Group
	for i := range outs {
		g.Go(func() error {
			var err error
			outs[i], err = l.child(ctx, task{Role: "share", Variant: ours, Prefix: prefix, InFlight: max(l.o.inFlight/k, 1)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, fmt.Errorf("share: %w", err)
	}
	var sent int
	var cpu float64
	first, last := int64(math.MaxInt64), int64(0)
	for _, o := range outs {
		sent, cpu = sent+o.Messages, cpu+o.CPU
		if o.Messages > 0 {
			first, last = min(first, o.First), max(last, o.Last)
		}
	}
	return 1e6 * float64(sent) / float64(last-first), 1e6 * cpu / float64(sent), nil
}

// only makes the row of one figure.
func (*lab) only(number, measure string, v float64, goal figure.Goal) figure.Row {
	return figure.Row{Number: number, Measure: measure, Ours: v, Theirs: math.NaN(), Ratio: math.NaN(), Goal: goal}
}
