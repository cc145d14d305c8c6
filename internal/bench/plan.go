package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
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
		{[]string{"P0"}, (*lab).instant},
		{[]string{"P1", "P2", "P3", "P4", "P8B"}, (*lab).sending},
		{[]string{"P1N"}, (*lab).processes},
		{[]string{"P4B", "P10"}, (*lab).pacing},
		{[]string{"P5"}, (*lab).single},
		{[]string{"P6"}, (*lab).bulk},
		{[]string{"P7"}, (*lab).million},
		{[]string{"P8"}, (*lab).idling},
		{[]string{"P9", "P14"}, (*lab).deep},
		{[]string{"P11"}, (*lab).distant},
		{[]string{"P12"}, (*lab).accounts},
		{[]string{"P13"}, (*lab).memory},
		{[]string{"P15"}, (*lab).callbacks},
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
	far    string // the URL of the same Redis a millisecond away
	wechat string // its URL
	quick  string // the URL of a WeChat that answers at once
	rdb    redis.UniversalClient
	stderr io.Writer
	runs   *int // children so far; part of the messages' IDs
}

// measure runs the parts that are wanted and prints the table.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) error {
	watch, err := newNoise()
	if err != nil {
		return err
	}
	found, err := experiment(ctx, o, stderr)
	if err != nil {
		return err
	}
	notes, err := watch.notes(o) // the servers have ended: their processor time is known now
	if err != nil {
		return err
	}
	text, err := report(o, found, notes)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if o.doc != "" {
		if err := os.WriteFile(o.doc, []byte(text), 0o644); err != nil { //nolint:gosec // for all to read
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// findings are what an experiment brought.
type findings struct {
	head     string
	rows     []figure.Row
	profiles string
}

// experiment starts the servers, runs the parts and ends the servers.
func experiment(ctx context.Context, o options, stderr io.Writer) (found findings, err error) {
	l := &lab{o: o, stderr: stderr, runs: new(int)}
	stop, err := l.start(ctx)
	defer stop()
	if err != nil {
		return found, err
	}
	if l.rdb, err = broker.Dial(l.redis); err != nil {
		return found, err
	}
	defer func() { _ = l.rdb.Close() }()
	if found.head, err = machine(ctx, l.rdb, o); err != nil {
		return found, err
	}
	if found.rows, err = l.parts(ctx); err == nil && o.doc != "" {
		found.profiles, err = l.profiles(ctx)
	}
	return found, err
}

// start starts the servers; stop ends those that run, also after an error.
func (l *lab) start(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, end := range slices.Backward(stops) {
			end()
		}
	}
	url, end, err := startRedis(ctx)
	if err != nil {
		return stop, err
	}
	stops, l.redis = append(stops, end), url
	for _, server := range []struct {
		url *string
		t   task
	}{
		{&l.wechat, task{Role: "platform", Latency: l.o.latency}},
		{&l.quick, task{Role: "platform"}},
		{&l.far, task{Role: "delay", Redis: l.redis, Latency: far}},
	} {
		if *server.url, end, err = startServer(ctx, server.t, l.stderr); err != nil {
			return stop, err
		}
		stops = append(stops, end)
	}
	return stop, nil
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
	*l.runs++
	return fmt.Sprintf("r%03d", *l.runs)
}

// child runs t against the lab's Redis and WeChat.
func (l *lab) child(ctx context.Context, t task) (outcome, error) {
	t.Latency, t.Profile = l.o.latency, l.o.profile
	if t.Redis == "" {
		t.Redis = l.redis
	}
	if t.WeChat == "" {
		t.WeChat = l.wechat
	}
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
	if t.Role == "send" || t.Variant == floorRedis {
		return fill(ctx, l.rdb, t.Prefix, t.Messages, strings.HasPrefix(t.Variant, ours))
	}
	return l.empty(ctx)
}

func (l *lab) empty(ctx context.Context) error {
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
