package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
)

// result of one scenario.
type result struct {
	scenario   *scenario
	seed       uint64 // of the run, as -seed takes it
	messages   int
	plan       plan
	took       time.Duration
	settled    time.Duration // after the last Enqueue and the last fault
	tally      verdict.Tally
	violations []verdict.Violation
	calls      int64
	faults     int
	errors     int // of Enqueue, each repeated
	scene      []string
	err        error // of the harness
}

func (r *result) held() bool { return r.err == nil && len(r.violations) == 0 }

// perform plays one scenario from its first process to its verdict.
func perform(ctx context.Context, s *stage, messages int, span time.Duration) (r *result) {
	s.messages = messages
	r = &result{scenario: s.scenario, messages: messages}
	s.began = time.Now()
	defer func() { r.took = time.Since(s.began) }()
	if err := s.set(ctx); err != nil {
		r.err = err
		r.scene = s.scene()
		return r
	}
	s.began = time.Now()
	r.plan = newPlan(s.seed, s.scenario.troubles, span)
	s.note("enqueueing %d messages over %s", messages, span)
	if err := s.play(ctx, r, errands(s.seed, messages), span); err != nil {
		r.err = err
		r.scene = s.scene()
		return r
	}
	s.note("the last fault is over and every caller has its answer")
	over := time.Now()
	settled := s.settle(ctx)
	r.settled = time.Since(over)
	s.note("settled: %v", settled)
	evidence, err := s.gather(ctx)
	if err != nil {
		r.err = err
		r.scene = s.scene()
		return r
	}
	r.calls, r.errors = evidence.Calls, s.load.errors
	r.tally, r.violations = verdict.Judge(evidence)
	if !r.held() {
		r.scene = append(s.scene(), s.witnesses(ctx, r.violations)...)
	}
	return r
}

// play enqueues and breaks, until the span is over, everything is mended and
// every caller has its answer.
func (s *stage) play(ctx context.Context, r *result, list []errand, span time.Duration) error {
	start := time.Now()
	beside, stop := context.WithCancel(ctx)
	defer stop()
	var aside sync.WaitGroup
	if s.scenario.forgets {
		aside.Go(func() { barriers(beside, s.scenario.redis, s.direct, s.load) })
	}
	errs := make([]error, len(r.plan)+1)
	var group sync.WaitGroup
	for i, line := range r.plan {
		group.Go(func() { errs[i] = s.suffer(ctx, line, start, span) })
	}
	if s.scenario.newer {
		group.Go(func() { errs[len(r.plan)] = s.enqueueNewer(ctx, list) })
	}
	group.Go(func() { s.load.run(ctx, list, span) })
	group.Go(func() {
		pause(ctx, span/2) // at work, with its connections open
		for _, h := range s.crew {
			h.begin(ctx)
		}
	})
	group.Wait()
	s.load.messages = append(s.load.messages, s.newer...)
	s.tending.Wait()
	if s.scenario.forgets {
		pause(ctx, 4*barrierEvery) // the last messages may be confirmed too
	}
	stop()
	aside.Wait()
	for _, line := range r.plan {
		r.faults += len(line)
	}
	return errors.Join(errors.Join(errs...), context.Cause(ctx))
}

// suffer has the faults of one timeline begin and end.
func (s *stage) suffer(ctx context.Context, line []step, start time.Time, span time.Duration) error {
	for _, step := range line {
		pause(ctx, time.Until(start.Add(step.at)))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.note("begins: %s", step.fault)
		if err := step.fault.begin(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", step.fault, err)
		}
		hold := step.hold
		if hold == time.Hour { // for as long as messages come
			hold = max(0, span-time.Since(start))
		}
		pause(ctx, hold)
		if err := step.fault.end(ctx, s); err != nil {
			return fmt.Errorf("end of %s: %w", step.fault, err)
		}
		s.note("ends: %s", step.fault)
	}
	return nil
}
