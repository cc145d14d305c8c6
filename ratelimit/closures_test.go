package ratelimit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/ratelimit"
)

func TestClosuresSayWhatHolds(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.FixedZone("", 8*3600))
	frozen := ratelimit.PauseState{Pause: ratelimit.Pause{Reason: ratelimit.ReasonAccount}}
	for name, c := range map[string]struct {
		state ratelimit.State
		want  []ratelimit.Reason
		words string
	}{
		"open":              {ratelimit.State{Trusted: true, Used: 899, Cap: 1000, Reserve: 100}, nil, ""},
		"general share":     {ratelimit.State{Trusted: true, Used: 900, Cap: 1000, Reserve: 100, ResetsAt: midnight}, []ratelimit.Reason{ratelimit.ReasonQuota}, "900 of 1000 used; class critical goes on with 100"},
		"all":               {ratelimit.State{Trusted: true, Used: 1000, Cap: 1000, Reserve: 100, ResetsAt: midnight}, []ratelimit.Reason{ratelimit.ReasonQuota}, "1000 of 1000 used"},
		"count missing":     {ratelimit.State{Cap: 1000}, []ratelimit.Reason{ratelimit.ReasonUnreconciled}, "asks WeChat"},
		"no cap known":      {ratelimit.State{Trusted: true, Used: 5}, nil, ""},
		"pause comes first": {ratelimit.State{Trusted: true, Used: 10, Cap: 10, Pauses: []ratelimit.PauseState{frozen}}, []ratelimit.Reason{ratelimit.ReasonAccount, ratelimit.ReasonQuota}, "10 of 10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.state.Closures()
			if len(got) != len(c.want) {
				t.Fatalf("%d closures, want %v: %+v", len(got), c.want, got)
			}
			for i, r := range c.want {
				if got[i].Reason != r {
					t.Errorf("closure %d is %s, want %s", i, got[i].Reason, r)
				}
			}
			if len(got) == 0 {
				return
			}
			last := got[len(got)-1]
			if !strings.Contains(last.Detail, c.words) {
				t.Errorf("detail %q does not say %q", last.Detail, c.words)
			}
			if last.Reason == ratelimit.ReasonQuota && !last.Until.Equal(c.state.ResetsAt) {
				t.Errorf("until %s, want the reset", last.Until)
			}
		})
	}
}
