package worker

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// The permit of a probe does not open the gate: the log says so only when the probe has
// succeeded.
func TestAProbeIsNotLoggedAsAnOpenGate(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	gate, err := ratelimit.New(rdb, ratelimit.Config{Key: "wxn:{wx1}:", DailyQuota: 100, Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := gate.Reconcile(t.Context(), ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	reason := ratelimit.ReasonBreaker
	w := &watchedGate{Gate: gate, log: zap.New(core), presence: &presence{}}
	w.closedFor.Store(&reason)
	if err := gate.Close(t.Context(), ratelimit.Pause{Reason: reason, Until: time.Now(), Probe: true}); err != nil {
		t.Fatal(err)
	}
	if p, err := w.Take(t.Context(), ratelimit.General); err != nil || !p.Probe() || logs.Len() != 0 {
		t.Fatalf("%+v, %v; logged %v", p, err, logs.All())
	}
	gate.Succeed(t.Context())
	if p, err := w.Take(t.Context(), ratelimit.General); err != nil || p.Probe() || logs.FilterMessage("the gate is open again").Len() != 1 {
		t.Errorf("%+v, %v; logged %v", p, err, logs.All())
	}
}
