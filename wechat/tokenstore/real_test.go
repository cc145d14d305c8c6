package tokenstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// Real servers check numbers, absent fields and key declarations more strictly than
// miniredis.
func TestAllScriptsOnEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	redistest.Each(t, allScripts)
}

// Every script runs with the rights of docs/redis.md and uses only keys that it declares.
func TestScriptsDeclareTheirKeys(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Strict(t, "+keys")
	allScripts(t, rdb)
	rdb.RanAll(t, "lua")
}

func allScripts(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	wx, n := &platform{}, &notes{}
	cfg := tokenstore.Config{AppID: appID, OnEvent: n.add, RefusedGap: time.Millisecond}
	s, other := newStore(t, rdb, wx, cfg), newStore(t, rdb, wx, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	first := mustToken(t, s) // ask, keep
	if got := mustToken(t, other); got.Generation != first.Generation || got.Value != first.Value {
		t.Errorf("the other process has generation %d, want %d", got.Generation, first.Generation)
	}
	mustInvalidate(t, s, first) // refuse
	second := mustToken(t, s)   // force
	st := mustState(t, s)
	if st.ForcedToday != 1 || st.FetchesToday != 3 || st.Generation != second.Generation ||
		st.Fingerprint != second.Value.Fingerprint() || st.Age > time.Minute || time.Until(st.ExpiresAt) < 119*time.Minute {
		t.Errorf("state = %+v", st)
	}
	if err := s.Drop(ctx); err != nil { // drop
		t.Fatal(err)
	}
	wx.set(func(p *platform) { p.fail = answer(40164, "invalid ip 1.2.3.4, not in whitelist") })
	if mine := unavailable(t, s); !contains(mine.Error(), "1.2.3.4") { // fail, of its address alone
		t.Errorf("one says %v", mine)
	}
	wx.set(func(p *platform) { p.fail = answer(40125, "invalid appsecret") })
	mine, others := unavailable(t, newStore(t, rdb, wx, cfg)), unavailable(t, newStore(t, rdb, wx, cfg)) // fail, ask's back-off
	if !contains(mine.Error(), "40125") || !contains(others.Error(), "40125") || time.Until(others.RetryAt) > 5*time.Second {
		t.Errorf("one says %v, another %v", mine, others)
	}
	wx.set(func(p *platform) { p.fail = nil })
	third, err := s.Refresh(ctx)
	if err != nil || third.Generation <= second.Generation {
		t.Errorf("Refresh: generation %d after %d, %v", third.Generation, second.Generation, err)
	}
	revoking, stop := context.WithCancel(ctx)
	defer stop()
	err = s.Revoke(revoking, func(step tokenstore.RevokeStep) { // release: the last forced refresh is too new
		if step.Wait > 0 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Revoke = %v after its context ended while it waited", err)
	}
	done := make(chan error)
	go func() { done <- other.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v after its context ended, want nil", err)
	}
	for key := range keysOf(t, rdb) {
		if ttl := rdb.PTTL(t.Context(), key).Val(); ttl <= 0 {
			t.Errorf("key %s has no TTL", key)
		}
	}
}

func keysOf(t *testing.T, rdb redis.UniversalClient) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		keys[key] = true
	}
	if len(keys) < 3 {
		t.Errorf("keys = %v: the test covers too little", keys)
	}
	return keys
}

func TestRunLearnsOfANewTokenByNotice(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	wx := &platform{}
	cfg := tokenstore.Config{AppID: appID, Mode: tokenstore.Classic}
	listener, admin := newStore(t, rdb, wx, cfg), newStore(t, rdb, wx, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- listener.Run(ctx) }()
	const notice = "wxn:{" + appID + "}:token:notice"
	testutil.Until(t, "the store listens", func() bool { return rdb.PubSubNumSub(ctx, notice).Val()[notice] > 0 })
	fresh, err := admin.Refresh(ctx)
	must(t, err)
	began := time.Now()
	testutil.Until(t, "the notice arrives", func() bool { return mustToken(t, listener).Generation >= fresh.Generation })
	if took := time.Since(began); took > 50*time.Second {
		t.Errorf("the new token was learned of after %s, as without a notice", took)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
