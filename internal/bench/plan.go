package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
	"github.com/wxnotify/wxnotify/internal/broker"
)

// part measures some goals at once.
type part struct {
	goals []string
	run   func(*lab, context.Context) ([]figure.Row, error)
}

// plan lists the parts in the order of the table.
func plan() []part {
	return []part{
		{[]string{"P1", "P2", "P3", "P4", "P8B"}, (*lab).sending},
		{[]string{"P4B", "P10"}, (*lab).pacing},
		{[]string{"P5"}, (*lab).single},
		{[]string{"P6"}, (*lab).bulk},
		{[]string{"P7"}, (*lab).million},
		{[]string{"P8"}, (*lab).idling},
		{[]string{"P13"}, (*lab).memory},
	}
}

func goalNames() []string {
	var names []string
	for _, p := range plan() {
		names = append(names, p.goals...)
	}
	return names
}

// lab is where the parts run: one Redis and one simulated WeChat.
type lab struct {
	o      options
	redis  string // its URL
	wechat string // its URL
	rdb    redis.UniversalClient
	stderr io.Writer
	runs   int // children so far; part of the messages' IDs
}

// measure runs the parts that are wanted and prints the table.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) error {
	watch, err := newNoise()
	if err != nil {
		return err
	}
	head, rows, err := experiment(ctx, o, stderr)
	if err != nil {
		return err
	}
	notes, err := watch.notes(o) // the servers have ended: their processor time is known now
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, head+"\n"); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := figure.Write(stdout, rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, "\n"+notes); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// experiment starts the servers, runs the parts and ends the servers.
func experiment(ctx context.Context, o options, stderr io.Writer) (head string, rows []figure.Row, err error) {
	redisURL, stopRedis, err := startRedis(ctx)
	if err != nil {
		return "", nil, err
	}
	defer stopRedis()
	wechatURL, stopPlatform, err := startPlatform(ctx, o, stderr)
	if err != nil {
		return "", nil, err
	}
	defer stopPlatform()
	rdb, err := broker.Dial(redisURL)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = rdb.Close() }()
	if head, err = machine(ctx, rdb, o); err != nil {
		return "", nil, err
	}
	rows, err = (&lab{o: o, redis: redisURL, wechat: wechatURL, rdb: rdb, stderr: stderr}).parts(ctx)
	return head, rows, err
}

func (l *lab) parts(ctx context.Context) ([]figure.Row, error) {
	var rows []figure.Row
	for _, p := range plan() {
		if len(l.o.only) > 0 && !slices.ContainsFunc(p.goals, func(g string) bool { return slices.Contains(l.o.only, g) }) {
			continue
		}
		from := time.Now()
		_, _ = fmt.Fprintf(l.stderr, "%v … ", p.goals)
		more, err := p.run(l, ctx)
		if err != nil {
			_, _ = fmt.Fprintln(l.stderr)
			return nil, fmt.Errorf("%v: %w", p.goals, err)
		}
		_, _ = fmt.Fprintf(l.stderr, "%s\n", time.Since(from).Round(100*time.Millisecond))
		rows = append(rows, more...)
	}
	if len(l.o.only) > 0 {
		rows = slices.DeleteFunc(rows, func(r figure.Row) bool { return !slices.Contains(l.o.only, r.Number) })
	}
	return rows, nil
}

// prefix of the IDs of one more child, so that no message is another's repetition.
func (l *lab) prefix() string {
	l.runs++
	return fmt.Sprintf("r%03d", l.runs)
}

// child runs t against the lab's Redis and WeChat.
func (l *lab) child(ctx context.Context, t task) (outcome, error) {
	t.Redis, t.WeChat, t.Latency, t.Profile = l.redis, l.wechat, l.o.latency, l.o.profile
	if t.Prefix == "" {
		t.Prefix = l.prefix()
	}
	return child(ctx, t, l.stderr)
}

// rounds runs the tasks in turn, round for round, each beginning with an empty
// Redis, and returns the outcomes by variant. Every other round runs backwards,
// so that no variant always follows the same one.
func (l *lab) rounds(ctx context.Context, n int, tasks ...task) (series, error) {
	all := series{}
	for round := range n {
		order := slices.Clone(tasks)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, t := range order {
			t.Prefix = l.prefix()
			if err := l.prepare(ctx, t); err != nil {
				return nil, err
			}
			out, err := l.child(ctx, t)
			if err != nil {
				return nil, err
			}
			all[t.Variant] = append(all[t.Variant], out)
		}
	}
	return all, nil
}

// prepare empties Redis, and fills it for a child that sends.
func (l *lab) prepare(ctx context.Context, t task) error {
	if t.Role == "send" {
		return fill(ctx, l.rdb, t.Prefix, t.Messages, t.Variant == ours)
	}
	if err := l.rdb.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty redis: %w", err)
	}
	return nil
}

// series are outcomes by variant, in the order of the rounds.
type series map[string][]outcome

// of reads one figure of each round.
func (s series) of(variant string, read func(outcome) float64) []float64 {
	var values []float64
	for _, o := range s[variant] {
		values = append(values, read(o))
	}
	return values
}

// beside makes the row of a figure of two variants.
func (s series) beside(number, measure, a, b, with string, goal figure.Goal, read func(outcome) float64) figure.Row {
	x, y := s.of(a, read), s.of(b, read)
	return figure.Row{
		Number: number, Measure: measure, Ours: figure.Median(x), With: with, Theirs: figure.Median(y),
		Ratio: figure.Ratio(x, y), Goal: goal,
	}
}
