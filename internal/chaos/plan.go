package main

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// fault is one thing that goes wrong, and how it is mended.
type fault interface {
	String() string
	begin(ctx context.Context, s *stage) error
	end(ctx context.Context, s *stage) error
}

// between is a range of durations.
type between struct{ from, to time.Duration }

func (b between) draw(dice *rand.Rand) time.Duration {
	if b.to <= b.from {
		return b.from
	}
	return b.from + time.Duration(dice.Int64N(int64(b.to-b.from)))
}

// trouble is a kind of fault that comes again and again.
type trouble struct {
	make  func(dice *rand.Rand) fault
	first between // from the start to the first one
	hold  between // how long each lasts
	gap   between // from the end of one to the next
	times int     // at most; 0: until the span is over
}

// step is one fault of a plan.
type step struct {
	at, hold time.Duration
	fault    fault
}

func (s step) String() string {
	return fmt.Sprintf("at %5.1fs for %4.1fs: %s", s.at.Seconds(), s.hold.Seconds(), s.fault)
}

// plan is what goes wrong in a scenario, one timeline per kind of trouble, so
// that kinds overlap and one kind does not with itself.
type plan [][]step

// newPlan draws the faults of span: the same for the same seed.
func newPlan(seed uint64, troubles []trouble, span time.Duration) plan {
	p := make(plan, len(troubles))
	for i, t := range troubles {
		dice := rand.New(rand.NewPCG(seed, uint64(100+i))) //nolint:gosec // the faults are to be repeatable
		at := t.first.draw(dice)
		for n := 0; at < span && (t.times == 0 || n < t.times); n++ {
			s := step{at: at, hold: t.hold.draw(dice), fault: t.make(dice)}
			p[i] = append(p[i], s)
			at += s.hold + t.gap.draw(dice)
		}
	}
	return p
}

// steps lists all in the order of their beginning.
func (p plan) steps() []step {
	all := slices.Concat(p...)
	slices.SortStableFunc(all, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return all
}

// seedOf is a scenario's own seed, so that it can be run again alone.
func seedOf(seed uint64, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return seed ^ h.Sum64()
}
