package main

import (
	"context"
	"math"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
)

// single is P5.
func (l *lab) single(ctx context.Context) ([]figure.Row, error) {
	t := task{Role: "enqueue", Variant: oneByOne, Messages: l.o.messages}
	plain := t
	plain.Variant = oneByOnePlain
	s, err := l.rounds(ctx, l.o.rounds, t, plain)
	if err != nil {
		return nil, err
	}
	return []figure.Row{
		s.beside("P5", "Enqueue/s from 64 goroutines, with records", oneByOne, oneByOnePlain, "asynq Client", figure.AtLeast(1), outcome.rate),
		s.beside("P5", "  client CPU µs/message", oneByOne, oneByOnePlain, "asynq Client", figure.Goal{}, cpuMicros),
		s.beside("P5", "  Redis CPU µs/message", oneByOne, oneByOnePlain, "asynq Client", figure.Goal{}, redisMicros),
	}, nil
}

func cpuMicros(o outcome) float64   { return 1e6 * o.perMessage(o.CPU) }
func redisMicros(o outcome) float64 { return 1e6 * o.perMessage(o.RedisCPU) }

// bulk is P6. Raw calls of the same scripts, made ready beforehand, are the wall:
// they make no message, check nothing and hear no answer but errors.
func (l *lab) bulk(ctx context.Context) ([]figure.Row, error) {
	var tasks []task
	for _, variant := range []string{many, rawRecords, manyTasks, rawTasks} {
		tasks = append(tasks, task{Role: "enqueue", Variant: variant, Messages: 2 * l.o.messages})
	}
	s, err := l.rounds(ctx, l.o.rounds, tasks...)
	if err != nil {
		return nil, err
	}
	return []figure.Row{
		s.beside("P6", "tasks/s by the Enqueuer, without records", manyTasks, rawTasks, "raw EVALSHA", figure.AtLeast(0.7), outcome.rate),
		s.beside("P6", "EnqueueMany/s, with records", many, rawRecords, "raw, both scripts", figure.AtLeast(0.7), outcome.rate),
		s.beside("P6", "  client CPU µs/message", many, rawRecords, "raw, both scripts", figure.Goal{}, cpuMicros),
		s.beside("P6", "  Redis CPU µs/message", many, rawRecords, "raw, both scripts", figure.Goal{}, redisMicros),
	}, nil
}

// million is P7, in one round: it takes long and is its own average.
func (l *lab) million(ctx context.Context) ([]figure.Row, error) {
	n := l.o.many
	s, err := l.rounds(ctx, 1,
		task{Role: "enqueue", Variant: stream, Messages: n}, task{Role: "enqueue", Variant: oneByOnePlain, Messages: n})
	if err != nil {
		return nil, err
	}
	name := figure.Number(float64(n)) + " "
	again := func(o outcome) float64 { return float64(o.Messages) / o.Again }
	peak := func(o outcome) float64 { return float64(o.Peak) / (1 << 20) }
	memory := s.beside("P7", "  most resident MB of the process", stream, oneByOnePlain, "asynq, 64 goroutines", figure.AtMost(64), peak)
	memory.Ratio = math.NaN()
	return []figure.Row{
		s.beside("P7", name+"streamed with records, /s", stream, oneByOnePlain, "asynq, 64 goroutines", figure.AtLeast(1), outcome.rate),
		memory,
		s.beside("P7", "  again, all found as duplicates, /s", stream, oneByOnePlain, "asynq, 64 goroutines", figure.AtLeast(1), again),
	}, nil
}
