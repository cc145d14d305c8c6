package worker

import (
	"sync"
	"time"
)

const (
	breakerWindow  = 30 * time.Second
	breakerBuckets = 10
	// breakerCalls and breakerShare: of so many calls in the window, so many failed.
	breakerCalls = 20
	breakerShare = 0.5
	// breakerRow and breakerRowFor: where few messages are sent, the row of
	// failures since the last success says the same.
	breakerRow    = 5
	breakerRowFor = 10 * time.Second
)

// breaker tells an outage of WeChat from the failures of single calls. What
// follows (closing the gate, probing, ramping up) is the gate's.
type breaker struct {
	mu      sync.Mutex
	buckets [breakerBuckets]bucket
	row     int
	rowFrom time.Time
	open    bool
}

// bucket counts the calls of a part of the window.
type bucket struct {
	part       int64 // which part of time, counted in bucket lengths
	calls, bad int
}

// note counts a call and reports whether WeChat is down.
func (b *breaker) note(bad bool, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(bad, now)
	if !bad {
		b.row, b.open = 0, false
		return false
	}
	if b.row == 0 {
		b.rowFrom = now
	}
	b.row++
	if b.open || b.mostFail(now) || b.noneSucceeds(now) {
		b.open = true
	}
	return b.open
}

func (b *breaker) count(bad bool, now time.Time) {
	part := now.UnixNano() / int64(breakerWindow/breakerBuckets)
	at := &b.buckets[part%breakerBuckets]
	if at.part != part {
		*at = bucket{part: part}
	}
	at.calls++
	if bad {
		at.bad++
	}
}

func (b *breaker) mostFail(now time.Time) bool {
	oldest := now.Add(-breakerWindow).UnixNano() / int64(breakerWindow/breakerBuckets)
	calls, bad := 0, 0
	for _, at := range b.buckets {
		if at.part > oldest {
			calls, bad = calls+at.calls, bad+at.bad
		}
	}
	return calls >= breakerCalls && float64(bad) >= breakerShare*float64(calls)
}

func (b *breaker) noneSucceeds(now time.Time) bool {
	return b.row >= breakerRow && now.Sub(b.rowFrom) >= breakerRowFor
}

// reset forgets the outage's failures, which would open the breaker again with
// the first hiccup after it.
func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buckets = [breakerBuckets]bucket{}
	b.row, b.open = 0, false
}
