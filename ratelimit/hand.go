package ratelimit

import (
	"slices"
	"time"
)

// hand is what a process holds of booked permits, per tier in the order of time.
type hand struct{ permits [2][]Permit }

// deadline is the moment from which p is given back instead of used.
func (p Permit) deadline() time.Time {
	if p.probe > 0 {
		return p.At.Add(probeLinger)
	}
	return p.At.Add(linger)
}

// take pops the earliest permit that serves tier: General's may serve Reserved.
func (h *hand) take(tier Tier) (Permit, bool) {
	from := General
	if tier == Reserved && len(h.permits[Reserved]) > 0 &&
		(len(h.permits[General]) == 0 || h.permits[Reserved][0].At.Before(h.permits[General][0].At)) {
		from = Reserved
	}
	if len(h.permits[from]) == 0 {
		return Permit{}, false
	}
	p := h.permits[from][0]
	h.permits[from] = h.permits[from][1:]
	return p, true
}

// put keeps the order: a permit that comes back is mostly the earliest.
func (h *hand) put(p Permit) {
	of := h.permits[p.Tier]
	i, _ := slices.BinarySearchFunc(of, p, func(a, b Permit) int { return a.At.Compare(b.At) })
	h.permits[p.Tier] = slices.Insert(of, i, p)
}

// stale removes and returns what outlived its slot.
func (h *hand) stale(now time.Time) []Permit {
	var out []Permit
	for tier, of := range h.permits {
		for len(of) > 0 && !now.Before(of[0].deadline()) {
			out = append(out, of[0])
			of = of[1:]
		}
		h.permits[tier] = of
	}
	return out
}

// drop empties the hand.
func (h *hand) drop() []Permit {
	out := slices.Concat(h.permits[General], h.permits[Reserved])
	h.permits = [2][]Permit{}
	return out
}

// next is when the first permit becomes stale; zero with empty hands.
func (h *hand) next() time.Time {
	var at time.Time
	for _, of := range h.permits {
		if len(of) > 0 && (at.IsZero() || of[0].deadline().Before(at)) {
			at = of[0].deadline()
		}
	}
	return at
}

// skew maps Redis' clock to ours by the smallest difference seen of late: an
// answer may come late but never early, so a slot is never due too soon, and
// slow answers do not shift whole blocks.
type skew struct {
	least time.Duration
	since time.Time
}

func (s *skew) see(redis, local time.Time) {
	d := local.Sub(redis)
	if s.since.IsZero() || d < s.least || local.Sub(s.since) > time.Minute {
		s.least, s.since = d, local
	}
}

func (s *skew) local(redis time.Time) time.Time { return redis.Add(s.least) }
