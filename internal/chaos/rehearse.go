package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// total is how many messages the long run takes through its scenarios.
const total = 100_000

// rehearse performs the scenarios, some at once, and prints what became of each.
// The error says that the promise did not hold, or that the harness failed.
func rehearse(ctx context.Context, o options, out io.Writer) error {
	chosen, err := choose(o)
	if err != nil {
		return err
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) //nolint:gosec // printed, and repeatable from then on
	}
	dir, err := os.MkdirTemp("", "chaos-build-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	redis.SetLogger(quiet{}) // that connections fail is no news here
	r := &rehearsal{o: o, out: out, builds: newBuilds(dir)}
	r.say("chaos: %d scenarios, seed %d; the same again: go run ./internal/chaos -seed %d", len(chosen), o.seed, o.seed)
	if _, err := r.builds.get(ctx, plainBuild); err != nil {
		return err
	}
	if slices.ContainsFunc(chosen, func(s *scenario) bool { return s.name == "worker-clock" }) {
		go func() { _, _ = r.builds.get(ctx, skewedBuild) }() // takes a minute; others run meanwhile
	}
	began := time.Now()
	results := r.all(ctx, chosen)
	r.say("%d scenarios in %s", len(results), time.Since(began).Round(time.Second))
	if o.report != "" {
		if err := report(o, results, time.Since(began)); err != nil {
			return err
		}
	}
	var failed []string
	for _, x := range results {
		if !x.held() {
			failed = append(failed, x.scenario.name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("the promise was not kept in %s", strings.Join(failed, ", "))
	}
	return context.Cause(ctx)
}

func choose(o options) ([]*scenario, error) {
	var chosen []*scenario
	for _, s := range scenarios() {
		if len(o.faults) == 0 && (o.long || !s.longOnly) || slices.Contains(o.faults, s.name) {
			chosen = append(chosen, s)
		}
	}
	for _, name := range o.faults {
		if !slices.ContainsFunc(chosen, func(s *scenario) bool { return s.name == name }) {
			return nil, fmt.Errorf("-faults %s: no such scenario: -list names them", name)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no scenario")
	}
	return chosen, nil
}

// quiet is go-redis' logger.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

type rehearsal struct {
	o      options
	builds *builds
	mu     sync.Mutex
	out    io.Writer
}

func (r *rehearsal) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.out, format+"\n", args...)
}

// all performs the scenarios and returns their results in their order.
func (r *rehearsal) all(ctx context.Context, chosen []*scenario) []*result {
	parallel := r.o.parallel
	if parallel == 0 {
		parallel = 10
		if r.o.long {
			parallel = 5
		}
	}
	results := make([]*result, len(chosen))
	slots := make(chan struct{}, parallel)
	var group sync.WaitGroup
	for i, s := range chosen {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			results[i] = r.one(ctx, s)
		})
	}
	group.Wait()
	return slices.DeleteFunc(results, func(x *result) bool { return x == nil })
}

func (r *rehearsal) one(ctx context.Context, s *scenario) *result {
	messages, span := s.messages, s.span
	if r.o.long {
		messages, span = (total+len(scenarios())-1)/len(scenarios()), 4*s.span
		s.limit *= 2
	}
	if r.o.messages > 0 {
		messages = r.o.messages
	}
	if r.o.span > 0 {
		span = r.o.span
	}
	st := &stage{scenario: s, seed: seedOf(r.o.seed, s.name), builds: r.builds}
	if r.o.verbose {
		st.talk = func(line string) { r.say("%s", line) }
	}
	x := perform(ctx, st, messages, span)
	x.seed = r.o.seed
	if !x.held() && r.o.keep {
		st.keepLogs()
		x.scene = append(x.scene, "kept: "+st.dir)
	}
	st.close(!x.held() && r.o.keep)
	r.tell(x)
	return x
}

// tell prints a line for what held and everything about what did not.
func (r *rehearsal) tell(x *result) {
	if x.held() {
		r.say("held    %-16s %s", x.scenario.name, x.summary())
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "BROKEN  %-16s %s\n", x.scenario.name, x.summary())
	fmt.Fprintf(&b, "  again: go run ./internal/chaos -seed %d -faults %s", x.seed, x.scenario.name)
	if r.o.long {
		b.WriteString(" -long")
	}
	b.WriteByte('\n')
	if x.err != nil {
		fmt.Fprintf(&b, "  the harness: %v\n", x.err)
	}
	for _, v := range x.violations {
		fmt.Fprintf(&b, "  %s: %s", v.Invariant, v.Detail)
		if len(v.IDs) > 0 {
			fmt.Fprintf(&b, " (%d in all: %s)", len(v.IDs), strings.Join(v.IDs[:min(len(v.IDs), 10)], " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("  the plan:\n")
	for _, s := range x.plan.steps() {
		fmt.Fprintf(&b, "    %s\n", s)
	}
	for _, line := range x.scene {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	r.say("%s", b.String())
}

func (x *result) summary() string {
	t := x.tally
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages, %d faults, %d seen once, %d calls, %d Enqueue errors, settled %.0fs after the last fault, %.0fs in all",
		t.Messages, x.faults, t.SeenOnce, x.calls, x.errors, x.settled.Seconds(), x.took.Seconds())
	for _, part := range []struct {
		n    int
		what string
	}{
		{t.Unknown, "unknown"},
		{t.Rejected, "rejected"},
		{t.Expired, "expired"},
		{t.Cancelled, "cancelled"},
		{t.Dead, "dead"},
		{t.Going, "still scheduled"},
		{t.Forgotten, "acknowledged and lost by Redis"},
		{t.NoTicket, "given up by their caller"},
	} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %d %s", part.n, part.what)
		}
	}
	return b.String()
}
