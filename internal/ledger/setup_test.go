package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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
		test(t, redistest.Start(t).Strict(t, "+keys", "+flushall", "+script|flush").Client)
	})
}

func open(tb testing.TB, rdb redis.UniversalClient) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.New(rdb, account, nil, ledger.Config{})
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
	key := key("user:" + user)
	must(tb, rdb.HSet(tb.Context(), key, openid, fmt.Sprint(at, " oauth")).Err())
	must(tb, rdb.Expire(tb.Context(), key, time.Hour).Err())
}

// key is a key of the account.
func key(name string) string { return "wxn:{" + account + "}:" + name }

// create writes a record as Enqueue does, unless there is one. The letters are
// the stored format: they must never change.
func create(tb testing.TB, rdb redis.UniversalClient, r ledger.Record) {
	tb.Helper()
	name := key("m:" + r.ID)
	if rdb.Exists(tb.Context(), name).Val() == 1 {
		return
	}
	life := 30 * 24 * time.Hour
	f := map[string]any{
		"s": map[ledger.State]string{ledger.Queued: "q", ledger.Scheduled: "w"}[r.State],
		"c": string(r.Class[:1]), "p": r.Template, "h": r.Hash, "q": r.QueuedAt.UnixMilli(),
	}
	for field, text := range map[string]string{"t": r.To, "u": r.User} {
		if text != "" {
			f[field] = text
		}
	}
	for field, at := range map[string]time.Time{"b": r.NotBefore, "n": r.NotAfter} {
		if !at.IsZero() {
			f[field] = at.UnixMilli()
			life = max(life, time.Until(at.Add(72*time.Hour)))
		}
	}
	must(tb, rdb.HSet(tb.Context(), name, f).Err())
	must(tb, rdb.PExpire(tb.Context(), name, life).Err())
}

// deliveries gives out delivery numbers, as a queue does.
var deliveries atomic.Int64

// latest is the number of the latest delivery that begin gave a message.
var latest sync.Map

type message struct {
	ledger *ledger.Ledger
	id     string
}

// begin begins e with a delivery of its own.
func begin(tb testing.TB, l *ledger.Ledger, e job.Envelope) ledger.Start {
	tb.Helper()
	s, err := tryBegin(tb.Context(), l, e)
	must(tb, err)
	return s
}

func tryBegin(ctx context.Context, l *ledger.Ledger, e job.Envelope) (ledger.Start, error) {
	n := deliveries.Add(1)
	latest.Store(message{l, e.ID}, n)
	return l.Begin(ctx, e, ledger.Delivery{N: n})
}

// delivery is the number of the latest delivery of a message, or a new one.
func delivery(l *ledger.Ledger, id string) int64 {
	n, ok := latest.Load(message{l, id})
	if !ok {
		return deliveries.Add(1)
	}
	return n.(int64) //nolint:forcetypeassert // as stored
}

// accepted records WeChat's yes for the latest delivery.
func accepted(tb testing.TB, l *ledger.Ledger, id string, a ledger.Acceptance) ledger.Recorded {
	tb.Helper()
	r, err := l.Accepted(tb.Context(), id, delivery(l, id), a)
	must(tb, err)
	return r
}

// failed records an outcome of the latest delivery.
func failed(tb testing.TB, l *ledger.Ledger, id string, o ledger.Outcome) {
	tb.Helper()
	must(tb, l.Failed(tb.Context(), id, delivery(l, id), o))
}

// mayBeVoid is must for the outcome of a delivery that may be superseded.
func mayBeVoid(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, ledger.ErrSuperseded) {
		must(tb, err)
	}
}

// void fails the test unless err says that the message has gone on since.
func void(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, ledger.ErrSuperseded) {
		tb.Fatalf("got %v, want that the outcome is void", err)
	}
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

// suppressed is what keeps template from being sent to openid; nil: nothing.
func suppressed(tb testing.TB, l *ledger.Ledger, openid, template string) *ledger.Suppression {
	tb.Helper()
	var found *ledger.Suppression
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		list, next, err := l.Suppressions(tb.Context(), cursor)
		must(tb, err)
		for _, s := range list {
			if s.OpenID == openid && (s.Template == "" || s.Template == template) {
				found = &s
			}
		}
		cursor = next
	}
	return found
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// trips counts round trips.
type trips struct{ n atomic.Int64 }

func (h *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmd)
	}
}

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmds)
	}
}

// repeating executes every script and pipeline twice, as go-redis does when the
// first answer is lost on the way.
type repeating struct{}

func (repeating) DialHook(next redis.DialHook) redis.DialHook { return next }

func (repeating) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		_ = next(ctx, cmd)
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

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
