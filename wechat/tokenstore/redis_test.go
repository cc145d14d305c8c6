package tokenstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func TestTokenInMemoryCostsNoRedisCall(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		s := f.store()
		mustToken(t, s)
		before := f.mini.CommandCount()
		for range 1000 {
			mustToken(t, s)
		}
		if n := f.mini.CommandCount() - before; n != 0 {
			t.Errorf("1000 tokens cost %d Redis commands, want 0", n)
		}
		for begun := time.Now(); time.Since(begun) < time.Minute; pass(10 * time.Millisecond) {
			mustToken(t, s)
		}
		// One look is EVALSHA, TIME and HMGET.
		if n := f.mini.CommandCount() - before; n > 3*20 {
			t.Errorf("a minute of sends cost %d Redis commands, want a look each 3 s", n)
		}
	})
}

func TestTokenInMemoryStaysInUseWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s, newcomer := f.store(), f.store()
		f.run(s)
		token := mustToken(t, s)
		f.mini.SetError("LOADING the dataset")
		for begun := time.Now(); time.Since(begun) < 115*time.Minute; pass(20 * time.Second) {
			if got := mustToken(t, s); got.Generation != token.Generation {
				t.Fatal("another token, from nowhere")
			}
		}
		for begun := time.Now(); time.Since(begun) < 6*time.Minute; pass(300 * time.Millisecond) {
			down := unavailable(t, newcomer)
			if !errors.Is(down, tokenstore.ErrRedis) || down.Remedy == "" {
				t.Fatalf("newcomer: %v, want ErrRedis with a remedy", down)
			}
		}
		if down := unavailable(t, s); !errors.Is(down, tokenstore.ErrRedis) {
			t.Errorf("after its expiry: %v, want ErrRedis", down)
		}
		if n := f.wx.fetches(); n != 1 {
			t.Errorf("%d fetches: without the shared lease no process may fetch", n)
		}
		if n := len(f.notes.of(tokenstore.EventFailed)); n != 1 {
			t.Errorf("%d events for the outage, want 1", n)
		}
		f.mini.SetError("")
		pass(2 * time.Second)
		mustToken(t, s)
		mustToken(t, newcomer)
	})
}

func TestRefusalWhileRedisIsDownIsNotForgotten(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s, other := f.store(), f.store()
		old := mustToken(t, s)
		mustToken(t, other)
		pass(2 * time.Minute)
		f.wx.kill()
		f.mini.SetError("LOADING the dataset")
		if err := s.Invalidate(t.Context(), old); !errors.Is(err, tokenstore.ErrRedis) {
			t.Errorf("Invalidate = %v, want ErrRedis", err)
		}
		unavailable(t, s) // a refused token is not used again
		f.mini.SetError("")
		pass(2 * time.Second)
		if got := mustToken(t, s); got.Generation == old.Generation {
			t.Error("the refusal was forgotten")
		}
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("fetches = %d, want 2", n)
		}
	})
}

func TestEmptiedRedisCostsOneFetch(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		a, b := f.store(), f.store()
		f.run(a)
		f.run(b)
		first := mustToken(t, a)
		mustToken(t, b)
		pass(time.Second)
		f.mini.FlushAll()
		pass(2 * time.Minute)
		ta, tb := mustToken(t, a), mustToken(t, b)
		if ta.Generation != tb.Generation || ta.Generation <= first.Generation {
			t.Errorf("generations %d and %d after %d: want the same, newer one", ta.Generation, tb.Generation, first.Generation)
		}
		if n := f.wx.fetches(); n != 2 {
			t.Errorf("fetches = %d, want one more", n)
		}
	})
}

func TestFetchedTokenIsUsedIfItCannotBeStored(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		f.wx.after = func(int, wechat.Token) error { f.mini.SetError("LOADING the dataset"); return nil }
		s := f.store()
		if err := deliver(t.Context(), s, f.wx.send); err != nil {
			t.Errorf("the fetched token is good, yet %v", err)
		}
		if n := len(f.notes.of(tokenstore.EventFailed)); n != 1 {
			t.Errorf("%d events that it could not be stored, want 1", n)
		}
	})
}

func TestEveryKeyHasATTL(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		for range 3 {
			token := mustToken(t, s)
			pass(2 * time.Minute)
			f.wx.kill()
			mustInvalidate(t, s, token)
		}
		f.wx.fail = answer(-1, "system error")
		unavailable(t, s)
		must(t, s.Drop(t.Context()))
		keys := f.mini.Keys()
		if len(keys) < 4 {
			t.Errorf("keys = %v: the test covers too little", keys)
		}
		for _, key := range keys {
			if !strings.HasPrefix(key, "wxn:{"+appID+"}:token") {
				t.Errorf("key %s is outside the package's prefix", key)
			}
			if f.mini.TTL(key) <= 0 {
				t.Errorf("key %s has no TTL", key)
			}
		}
		pass(31 * 24 * time.Hour)
		if keys := f.mini.Keys(); len(keys) != 0 {
			t.Errorf("after a month: %v", keys)
		}
	})
}
