package gcpercent_test

import (
	"runtime/debug"
	"testing"

	"github.com/wxnotify/wxnotify/internal/gcpercent"
)

func TestGOGCIsTheOperators(t *testing.T) { //nolint:paralleltest // sets the process' garbage collector
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	for gogc, want := range map[string]int{"": gcpercent.Percent, "150": 100, "off": 100} {
		debug.SetGCPercent(100)
		gcpercent.Set(map[string]string{"GOGC": gogc})
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("GOGC=%q: the percentage is %d, want %d", gogc, got, want)
		}
	}
}
