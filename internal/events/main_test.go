package events_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	account = "wx1234567890abcdef"
	openid  = "oABCdefGHIjklMNOpqrSTUvwxYZ0"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// everywhere runs the test on miniredis and on a real server.
func everywhere(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		_, rdb := redistest.Mini(t)
		test(t, rdb)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, redistest.Start(t).Strict(t).Client)
	})
}

func open(tb testing.TB, rdb redis.UniversalClient) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.New(rdb, account, nil, ledger.Config{})
	must(tb, err)
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

// begin begins the message of an ID as delivery n. Without a record it is made.
func begin(tb testing.TB, l *ledger.Ledger, id string, n int64) {
	tb.Helper()
	e := job.Envelope{
		ID: id, Class: job.Default, To: openid, Template: "template", QueuedAt: time.Now(), Body: []byte(`{"touser":"` + openid + `"}`),
	}
	_, err := l.Begin(tb.Context(), e, ledger.Delivery{N: n})
	must(tb, err)
}

func accept(tb testing.TB, l *ledger.Ledger, id string, n int64, msgid wechat.MessageID) {
	tb.Helper()
	_, err := l.Accepted(tb.Context(), id, n, ledger.Acceptance{To: openid, MsgID: msgid, Class: job.Default})
	must(tb, err)
}

// describe is what a message is shown as.
func describe(l *ledger.Ledger) events.Describe {
	return func(ctx context.Context, ids []string, openids bool) ([]json.RawMessage, error) {
		records, err := l.Get(ctx, ids...)
		out := make([]json.RawMessage, len(records))
		for i, r := range records {
			if r == nil {
				continue
			}
			to := wechat.MaskOpenID(r.To)
			if openids {
				to = r.To
			}
			out[i], _ = json.Marshal(map[string]string{"id": r.ID, "state": string(r.State), "to": to})
		}
		return out, err
	}
}

// all reads every event from a cursor on, a few at a time.
func all(tb testing.TB, r *events.Reader, q events.Query) []events.Event {
	tb.Helper()
	var out []events.Event
	for {
		list, next, err := r.Read(tb.Context(), q)
		must(tb, err)
		if len(list) == 0 {
			return out
		}
		out, q.After = append(out, list...), next
	}
}
