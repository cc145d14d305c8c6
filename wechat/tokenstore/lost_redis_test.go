package tokenstore_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// loseRedis empties Redis and sets its clock back by a day more: a server was replaced,
// or a failover reached one with another clock. Generations then begin anew below
// those that processes remember.
func (f *fleet) loseRedis() {
	f.t.Helper()
	f.mini.FlushAll()
	f.losses++
	f.setClock(time.Duration(f.losses) * -24 * time.Hour)
}

// setClock lets Redis' clock differ by offset from the clock of the processes. It
// then advances once a second.
func (f *fleet) setClock(offset time.Duration) {
	f.t.Helper()
	if f.stopClock != nil {
		close(f.stopClock)
	} else {
		f.t.Cleanup(func() { close(f.stopClock) })
	}
	stop := make(chan struct{})
	f.stopClock = stop
	f.mini.SetTime(time.Now().Add(offset))
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				f.mini.SetTime(time.Now().Add(offset))
			}
		}
	}()
}

func TestOldRefusalDoesNotRefuseTokensOfAnEmptiedRedis(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s, other := f.store(), f.store()
		old := mustToken(t, s)
		f.wx.kill()
		mustInvalidate(t, s, old)
		f.loseRedis()
		if got := mustToken(t, s); got.Value == old.Value {
			t.Error("the refused token is in use again")
		}
		mustToken(t, other)
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("%d fetches, want the first and one", n)
		}
	})
}

// The process that fetches after the loss knows of no refusal.
func TestOldRefusalDoesNotRefuseATokenThatAnotherProcessFetched(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		old := mustToken(t, s)
		mustInvalidate(t, s, old)
		f.loseRedis()
		other := f.store()
		fresh := mustToken(t, other)
		if fresh.Generation >= old.Generation {
			t.Fatalf("generation %d: the clock is not behind %d", fresh.Generation, old.Generation)
		}
		for range 3 {
			if err := deliver(t.Context(), s, f.wx.send); err != nil {
				t.Error(err)
			}
			pass(4 * time.Second) // both read Redis again
			if err := deliver(t.Context(), other, f.wx.send); err != nil {
				t.Error(err)
			}
		}
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("%d fetches, want the first and one", n)
		}
		if st := mustState(t, s); st.Refused {
			t.Error("the fresh token is marked as refused")
		}
	})
}

// The refused token is from before the loss; Redis has another one already.
func TestLateRefusalOfATokenFromBeforeTheLossIsIgnored(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		var stores []*tokenstore.Store
		for range 4 {
			stores = append(stores, f.store())
			mustToken(t, stores[len(stores)-1])
		}
		f.loseRedis()
		mustToken(t, f.store()) // supersedes the token that the four remember
		for range 3 {
			for _, s := range stores {
				if err := deliver(t.Context(), s, f.wx.send); err != nil {
					t.Error(err)
				}
			}
			pass(4 * time.Second)
		}
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("%d fetches, want the first and one", n)
		}
	})
}

func TestTokenFromBeforeTheLossIsReplacedInMemoryWhenItExpires(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s := f.store()
		old := mustToken(t, s)
		f.loseRedis()
		pass(time.Until(old.ExpiresAt) - time.Minute) // WeChat has a new token by now
		other := f.store()
		fresh := mustToken(t, other)
		pass(2 * time.Minute)
		if got := mustToken(t, s); got.Value != fresh.Value {
			t.Error("the process still uses the expired token")
		}
		before := f.mini.CommandCount()
		for range 100 {
			mustToken(t, s)
		}
		if n := f.mini.CommandCount() - before; n != 0 {
			t.Errorf("100 tokens cost %d Redis commands, want 0: the token is not kept in memory", n)
		}
	})
}

// A fetch that began before the loss ends after another process has fetched.
func TestFetchFromBeforeTheLossDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		f.wx.after = func(n int, _ wechat.Token) error {
			if n == 1 {
				pass(5 * time.Second)
			}
			return nil
		}
		slow, other := f.store(), f.store()
		done := make(chan error)
		go func() { done <- deliver(t.Context(), slow, f.wx.send) }()
		pass(time.Second)
		f.loseRedis()
		mustToken(t, other)
		if err := <-done; err != nil {
			t.Errorf("the slow process: %v", err)
		}
		for range 3 {
			for _, s := range []*tokenstore.Store{slow, other} {
				if err := deliver(t.Context(), s, f.wx.send); err != nil {
					t.Error(err)
				}
			}
			pass(4 * time.Second)
		}
		if n := f.wx.fetches(); n > 3 {
			t.Errorf("%d fetches, want at most one more than the two that overlapped", n)
		}
	})
}

// Redis loses its data after Refresh has read the generation that it replaces, and
// another process begins to fetch.
func TestRefreshDuringTheLossTakesTheTokenOfAFetchInProgress(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s, other := f.store(), f.store()
		mustToken(t, s)
		mustState(t, s) // loads the script, so that Refresh reads the state with one command
		var done atomic.Bool
		f.rdb.AddHook(afterScript(func() {
			if done.CompareAndSwap(false, true) {
				f.loseRedis()
				f.wx.set(func(p *platform) { p.before = func(context.Context) error { pass(2 * time.Second); return nil } })
				go func() { _, _ = other.Token(t.Context()) }()
				pass(time.Second)
			}
		}))
		if _, err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("%d fetches, want the first and one", n)
		}
	})
}

// afterScript is a redis.Hook that runs after each command.
type afterScript func()

func (h afterScript) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h afterScript) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h afterScript) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h()
		return err
	}
}

// Redis keeps its data, and its clock is set back by an hour.
func TestClockSetBackHoldsNoFetch(t *testing.T) {
	t.Parallel()
	t.Run("after a refusal", func(t *testing.T) {
		t.Parallel()
		bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
			s := f.store()
			for token, err := s.Token(t.Context()); err == nil; token, err = s.Token(t.Context()) {
				pass(time.Second)
				mustInvalidate(t, s, token) // until the bucket of 60 fetches is empty
			}
			f.setClock(-time.Hour)
			begun := time.Now()
			for _, err := s.Token(t.Context()); err != nil; _, err = s.Token(t.Context()) {
				pass(time.Second)
			}
			if took := time.Since(begun); took > 2*time.Minute {
				t.Errorf("no token for %v", took)
			}
		})
	})
	t.Run("before a refusal", func(t *testing.T) {
		t.Parallel()
		bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
			s := f.store()
			token := mustToken(t, s)
			f.setClock(-time.Hour)
			f.wx.kill()
			mustInvalidate(t, s, token)
			if err := deliver(t.Context(), s, f.wx.send); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("during a back-off", func(t *testing.T) {
		t.Parallel()
		bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
			f.wx.fail = answer(-1, "system error")
			unavailable(t, f.store())
			f.wx.set(func(p *platform) { p.fail = nil })
			f.setClock(-time.Hour)
			mustToken(t, f.store())
		})
	})
}

func TestClockSetBackDoesNotKeepAnExpiredToken(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		mustToken(t, f.store())
		f.setClock(-time.Hour)
		if token := mustToken(t, f.store()); time.Until(token.ExpiresAt) > 2*time.Hour {
			t.Errorf("a token of two hours is served for %v", time.Until(token.ExpiresAt))
		}
	})
}

func TestClockSetForwardAndBackCostsAFetchEach(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s, other := f.store(), f.store()
		f.run(s)
		for _, offset := range []time.Duration{0, 3 * time.Hour, 0} {
			f.setClock(offset)
			pass(2 * time.Minute)
			for _, s := range []*tokenstore.Store{s, other} {
				if err := deliver(t.Context(), s, f.wx.send); err != nil {
					t.Errorf("clock set to %v: %v", offset, err)
				}
			}
		}
		if n := f.wx.fetches(); n > 3 {
			t.Errorf("%d fetches, want at most 3", n)
		}
	})
}

// The clock was days ahead and is right again: the counts of that future day must
// not count for all days until then.
func TestClockSetBackByDaysStartsANewDayOfCounts(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s := f.store()
		refuseAndForce := func() {
			t.Helper()
			token := mustToken(t, s)
			pass(time.Minute) // so that the token is not refused at once
			mustInvalidate(t, s, token)
			mustToken(t, s)
		}
		f.setClock(10 * 24 * time.Hour)
		refuseAndForce()
		if st := mustState(t, s); st.ForcedToday != 1 {
			t.Fatalf("forced %d, want 1", st.ForcedToday)
		}
		f.setClock(0)
		refuseAndForce()
		if st := mustState(t, s); st.ForcedToday != 1 || len(f.wx.forced) != 2 {
			t.Errorf("forced %d today and %d in all, want 1 and 2", st.ForcedToday, len(f.wx.forced))
		}
	})
}
