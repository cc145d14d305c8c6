package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// step is what one process does.
type step struct {
	after   time.Duration // since the step before
	process int
	action  string
}

// drawSteps draws steps and how each fetch at WeChat goes.
func drawSteps(rt *rapid.T, actions ...string) (steps []step, fetches []fetchPlan) {
	actions = append(actions, "token", "token", "token", "refused", "refresh", "drop", "leave")
	steps = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{
			after:   time.Duration(rapid.IntRange(0, 40_000).Draw(rt, "after ms")) * time.Millisecond,
			process: rapid.IntRange(0, 3).Draw(rt, "process"),
			action:  rapid.SampledFrom(actions).Draw(rt, "action"),
		}
	}), 5, 40).Draw(rt, "steps")
	fetches = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) fetchPlan {
		return fetchPlan{
			takes: time.Duration(rapid.SampledFrom([]int{0, 20, 900, 9_000, 15_000, 45_000}).Draw(rt, "takes ms")) * time.Millisecond,
			fails: rapid.IntRange(0, 3).Draw(rt, "fails") == 0,
		}
	}), 1, 20).Draw(rt, "fetches")
	return steps, fetches
}

type fetchPlan struct {
	takes time.Duration // beyond 10 s the process stalls and ignores its deadline
	fails bool
}

// checkedPlatform is the platform of a drawn run; it checks that leases exclude each
// other.
type checkedPlatform struct {
	platform
	plan []fetchPlan

	mu     sync.Mutex
	begun  int
	spans  []span
	lost   bool
	faults []string
}

// lose ends the check of leases: Redis has lost them, and its clock is only set once a
// second from now on.
func (r *checkedPlatform) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
}

// recover makes all further fetches succeed at once.
func (r *checkedPlatform) recover() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan = []fetchPlan{{}}
}

type span struct{ from, to time.Time }

const testLease = 10 * time.Second

func (r *checkedPlatform) FetchClassic(ctx context.Context) (wechat.Token, error) {
	r.mu.Lock()
	drawn := r.plan[r.begun%len(r.plan)]
	r.begun++
	now := time.Now()
	for _, s := range r.spans {
		if !r.lost && now.Before(s.to) && !now.Before(s.from) {
			r.faults = append(r.faults, "two processes hold the lease at once")
		}
	}
	// The lease protects the fetch for as long as it lasts, no longer.
	r.spans = append(r.spans, span{now, now.Add(min(drawn.takes, testLease-10*time.Millisecond))})
	r.mu.Unlock()
	token, err := r.platform.FetchClassic(ctx)
	pass(drawn.takes)
	if drawn.fails {
		return wechat.Token{}, &wechat.Error{Op: "/cgi-bin/token", Code: -1, Msg: "system error"}
	}
	return token, err
}

func TestPropertyOneLeaseAndGenerationsOnlyGrow(t *testing.T) {
	t.Parallel()
	checkRuns(t)
}

// Redis may lose all data at any time while its clock is set back.
func TestPropertyAnEmptiedRedisStopsNoProcess(t *testing.T) {
	t.Parallel()
	checkRuns(t, "lose", "lose", "refused", "refused")
}

func checkRuns(t *testing.T, actions ...string) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		steps, fetches := drawSteps(rt, actions...)
		var faults []string
		synctest.Test(t, func(t *testing.T) {
			faults = play(t, steps, fetches)
			synctest.Wait()
		})
		for _, fault := range faults {
			rt.Error(fault)
		}
	})
}

func play(t *testing.T, steps []step, fetches []fetchPlan) []string {
	t.Helper()
	m, rdb := redistest.Mini(t)
	f := &fleet{t: t, mini: m}
	wx := &checkedPlatform{plan: fetches}
	var stores []*tokenstore.Store
	for range 4 {
		stores = append(stores, newStore(t, rdb, wx, tokenstore.Config{
			AppID: appID, Mode: tokenstore.Classic, Lease: testLease,
		}))
	}
	fault := func(text string) {
		wx.mu.Lock()
		defer wx.mu.Unlock()
		wx.faults = append(wx.faults, text)
	}
	// A lookup is Config.Wait, then a stalled fetch of its own. The caller looks again when
	// the token was refused during it, or dropped.
	longest := 2 * time.Minute
	for _, d := range steps {
		if d.action == "refused" || d.action == "drop" {
			longest += 2 * time.Minute
		}
	}
	var wg sync.WaitGroup
	last := ""
	for _, d := range steps {
		pass(d.after)
		if d.action == "lose" {
			wx.lose()
			f.loseRedis()
			last = ""
			continue
		}
		wg.Go(func() { act(t.Context(), stores[d.process], d.action, longest, fault) })
		synctest.Wait()
		if g := m.HGet("wxn:{"+appID+"}:token", "g"); g != "" {
			if g < last { // texts of equal length
				fault("the generation in Redis went back from " + last + " to " + g)
			}
			last = g
		}
	}
	wg.Wait()
	pass(10 * time.Minute) // for lookups whose callers left, holds and back-offs
	wx.recover()
	before := wx.fetches()
	for round := range 3 {
		for i, s := range stores {
			// In the first round the token in memory and the one in Redis may both be dead.
			if err := deliver(t.Context(), s, wx.send); err != nil && round > 0 {
				fault(fmt.Sprintf("process %d cannot send in the end: %v", i, err))
			}
		}
		pass(4 * time.Second)
	}
	if n := wx.fetches() - before; n > 2 {
		fault(fmt.Sprintf("%d fetches for the last sends", n))
	}
	return wx.faults
}

// act does one step and checks what holds for every answer of the store.
func act(ctx context.Context, s *tokenstore.Store, action string, longest time.Duration, fault func(string)) {
	begun := time.Now()
	var token wechat.Token
	var err error
	switch action {
	case "refresh":
		token, err = s.Refresh(ctx)
	case "drop":
		_ = s.Drop(ctx)
		return
	case "leave":
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, _ = s.Token(ctx)
		if time.Since(begun) > 100*time.Millisecond {
			fault("a caller could not leave")
		}
		return
	default:
		token, err = s.Token(ctx)
	}
	var down *tokenstore.UnavailableError
	switch {
	case err == nil && (token.Generation == 0 || !time.Now().Before(token.ExpiresAt)):
		fault("a token without generation or life")
	case err != nil && !errors.As(err, &down):
		fault("an error without a time to come again: " + err.Error())
	case time.Since(begun) > longest:
		fault("a caller waited for more than " + longest.String())
	}
	if err == nil && action == "refused" {
		if err := s.Invalidate(ctx, token); err != nil {
			fault(err.Error())
		}
	}
}
