package ledger_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// world is what truly happened to one message, beside its record.
type world struct {
	ledger    *ledger.Ledger
	rdb       *redis.Client
	envelope  job.Envelope
	msgid     wechat.MessageID
	accepted  bool
	answered  bool // a receipt came
	cancelled bool
	before    *ledger.Record
}

// Any order of steps leaves a true state: an end stays an end, what WeChat
// accepted is never forgotten, a receipt is never lost, attempts never sink.
func TestAnyOrderLeavesATrueState(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), Protocol: 2})
	defer func() { _ = rdb.Close() }()
	rapid.Check(t, func(rt *rapid.T) {
		m.FlushAll()
		l, err := ledger.New(rdb, ledger.Config{Account: account})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		w := &world{ledger: l, rdb: rdb, envelope: envelope("order-1"), msgid: 77}
		steps := map[string]func(*testing.T, *rapid.T){
			"born": w.born, "begin": w.begin, "accepted": w.accept, "failed": w.fail,
			"receipt": w.receipt, "cancel": w.cancel,
		}
		names := []string{"born", "begin", "accepted", "failed", "receipt", "cancel"}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			name := rapid.SampledFrom(names).Draw(rt, "step")
			steps[name](t, rt)
			w.check(t, rt, name)
		}
	})
}

func (w *world) born(t *testing.T, _ *rapid.T) {
	t.Helper()
	born(t, w.rdb, w.ledger, record(w.envelope))
}

func (w *world) begin(t *testing.T, rt *rapid.T) {
	t.Helper()
	s := begin(t, w.ledger, w.envelope)
	if s.Decision == ledger.Go && (w.accepted || w.cancelled) {
		rt.Fatalf("sent again: accepted %v, cancelled %v", w.accepted, w.cancelled)
	}
}

func (w *world) accept(t *testing.T, _ *rapid.T) {
	t.Helper()
	must(t, w.ledger.Accepted(t.Context(), w.envelope.ID, ledger.Acceptance{MsgID: w.msgid}))
	w.accepted, w.cancelled = true, false
}

func (w *world) fail(t *testing.T, rt *rapid.T) {
	t.Helper()
	ends := []ledger.State{ledger.Retrying, ledger.Queued, ledger.Rejected, ledger.Expired, ledger.Unknown, ledger.Dead}
	must(t, w.ledger.Failed(t.Context(), w.envelope.ID, ledger.Outcome{
		State: rapid.SampledFrom(ends).Draw(rt, "outcome"), Attempt: rapid.Bool().Draw(rt, "attempt"),
		Ambiguous: rapid.Bool().Draw(rt, "ambiguous"), Payload: []byte("p"),
	}))
}

func (w *world) receipt(t *testing.T, _ *rapid.T) {
	t.Helper()
	_, err := w.ledger.Receipt(t.Context(), ledger.Receipt{MsgID: w.msgid, Status: "success"})
	must(t, err)
	w.answered = true
}

func (w *world) cancel(t *testing.T, rt *rapid.T) {
	t.Helper()
	ok, r, err := w.ledger.Cancel(t.Context(), w.envelope.ID)
	must(t, err)
	if ok && (w.accepted || r.State != ledger.Cancelled) {
		rt.Fatalf("said cancelled: %+v", r)
	}
	w.cancelled = ok
}

func (w *world) check(t *testing.T, rt *rapid.T, step string) {
	t.Helper()
	now := get(t, w.ledger, w.envelope.ID)
	before := w.before
	w.before = now
	switch {
	case now == nil:
		if before != nil {
			rt.Fatalf("%s lost the record", step)
		}
		return
	case now.State.Ended() != !now.EndedAt.IsZero():
		rt.Fatalf("%s: %s, but ended at %v", step, now.State, now.EndedAt)
	case w.accepted && w.answered && now.State != ledger.Delivered:
		rt.Fatalf("%s: accepted and answered, but %s", step, now.State)
	case w.accepted && !w.answered && now.State != ledger.Accepted:
		rt.Fatalf("%s: accepted, but %s", step, now.State)
	case w.cancelled && now.State != ledger.Cancelled:
		rt.Fatalf("%s: cancelled, but %s", step, now.State)
	case now.State == ledger.Accepted && !now.OpenSince.IsZero():
		rt.Fatalf("%s: accepted, but still open", step)
	}
	if before == nil || before.State == now.State {
		return
	}
	revived := step == "begin" && before.State == ledger.Dead
	if before.State.Ended() && !revived && step != "accepted" {
		rt.Fatalf("%s led from the end %s to %s", step, before.State, now.State)
	}
	if now.Attempts < before.Attempts && !revived {
		rt.Fatalf("%s: attempts sank from %d to %d", step, before.Attempts, now.Attempts)
	}
}
