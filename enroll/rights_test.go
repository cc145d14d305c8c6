package enroll_test

import (
	"testing"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// The roster's scripts run with the rights of docs/redis.md and use only keys that they
// declare.
func TestRosterOnARedisWithFewRights(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Strict(t)
	w := newWorld(t, settings{redis: rdb.Client})
	w.enrolled(w.link("patient-401"), openID)
	if got := w.bound("patient-401"); len(got) != 1 || got[0] != openID {
		t.Errorf("bound %v", got)
	}
	if said, err := w.roster.Bind(t.Context(), binding("patient-402", openID), nil); err != nil || said != enroll.BoundNow {
		t.Errorf("bind: %s %v", said, err)
	}
	if _, err := w.roster.Unbind(t.Context(), "patient-402", openID); err != nil {
		t.Error(err)
	}
}
