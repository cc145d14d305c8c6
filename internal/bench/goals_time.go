package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
)

const (
	paceRate        = 1000 // sends a second, all processes together
	paceProcesses   = 4
	paceSpan        = 8 * time.Second
	idleBareSamples = 15 // of asynq, which take half a second each
)

// pacing is P4b and P10: several processes share one rate.
func (l *lab) pacing(ctx context.Context) ([]figure.Row, error) {
	prefix := l.prefix()
	if err := fill(ctx, l.rdb, prefix, paceRate*int(paceSpan/time.Second+2), true); err != nil {
		return nil, err
	}
	outs := make([]outcome, paceProcesses)
	var g errgroup.Group
	for i := range outs {
		g.Go(func() error {
			var err error
			outs[i], err = l.child(ctx, task{Role: "pace", Variant: ours, Prefix: prefix, InFlight: 200, Rate: paceRate, Span: paceSpan})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("pace: %w", err)
	}
	perSecond := map[int64]int{}
	var sent, calls int64
	for _, o := range outs {
		sent += int64(o.Messages)
		calls += o.Trips.GateCalls
		for second, n := range o.PerSecond {
			perSecond[second] += n
		}
	}
	gone, err := l.quotaGone(ctx)
	if err != nil {
		return nil, err
	}
	none := math.NaN()
	return []figure.Row{
		gone,
		{
			Number: "P4B", Measure: "gate calls/permit while the rate throttles", Ours: float64(calls) / float64(sent),
			Theirs: none, Ratio: none, Goal: figure.AtMost(0.15),
		},
		{
			Number: "P10", Measure: fmt.Sprintf("worst second off %d/s, %%, %d processes", paceRate, paceProcesses),
			Ours: worst(perSecond, paceRate), Theirs: none, Ratio: none, Goal: figure.AtMost(3),
		},
	}, nil
}

const (
	goneSpan  = 4 * time.Second
	goneQuota = 100 // calls of the day, all used up when the span begins to count
	goneFill  = 1000
)

// quotaGone is the second half of P4b: what a worker takes off a queue that may
// not be sent any more. The quota's own messages do not count.
func (l *lab) quotaGone(ctx context.Context) (figure.Row, error) {
	t := task{Role: "pace", Variant: ours, Prefix: l.prefix(), InFlight: 200, Rate: paceRate, Span: goneSpan, Quota: goneQuota}
	if err := fill(ctx, l.rdb, t.Prefix, goneFill, true); err != nil {
		return figure.Row{}, err
	}
	if _, err := l.child(ctx, t); err != nil {
		return figure.Row{}, err
	}
	left, err := l.rdb.LLen(ctx, "asynq:{"+broker.Queue(appID, job.Default)+"}:pending").Result()
	if err != nil {
		return figure.Row{}, fmt.Errorf("redis: %w", err)
	}
	taken := max(0, goneFill-goneQuota-int(left))
	return figure.Row{
		Number: "P4B", Measure: "messages/s taken off the queue while the quota is gone", Ours: float64(taken) / goneSpan.Seconds(),
		Theirs: math.NaN(), Ratio: math.NaN(), Goal: figure.AtMost(0),
	}, nil
}

// worst is how far the sends of a whole second were off the rate, in percent.
// The first two seconds, in which processes start, and the last do not count.
func worst(perSecond map[int64]int, rate float64) float64 {
	seconds := slices.Sorted(maps.Keys(perSecond))
	if len(seconds) < 4 {
		return math.NaN()
	}
	var off float64
	for second := seconds[0] + 2; second < seconds[len(seconds)-1]; second++ {
		off = max(off, 100*math.Abs(float64(perSecond[second])-rate)/rate)
	}
	return off
}

// idling is P8: each waits for a message now and then and has nothing else to do.
func (l *lab) idling(ctx context.Context) ([]figure.Row, error) {
	if err := l.empty(ctx); err != nil {
		return nil, err
	}
	out, err := l.child(ctx, task{Role: "idle", Variant: ours, Messages: l.o.samples, InFlight: 64})
	if err != nil {
		return nil, err
	}
	if err := l.empty(ctx); err != nil {
		return nil, err
	}
	plain, err := l.child(ctx, task{Role: "idle", Variant: bare, Messages: idleBareSamples})
	if err != nil {
		return nil, err
	}
	row := func(measure string, share float64, goal figure.Goal) figure.Row {
		return figure.Row{
			Number: "P8", Measure: measure, Ours: figure.Percentile(out.Latencies, share),
			With: "asynq as it comes", Theirs: figure.Percentile(plain.Latencies, share), Ratio: math.NaN(), Goal: goal,
		}
	}
	return []figure.Row{
		row("Enqueue to wire when idle, p50, ms", 0.5, figure.Goal{}),
		row(fmt.Sprintf("  p99 of %d, ms", l.o.samples), 0.99, figure.AtMost(50)),
	}, nil
}

// memory is P13.
func (l *lab) memory(ctx context.Context) ([]figure.Row, error) {
	n := l.o.messages
	weigh := func() (float64, error) { return usedMemory(ctx, l.rdb) }
	if err := l.empty(ctx); err != nil {
		return nil, err
	}
	empty, err := weigh()
	if err != nil {
		return nil, err
	}
	prefix := l.prefix()
	if err := fill(ctx, l.rdb, prefix, n, false); err != nil {
		return nil, err
	}
	tasks, err := weigh()
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, l.rdb, prefix, n, true); err != nil {
		return nil, err
	}
	queued, err := weigh()
	if err != nil {
		return nil, err
	}
	t := task{Role: "send", Variant: ours, Prefix: prefix, Messages: n, Warm: n / 4, InFlight: min(l.o.inFlight, 200)}
	if _, err := l.child(ctx, t); err != nil {
		return nil, err
	}
	accepted, err := weigh()
	if err != nil {
		return nil, err
	}
	if err := forgetAwaited(ctx, l.rdb); err != nil {
		return nil, err
	}
	ended, err := weigh()
	if err != nil {
		return nil, err
	}
	none := math.NaN()
	return []figure.Row{
		{
			Number: "P13", Measure: "bytes in Redis/queued message beyond asynq's", Ours: (queued - tasks) / float64(n),
			With: "asynq's own", Theirs: (tasks - empty) / float64(n), Ratio: none, Goal: figure.AtMost(350),
		},
		{
			Number: "P13", Measure: "bytes in Redis/accepted message, the rest of its 72 h", Ours: (ended - empty) / float64(n),
			Theirs: none, Ratio: none, Goal: figure.AtMost(350),
		},
		{
			Number: "P13", Measure: "  while its receipt is awaited, up to 25 h", Ours: (accepted - empty) / float64(n),
			Theirs: none, Ratio: none,
		},
	}, nil
}

// forgetAwaited deletes what waits for an accepted message's receipt, as it ends by
// itself after the receipt or after a day: the index of msgids, what is under way to
// each recipient, whose receipt is awaited, and payloads that may be sent again.
func forgetAwaited(ctx context.Context, rdb redis.UniversalClient) error {
	const prefix = "wxn:{" + appID + "}:"
	list := []string{prefix + "await"}
	for _, part := range []string{"i:", "a:", "p:"} {
		keys := rdb.Scan(ctx, 0, prefix+part+"*", 1000).Iterator()
		for keys.Next(ctx) {
			list = append(list, keys.Val())
		}
		if err := keys.Err(); err != nil {
			return fmt.Errorf("redis: forget what is awaited: %w", err)
		}
	}
	if err := rdb.Del(ctx, list...).Err(); err != nil {
		return fmt.Errorf("redis: forget what is awaited: %w", err)
	}
	return nil
}
