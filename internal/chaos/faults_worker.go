package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
)

// oneOf draws a worker of the crew of two; the faults name it by its place.
func oneOf(of func(place int) fault) func(*rand.Rand) fault {
	return func(dice *rand.Rand) fault { return of(dice.IntN(2)) }
}

// workerKilled is SIGKILL; its successor starts when the fault ends.
type workerKilled struct{ place int }

func (f workerKilled) String() string {
	return fmt.Sprintf("SIGKILL worker-%d, then a new one", f.place)
}

func (f workerKilled) begin(_ context.Context, s *stage) error {
	s.crew[f.place].kill()
	return nil
}

func (f workerKilled) end(ctx context.Context, s *stage) error {
	return s.restart(ctx, s.crew[f.place])
}

// workerStopped is SIGSTOP: the process stands still, with what it has in hand.
type workerStopped struct{ place int }

func (f workerStopped) String() string {
	return fmt.Sprintf("SIGSTOP worker-%d, then SIGCONT", f.place)
}

func (f workerStopped) begin(_ context.Context, s *stage) error {
	return s.crew[f.place].signal(syscall.SIGSTOP)
}

func (f workerStopped) end(_ context.Context, s *stage) error {
	return s.crew[f.place].signal(syscall.SIGCONT)
}

// workerReplaced is an upgrade: SIGTERM, drained, and a new one.
type workerReplaced struct {
	place int
	build string // of the new one
}

func (f workerReplaced) String() string {
	return fmt.Sprintf("SIGTERM worker-%d, then %s in its place", f.place, f.build)
}

func (f workerReplaced) begin(_ context.Context, s *stage) error {
	if said := s.crew[f.place].finish(); said != "" {
		return errors.New(said)
	}
	return nil
}

func (f workerReplaced) end(ctx context.Context, s *stage) error {
	s.crew[f.place].build = f.build
	return s.restart(ctx, s.crew[f.place])
}
