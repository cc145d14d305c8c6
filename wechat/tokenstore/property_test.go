package tokenstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// deed is what one process does at one moment of a drawn story.
type deed struct {
	after   time.Duration // since the deed before
	process int
	verb    string
}

// drawStory draws deeds and how each fetch at WeChat goes.
func drawStory(rt *rapid.T) (deeds []deed, fetches []drawnFetch) {
	deeds = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) deed {
		return deed{
			after:   time.Duration(rapid.IntRange(0, 40_000).Draw(rt, "after ms")) * time.Millisecond,
			process: rapid.IntRange(0, 3).Draw(rt, "process"),
			verb:    rapid.SampledFrom([]string{"token", "token", "token", "refused", "refresh", "drop", "leave"}).Draw(rt, "verb"),
		}
	}), 5, 40).Draw(rt, "deeds")
	fetches = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) drawnFetch {
		return drawnFetch{
			takes: time.Duration(rapid.SampledFrom([]int{0, 20, 900, 9_000, 15_000, 45_000}).Draw(rt, "takes ms")) * time.Millisecond,
			fails: rapid.IntRange(0, 3).Draw(rt, "fails") == 0,
		}
	}), 1, 20).Draw(rt, "fetches")
	return deeds, fetches
}

type drawnFetch struct {
	takes time.Duration // beyond 10 s the process stalled, and heeds no deadline
	fails bool
}

// referee is the platform of a drawn story, and watches who fetches when.
type referee struct {
	platform
	story []drawnFetch

	mu     sync.Mutex
	begun  int
	spans  []span
	faults []string
}

type span struct{ from, to time.Time }

const testLease = 10 * time.Second

func (r *referee) FetchClassic(ctx context.Context) (wechat.Token, error) {
	r.mu.Lock()
	drawn := r.story[r.begun%len(r.story)]
	r.begun++
	now := time.Now()
	for _, s := range r.spans {
		if now.Before(s.to) && !now.Before(s.from) {
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
	rapid.Check(t, func(rt *rapid.T) {
		deeds, fetches := drawStory(rt)
		var faults []string
		synctest.Test(t, func(t *testing.T) {
			faults = playStory(t, deeds, fetches)
			synctest.Wait()
		})
		for _, fault := range faults {
			rt.Error(fault)
		}
	})
}

func playStory(t *testing.T, deeds []deed, fetches []drawnFetch) []string {
	t.Helper()
	m, rdb := redistest.Mini(t)
	ref := &referee{story: fetches}
	var stores []*tokenstore.Store
	for range 4 {
		stores = append(stores, newStore(t, rdb, ref, tokenstore.Config{
			AppID: appID, Mode: tokenstore.Classic, Lease: testLease,
		}))
	}
	fault := func(text string) {
		ref.mu.Lock()
		defer ref.mu.Unlock()
		ref.faults = append(ref.faults, text)
	}
	var wg sync.WaitGroup
	last := ""
	for _, d := range deeds {
		pass(d.after)
		wg.Go(func() { act(t.Context(), stores[d.process], d.verb, fault) })
		synctest.Wait()
		if g := m.HGet("wxn:{"+appID+"}:token", "g"); g != "" {
			if g < last { // equally many digits: they compare as text
				fault("the generation in Redis went back from " + last + " to " + g)
			}
			last = g
		}
	}
	wg.Wait()
	pass(10 * time.Minute) // lookups whose callers left end, too
	return ref.faults
}

// act does one deed and checks what every answer of the store must be.
func act(ctx context.Context, s *tokenstore.Store, verb string, fault func(string)) {
	begun := time.Now()
	var token wechat.Token
	var err error
	switch verb {
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
	case time.Since(begun) > 2*time.Minute: // its wait, then a stalled fetch of its own
		fault("somebody waited for ever")
	}
	if err == nil && verb == "refused" {
		if err := s.Invalidate(ctx, token); err != nil {
			fault(err.Error())
		}
	}
}
