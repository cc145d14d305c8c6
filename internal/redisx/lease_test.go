package redisx_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

func TestALeaseIsHeldByOneUntilItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, rdb := redistest.Mini(t)
		first, second := redisx.NewLease("lease", time.Minute), redisx.NewLease("lease", time.Minute)
		for i, step := range []struct {
			lease  redisx.Lease
			after  time.Duration
			holder bool
		}{
			{first, 0, true},
			{second, 0, false},
			{first, 50 * time.Second, true}, // prolongs it
			{second, 50 * time.Second, false},
			{second, 11 * time.Second, true}, // the first has not held it for a minute
			{first, 0, false},
		} {
			m.FastForward(step.after)
			held, err := step.lease.Hold(t.Context(), rdb)
			if err != nil || held != step.holder {
				t.Errorf("%d. held %v, %v, want %v", i, held, err, step.holder)
			}
		}
	})
}
