package redisx_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

func TestStateOfAClusterIsTheWorstOfEachNode(t *testing.T) {
	t.Parallel()
	good := redisx.ParseState("used_memory:70\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrdb_last_bgsave_status:ok\r\ntotal_system_memory:1000\r\n")
	fuller := redisx.State{Used: 75, Max: 100, Policy: "noeviction"}
	bad := redisx.ParseState("used_memory:10\r\nmaxmemory:0\r\ntotal_system_memory:1000\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\naof_last_write_status:err\r\n")
	late := redisx.State{Used: 1, Max: 100, Ahead: -time.Minute, Unsure: time.Second}
	want := redisx.State{
		Used: 75, Max: 100, Policy: "allkeys-lru", NoAOF: true, NotSaved: "aof_last_write_status:err", Ahead: -time.Minute, Unsure: time.Second,
	}
	for _, order := range [][]redisx.State{{good, fuller, bad, late}, {late, bad, fuller, good}, {bad, good, late, fuller}} {
		if diff := cmp.Diff(want, redisx.Worst(order...)); diff != "" {
			t.Error(diff)
		}
	}
	for name, c := range map[string]struct {
		s                    redisx.State
		full, evicts, clocks bool
		room                 int64
	}{
		"good":     {good, false, false, false, 5},
		"fuller":   {fuller, true, false, false, 0},
		"no limit": {bad, false, true, false, 740},
		"late":     {late, false, false, true, 74},
		"unsure":   {redisx.State{Ahead: time.Minute, Unsure: 51 * time.Second}, false, false, false, 0},
	} {
		if c.s.Full() != c.full || c.s.Evicts() != c.evicts || c.s.WrongClock() != c.clocks || c.s.Room() != c.room {
			t.Errorf("%s: full %v, evicts %v, clock %v, room %d", name, c.s.Full(), c.s.Evicts(), c.s.WrongClock(), c.s.Room())
		}
	}
}

func TestReadStateOfAServer(t *testing.T) {
	t.Parallel()
	s, err := redisx.ReadState(t.Context(), redistest.Start(t).Client(t))
	if err != nil || s.Used == 0 || s.Machine == 0 || s.Policy != "noeviction" || !s.NoAOF || s.WrongClock() {
		t.Errorf("%+v, %v", s, err)
	}
}

// A node without maxmemory never refuses, so it must not hide one that does, in whatever
// order they answer.
func TestAFullNodeOfAClusterIsNotHidden(t *testing.T) {
	t.Parallel()
	full := redisx.State{Used: 80, Max: 100, Machine: 1000}
	unlimited := redisx.State{Used: 900, Machine: 1000}
	for _, nodes := range [][]redisx.State{{full, unlimited}, {unlimited, full}} {
		if s := redisx.Worst(nodes...); !s.Full() {
			t.Errorf("%+v of %+v is not full", s, nodes)
		}
	}
}
