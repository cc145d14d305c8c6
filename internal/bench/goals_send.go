package main

import (
	"context"
	"math"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
)

// naiveShare: the naive build is slow, so it gets fewer messages.
const naiveShare = 4

// sending is P1 to P4 and P8b: the builds empty the same queue.
func (l *lab) sending(ctx context.Context) ([]figure.Row, error) {
	n := l.o.messages
	t := task{Role: "send", Variant: ours, Messages: n, Warm: n / 4, InFlight: l.o.inFlight}
	plain, first := t, t
	plain.Variant, first.Variant = bare, naive
	first.Messages, first.Warm = n/naiveShare, n/naiveShare/4
	s, err := l.rounds(ctx, l.o.rounds, t, plain, first)
	if err != nil {
		return nil, err
	}
	both := func(o outcome) float64 { return 1e6 * o.perMessage(o.CPU+o.RedisCPU) }
	own := func(o outcome) float64 { return 1e6 * o.perMessage(o.CPU) }
	redis := func(o outcome) float64 { return 1e6 * o.perMessage(o.RedisCPU) }
	none := figure.Goal{}
	rows := []figure.Row{
		s.beside("P1", "messages/s, all guarantees", ours, bare, "bare asynq", figure.AtLeast(1), outcome.rate),
		s.beside("P2", "messages/s", ours, naive, "naive", figure.AtLeast(5), outcome.rate),
		s.beside("P3", "worker + Redis CPU µs/message", ours, bare, "bare asynq", figure.AtMost(1.15), both),
		s.beside("P3", "  worker", ours, bare, "bare asynq", none, own),
		s.beside("P3", "  Redis", ours, bare, "bare asynq", none, redis),
		s.beside("P3", "  worker + Redis, to the naive build", ours, naive, "naive", none, both),
	}
	rows = append(rows, l.tripRows(s)...)
	mallocs := func(o outcome) float64 { return o.perMessage(float64(o.Mallocs)) }
	dials := func(o outcome) float64 { return 1000 * float64(o.Dials) / float64(n) }
	return append(rows,
		s.alone("P8B", "connections opened per 1 000 sends, less one per slot", figure.AtMost(1), func(o outcome) float64 {
			return max(0, dials(o)-1000*float64(l.o.inFlight)/float64(n))
		}),
		s.alone("P8B", "allocations/message", figure.AtMost(140), mallocs),
		s.beside("P8B", "  to bare asynq", ours, bare, "bare asynq", none, mallocs),
	), nil
}

// tripRows is P4: what goes to Redis beside asynq's own.
func (l *lab) tripRows(s series) []figure.Row {
	per := func(read func(trips) int64) func(outcome) float64 {
		return func(o outcome) float64 { return o.perMessage(float64(read(o.Trips))) }
	}
	scripts := func(o outcome) float64 { return o.perMessage(float64(o.Scripts)) }
	none := figure.Goal{}
	return []figure.Row{
		s.alone("P4", "Redis trips/message for the gate", figure.AtMost(0.05), per(func(t trips) int64 { return t.Gate })),
		s.alone("P4", "Redis trips/message for the ledger", figure.AtMost(1), per(func(t trips) int64 { return t.Ledger })),
		s.alone("P4", "  its commands/message in them", none, per(func(t trips) int64 { return t.LedgerCalls })),
		s.alone("P4", "  all trips/message, asynq's too", none, per(func(t trips) int64 { return t.All })),
		s.beside("P4", "  scripts/message by INFO commandstats", ours, bare, "bare asynq", none, scripts),
	}
}

// alone makes the row of a figure that is compared with its bound only.
func (s series) alone(number, measure string, goal figure.Goal, read func(outcome) float64) figure.Row {
	return figure.Row{
		Number: number, Measure: measure, Ours: figure.Median(s.of(ours, read)),
		Theirs: math.NaN(), Ratio: math.NaN(), Goal: goal,
	}
}
