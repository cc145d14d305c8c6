package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

const account = "wx1234567890abcdef"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere runs the test on miniredis and on a real server: the scripts must
// mean the same on both.
func everywhere(t *testing.T, test func(t *testing.T, rdb *redis.Client)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		// By TCP: the pipe of redistest.Mini holds nothing, so that a pipeline
		// of some kilobytes would wait for itself.
		rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), Protocol: 2})
		t.Cleanup(func() { _ = rdb.Close() })
		test(t, rdb)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, redistest.Start(t).Client(t))
	})
}

func open(tb testing.TB, rdb redis.UniversalClient) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.New(rdb, ledger.Config{Account: account})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

func envelope(id string) job.Envelope {
	return job.Envelope{
		ID: id, Class: job.Default, To: "oABCdefGHIjklMNOpqrSTUvwxYZ0", Template: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
		QueuedAt: time.Now().Truncate(time.Millisecond),
		Body:     []byte(`{"touser":"oABCdefGHIjklMNOpqrSTUvwxYZ0","template_id":"ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY","data":{}}`),
	}
}

func record(e job.Envelope) ledger.Record {
	return ledger.Record{
		ID: e.ID, Class: e.Class, State: ledger.Queued, To: e.To, User: e.User, Template: e.Template,
		Hash: e.Hash(), QueuedAt: e.QueuedAt, NotBefore: e.NotBefore, NotAfter: e.NotAfter,
	}
}

// bind binds an openid to a user as the roster does, at a moment in ms.
func bind(tb testing.TB, rdb redis.UniversalClient, user, openid string, at int) {
	tb.Helper()
	key := ledger.UserKey(account, user)
	must(tb, rdb.HSet(tb.Context(), key, openid, fmt.Sprint(at, " oauth")).Err())
	must(tb, rdb.Expire(tb.Context(), key, time.Hour).Err())
}

func born(tb testing.TB, rdb redis.UniversalClient, l *ledger.Ledger, r ledger.Record) ledger.Birth {
	tb.Helper()
	pipe := rdb.Pipeline()
	result := l.Born(tb.Context(), pipe, r)
	_, _ = pipe.Exec(tb.Context()) // the result tells
	b, err := result()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func begin(tb testing.TB, l *ledger.Ledger, e job.Envelope) ledger.Start {
	tb.Helper()
	s, err := l.Begin(tb.Context(), e)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func get(tb testing.TB, l *ledger.Ledger, id string) *ledger.Record {
	tb.Helper()
	list, err := l.Get(tb.Context(), id)
	if err != nil {
		tb.Fatal(err)
	}
	return list[0]
}

// state fails the test unless the record of id is in state want.
func state(tb testing.TB, l *ledger.Ledger, id string, want ledger.State) *ledger.Record {
	tb.Helper()
	r := get(tb, l, id)
	switch {
	case r == nil:
		tb.Fatalf("%s: no record, want %s", id, want)
	case r.State != want:
		tb.Fatalf("%s: %s (%s), want %s", id, r.State, r.Reason, want)
	}
	return r
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// trips counts round trips and commands.
type trips struct {
	n    atomic.Int64
	cmds atomic.Int64
}

func (h *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		h.cmds.Add(1)
		return next(ctx, cmd)
	}
}

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(1)
		h.cmds.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// repeating executes every pipeline twice, as go-redis does when the first
// answer is lost on the way.
type repeating struct{}

func (repeating) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (repeating) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (repeating) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		_ = next(ctx, cmds)
		for _, c := range cmds {
			if c.Err() != nil && strings.HasPrefix(c.Err().Error(), "NOSCRIPT") {
				return c.Err()
			}
		}
		return next(ctx, cmds)
	}
}
