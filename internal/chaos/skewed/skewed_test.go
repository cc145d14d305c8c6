package skewed //nolint:testpackage // skewedNow is put into other packages

import (
	"testing"
	"time"
)

func TestTheWallClockIsOffAndTheMonotonicOneIsRight(t *testing.T) { //nolint:paralleltest // sets the environment
	for text, off := range map[string]time.Duration{"": 0, "600": 10 * time.Minute, "-600": -10 * time.Minute} {
		t.Setenv("CHAOS_CLOCK_SECONDS", text)
		before := time.Now()
		skewed := skewedNow()
		after := time.Now()
		wall := time.Unix(0, skewed.UnixNano())
		if wall.Before(time.Unix(0, before.Add(off).UnixNano())) || wall.After(time.Unix(0, after.Add(off).UnixNano())) {
			t.Errorf("%q: %v between %v and %v", text, wall, before, after)
		}
		if d := skewed.Sub(before); d < 0 || d > after.Sub(before) {
			t.Errorf("%q: %v passed between two readings", text, d)
		}
	}
}
