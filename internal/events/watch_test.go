package events_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

type gate struct {
	mu    sync.Mutex
	state ratelimit.State
}

func (g *gate) State(context.Context) (ratelimit.State, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.state
	s.Pauses = slices.Clone(s.Pauses)
	return s, nil
}

// Two processes watch; each change is written once, within seconds.
func TestWatchTellsOfPausesAndTheQuotaOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l, g := open(t, rdb), &gate{state: ratelimit.State{Trusted: true, Day: "2026-11-26", Cap: 1000, Reserve: 20}}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{}, 2)
		for range 2 {
			go func() {
				events.Watch{Gate: g, Records: l}.Run(ctx)
				done <- struct{}{}
			}()
		}
		pauses := func(reasons ...ratelimit.Reason) {
			g.state.Pauses = nil
			for _, r := range reasons {
				g.state.Pauses = append(g.state.Pauses, ratelimit.PauseState{Pause: ratelimit.Pause{Reason: r}})
			}
		}
		for _, change := range []func(){
			func() {},
			func() { g.state.Used = 800 },
			func() { g.state.Used = 980 },
			func() { g.state.Used = 979 }, // a permit came back
			func() { pauses(ratelimit.ReasonMinute) },
			func() { pauses(ratelimit.ReasonManual) },
			func() { pauses(ratelimit.ReasonBreaker, ratelimit.ReasonManual) },
			func() { pauses() },
			func() { g.state.Day, g.state.Used = "2026-11-27", 900 },
		} {
			g.mu.Lock()
			change()
			g.mu.Unlock()
			time.Sleep(12 * time.Second)
		}
		stop()
		<-done
		<-done
		var got []string
		for _, e := range all(t, events.NewReader(open(t, rdb), nil), events.Query{}) {
			got = append(got, string(e.Type))
		}
		want := []string{"quota.low", "quota.gone", "account.paused", "account.paused", "account.resumed", "quota.low"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// slowGate answers the first question after 20 s, with what it read before.
type slowGate struct {
	gate
	asked sync.Once
}

func (g *slowGate) State(ctx context.Context) (ratelimit.State, error) {
	s, err := g.gate.State(ctx)
	g.asked.Do(func() { time.Sleep(20 * time.Second) })
	return s, err
}

// A process that stood still between reading the gate and writing does not take back
// what another one has told since.
func TestWatchOfAStalledProcessTellsNothingOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, rdb := redistest.Mini(t)
		l, quick, slow := open(t, rdb), &gate{}, &slowGate{}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{}, 2)
		watch := func(g events.Gate) {
			events.Watch{Gate: g, Records: l}.Run(ctx)
			done <- struct{}{}
		}
		slow.state.Pauses = []ratelimit.PauseState{{Pause: ratelimit.Pause{Reason: ratelimit.ReasonManual}}} // ends at once
		go watch(slow)
		synctest.Wait()
		go watch(quick)
		time.Sleep(16 * time.Second)
		m.FastForward(16 * time.Second) // the lease of the first one is over
		time.Sleep(20 * time.Second)
		stop()
		<-done
		<-done
		if list := all(t, events.NewReader(open(t, rdb), nil), events.Query{}); len(list) != 0 {
			t.Errorf("%v was told, want nothing", list[0].Type)
		}
	})
}
