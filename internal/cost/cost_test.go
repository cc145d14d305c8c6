package cost_test

import (
	"os"
	"testing"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestCPUTimeOfThisProcessAndOfRedisGrows(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	before, err := cost.Read(t.Context(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		now, err := cost.Read(t.Context(), rdb) // reading takes CPU time
		if err != nil {
			t.Fatal(err)
		}
		if now.Process > before.Process+0.01 && now.Redis > before.Redis {
			return
		}
	}
	t.Error("the CPU time does not grow")
}

// miniredis has no section cpu.
func TestAServerThatDoesNotTellItsCPUTimeIsAnError(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	if used, err := cost.Read(t.Context(), rdb); err == nil {
		t.Errorf("read %+v", used)
	}
}

func TestMemoryIsInBytes(t *testing.T) {
	t.Parallel()
	r, err := cost.Memory()
	if err != nil || r.Now < 1<<20 || r.Most < r.Now || r.Most > 1<<40 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTheMachineIsBusyAsThisProcessIs(t *testing.T) {
	t.Parallel()
	before, err := cost.Machine()
	if err != nil {
		t.Fatal(err)
	}
	process := func() float64 {
		used, err := cost.Process(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	for from, used := process(), 0.0; used < from+0.1; {
		used = process() // which takes CPU time
	}
	after, err := cost.Machine()
	if err != nil {
		t.Fatal(err)
	}
	if busy := after.Busy - before.Busy; busy < 0.05 || after.Idle < before.Idle {
		t.Errorf("busy for %v s while this process was for 0.1, idle %v before and %v after", busy, before.Idle, after.Idle)
	}
}

func TestAProcessThatDoesNotExistIsAnError(t *testing.T) {
	t.Parallel()
	if used, err := cost.Process(1 << 30); err == nil {
		t.Errorf("read %v", used)
	}
}
