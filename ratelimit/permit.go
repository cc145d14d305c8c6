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

// Permit is leave to fetch and send one message on one day.
type Permit struct {
	At   time.Time // not before this moment, and at most a second after it
	Tier Tier      // the share that it came from
	Day  int64     // the quota day: days since 1970 where the day turns

	dayEnds time.Time // from here on a call may reach WeChat on the next day
	lease   string    // of its block, names it when it is returned
	probe   int64     // end of the probe's lease, ms of Redis' clock; 0: no probe
	booked  int64     // when it was booked, us of Redis' clock
	gen     uint64    // Gate.permitGen when it was booked
}

const (
	slotGrace  = time.Second      // a permit may be used this long after its slot
	probeGrace = 29 * time.Second // a probe's lease is 30 s
	dayMargin  = time.Second      // no call begins this close to the end of its day
)

// Probe reports whether p is the one permit of a half-open gate: what becomes of
// its message decides, by Succeed or Close, for all processes.
func (p Permit) Probe() bool { return p.probe > 0 }

// Expired reports whether it is too late at now to begin with p: its slot passed
// a second ago (a probe's 29 s ago), or its day is over. Return it then.
func (p Permit) Expired(now time.Time) bool {
	return !p.At.IsZero() && !now.Before(p.deadline())
}

// DayOver reports whether a call that begins at now may reach WeChat after the
// end of the day that p was booked on. It must not be made: it would count on
// the next day.
func (p Permit) DayOver(now time.Time) bool { return !p.dayEnds.IsZero() && !now.Before(p.dayEnds) }

// deadline is the moment from which p is returned instead of used.
func (p Permit) deadline() time.Time {
	at := p.At.Add(slotGrace)
	if p.probe > 0 {
		at = p.At.Add(probeGrace)
	}
	if !p.dayEnds.IsZero() && p.dayEnds.Before(at) {
		return p.dayEnds
	}
	return at
}

// permitCache holds the booked permits of a process in order of time.
type permitCache []Permit

// take removes the earliest permit that serves tier: General's may serve Reserved.
func (c *permitCache) take(tier Tier) (Permit, bool) {
	i := slices.IndexFunc(*c, func(p Permit) bool { return p.Tier == General || tier == Reserved })
	if i < 0 {
		return Permit{}, false
	}
	p := (*c)[i]
	if i == 0 {
		*c = (*c)[1:]
	} else {
		*c = slices.Delete(*c, i, i+1)
	}
	return p, true
}

// put keeps the order: a permit that comes back is mostly the earliest.
func (c *permitCache) put(p Permit) {
	i, _ := slices.BinarySearchFunc(*c, p, func(a, b Permit) int { return a.At.Compare(b.At) })
	*c = slices.Insert(*c, i, p)
}

// removeExpired removes and returns the permits that have expired.
func (c *permitCache) removeExpired(now time.Time) []Permit {
	n := 0
	for n < len(*c) && (*c)[n].Expired(now) {
		n++
	}
	expired := (*c)[:n:n]
	*c = (*c)[n:]
	return expired
}

// nextExpiry is when the first permit expires; zero when the cache is empty.
func (c *permitCache) nextExpiry() time.Time {
	if len(*c) == 0 {
		return time.Time{}
	}
	return (*c)[0].deadline()
}

// skew maps Redis' clock to ours by the smallest difference seen in the last
// minute: a reply may come late but never early, so a slot is never due too
// soon, and slow replies do not shift whole blocks.
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
