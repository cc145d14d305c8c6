package ratelimit_test

import (
	"context"
	"errors"
	"flag"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked { // each check is a world with a Redis of its own, slow under -race
		if err := flag.Set("rapid.checks", "25"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

const (
	key   = "wxn:{wx0123456789abcdef}:"
	china = 8 * time.Hour
)

// config is an account in China without a rate; tests change what they are about.
func config(owner string) ratelimit.Config {
	return ratelimit.Config{Key: key, DailyQuota: 1000, UTCOffset: china, Owner: owner}
}

func newGate(tb testing.TB, rdb redis.UniversalClient, cfg ratelimit.Config) *ratelimit.Gate {
	tb.Helper()
	g, err := ratelimit.New(rdb, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// reconciled is a gate whose count starts at 0, without a limit of WeChat's own.
func reconciled(tb testing.TB, rdb redis.UniversalClient, cfg ratelimit.Config) *ratelimit.Gate {
	tb.Helper()
	g := newGate(tb, rdb, cfg)
	reconcile(tb, g, ratelimit.Unknown, ratelimit.Unknown)
	return g
}

// ask begins a question for the quota.
func ask(tb testing.TB, g *ratelimit.Gate) ratelimit.Question {
	tb.Helper()
	q, err := g.AskQuota(tb.Context())
	must(tb, err)
	return q
}

// reconcile asks, and applies WeChat's answer at once.
func reconcile(tb testing.TB, g *ratelimit.Gate, limit, used int64) {
	tb.Helper()
	must(tb, g.Reconcile(tb.Context(), ask(tb, g), limit, used))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func take(tb testing.TB, g *ratelimit.Gate, tier ratelimit.Tier) ratelimit.Permit {
	tb.Helper()
	p, err := g.Take(tb.Context(), tier)
	if err != nil {
		tb.Fatalf("Take: %v", err)
	}
	return p
}

// refused asserts that the gate is closed for the reason.
func refused(tb testing.TB, g *ratelimit.Gate, tier ratelimit.Tier, want ratelimit.Reason) *ratelimit.ClosedError {
	tb.Helper()
	p, err := g.Take(tb.Context(), tier)
	var closed *ratelimit.ClosedError
	if !errors.As(err, &closed) || closed.Reason != want {
		tb.Fatalf("Take gave %+v, %v; want it closed for %q", p, err, want)
	}
	return closed
}

// drainQuota takes until the gate closes and returns the permits.
func drainQuota(tb testing.TB, g *ratelimit.Gate, tier ratelimit.Tier) []ratelimit.Permit {
	tb.Helper()
	var out []ratelimit.Permit
	for {
		p, err := g.Take(tb.Context(), tier)
		var closed *ratelimit.ClosedError
		if errors.As(err, &closed) {
			return out
		}
		must(tb, err)
		out = append(out, p)
	}
}

func state(tb testing.TB, g *ratelimit.Gate) ratelimit.State {
	tb.Helper()
	s, err := g.State(tb.Context())
	must(tb, err)
	return s
}

func used(tb testing.TB, g *ratelimit.Gate, want int64) {
	tb.Helper()
	if s := state(tb, g); s.Used != want {
		tb.Fatalf("used is %d, want %d (%+v)", s.Used, want, s)
	}
}

// run starts Run and returns what ends it and waits for it.
func run(tb testing.TB, g *ratelimit.Gate) (stop func() error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// counter counts the scripts that a client runs, and may lose answers.
type counter struct {
	calls atomic.Int64
	// lose makes the next answers disappear after Redis did the work.
	lose atomic.Int64
	// twice runs each script a second time, as a client does after a reset connection.
	twice atomic.Bool
}

var errLost = errors.New("the answer was lost")

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !strings.HasPrefix(cmd.Name(), "eval") {
			return next(ctx, cmd)
		}
		c.calls.Add(1)
		err := next(ctx, cmd)
		if err == nil && c.twice.Load() {
			err = next(ctx, cmd)
		}
		if err == nil && c.lose.Add(-1) >= 0 {
			cmd.SetErr(errLost)
			return errLost
		}
		return err
	}
}

// counted is a gate of its own client, whose scripts are counted.
func counted(tb testing.TB, rdb *redis.Client, cfg ratelimit.Config) (*ratelimit.Gate, *counter) {
	tb.Helper()
	c := new(counter)
	rdb.AddHook(c)
	return newGate(tb, rdb, cfg), c
}

// eachRedis runs the test on miniredis and on a real server, both in a bubble: while an
// answer of the server is waited for, the bubble's clock stands still, so that no permit
// expires on a slow machine. What is left in the cache expires a second after its slot.
func eachRedis(t *testing.T, test func(t *testing.T, rdb func() *redis.Client)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m, _ := redistest.Mini(t)
			test(t, func() *redis.Client { return redistest.MiniClient(t, m) })
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		synctest.Test(t, func(t *testing.T) {
			test(t, func() *redis.Client { return s.Strict(t, "+keys", "+flushall", "+script|flush").Client })
		})
	})
}
