package ratelimit

import (
	"slices"
	"time"
)

// Tier says which share of the quota a permit may come from.
type Tier int

// The tiers: Reserved may use the whole quota, General leaves the reserve alone.
const (
	General Tier = iota
	Reserved
)

// Permit is leave to fetch and send one message.
type Permit struct {
	At   time.Time // not before this moment, and at most a second after it
	Tier Tier      // the share that it came from
	Day  int64     // the day it counts on: days since 1970 where the day turns

	lease string // the block's, names it when it goes back
	probe int64  // end of the probe's lease in ms of Redis' clock; 0: no probe
	gen   uint64 // which Close it has survived
}

// Probe reports whether p is the one permit of a half-open gate: what becomes of
// its message decides, by Succeed or Close, for all processes.
func (p Permit) Probe() bool { return p.probe > 0 }

// permitCache is what a process holds of booked permits, per tier in the order of time.
type permitCache struct{ permits [2][]Permit }

// deadline is the moment from which p is given back instead of used.
func (p Permit) deadline() time.Time {
	if p.probe > 0 {
		return p.At.Add(probeGrace)
	}
	return p.At.Add(slotGrace)
}

// take pops the earliest permit that serves tier: General's may serve Reserved.
func (c *permitCache) take(tier Tier) (Permit, bool) {
	from := General
	if tier == Reserved && len(c.permits[Reserved]) > 0 &&
		(len(c.permits[General]) == 0 || c.permits[Reserved][0].At.Before(c.permits[General][0].At)) {
		from = Reserved
	}
	if len(c.permits[from]) == 0 {
		return Permit{}, false
	}
	p := c.permits[from][0]
	c.permits[from] = c.permits[from][1:]
	return p, true
}

// put keeps the order: a permit that comes back is mostly the earliest.
func (c *permitCache) put(p Permit) {
	of := c.permits[p.Tier]
	i, _ := slices.BinarySearchFunc(of, p, func(a, b Permit) int { return a.At.Compare(b.At) })
	c.permits[p.Tier] = slices.Insert(of, i, p)
}

// stale removes and returns what outlived its slot.
func (c *permitCache) stale(now time.Time) []Permit {
	var out []Permit
	for tier, of := range c.permits {
		for len(of) > 0 && !now.Before(of[0].deadline()) {
			out = append(out, of[0])
			of = of[1:]
		}
		c.permits[tier] = of
	}
	return out
}

// drop empties the cache.
func (c *permitCache) drop() []Permit {
	out := slices.Concat(c.permits[General], c.permits[Reserved])
	c.permits = [2][]Permit{}
	return out
}

// next is when the first permit becomes stale; zero when the cache is empty.
func (c *permitCache) next() time.Time {
	var at time.Time
	for _, of := range c.permits {
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

func (s *skew) observe(redis, local time.Time) {
	d := local.Sub(redis)
	if s.since.IsZero() || d < s.least || local.Sub(s.since) > time.Minute {
		s.least, s.since = d, local
	}
}

func (s *skew) toLocal(redis time.Time) time.Time { return redis.Add(s.least) }
