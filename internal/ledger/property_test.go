package ledger_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// world is what truly happened to one message, beside its record.
type world struct {
	ledger    *ledger.Ledger
	rdb       *redis.Client
	envelope  job.Envelope
	msgid     wechat.MessageID // of the next acceptance
	parked    bool             // a success of msgid came before the acceptance
	accepted  bool
	end       ledger.State // that a receipt brought
	payload   bool         // was given with the acceptance: it may be sent again
	resends   int
	earlier   int64 // deliveries up to this one belong to an earlier life
	cancelled bool
	erased    bool
	latest    bool // it is remembered to whom it went
	before    *ledger.Record
}

// Any order of steps leaves a true state: an end stays an end, what WeChat
// accepted stays accepted, a receipt is never lost, attempts never sink, what
// was erased does not come back.
func TestAnyOrderLeavesATrueState(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), Protocol: 2})
	defer func() { _ = rdb.Close() }()
	rapid.Check(t, func(rt *rapid.T) {
		m.FlushAll()
		var sealed *seal.Names
		if rapid.Bool().Draw(rt, "names are sealed") {
			sealed = sealedNames(t, 1)
		}
		must(t, names.Check(t.Context(), rdb, account, sealed))
		l, err := ledger.New(rdb, account, sealed, ledger.Config{Resend: job.Classes()})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		latest.Delete(message{l, "order-1"})
		w := &world{ledger: l, rdb: rdb, envelope: envelope("order-1"), msgid: 77}
		steps := map[string]func(*testing.T, *rapid.T){
			"create": w.create, "begin": w.begin, "accepted": w.accept, "failed": w.fail, "revive": w.revive,
			"receipt": w.receipt, "undelivered": w.undelivered, "zero": w.zero, "match": w.match,
			"cancel": w.cancel, "erase": w.erase,
		}
		kinds := slices.Sorted(maps.Keys(steps))
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			name := rapid.SampledFrom(kinds).Draw(rt, "step")
			steps[name](t, rt)
			w.check(t, rt, name)
		}
	})
}

func (w *world) create(t *testing.T, _ *rapid.T) {
	t.Helper()
	if w.erased {
		return // its caller would bring the person back
	}
	create(t, w.rdb, record(w.envelope))
}

func (w *world) begin(t *testing.T, rt *rapid.T) {
	t.Helper()
	s := begin(t, w.ledger, w.envelope)
	waits := w.before != nil && !w.before.ResendAt.IsZero()
	if s.Decision == ledger.Send && (w.accepted || w.cancelled || w.erased || waits) {
		rt.Fatalf("sent again: accepted %v, cancelled %v, erased %v, to wait %v", w.accepted, w.cancelled, w.erased, waits)
	}
	if waits && s.Decision != ledger.NotYet {
		rt.Fatalf("before its time: %+v", s)
	}
}

// boundary is the last delivery of the earlier life, as recorded.
func (w *world) boundary(t *testing.T) int64 {
	t.Helper()
	n, err := w.rdb.HGet(t.Context(), key("m:"+w.envelope.ID), "j").Int64()
	must(t, err)
	return n
}

func (w *world) accept(t *testing.T, rt *rapid.T) {
	t.Helper()
	a := ledger.Acceptance{To: w.envelope.To, MsgID: w.msgid, Class: w.envelope.Class}
	if rapid.Bool().Draw(rt, "payload") {
		payload, err := job.Encode(w.envelope)
		must(t, err)
		a.Payload = payload
	}
	n := delivery(w.ledger, w.envelope.ID)
	r, err := w.ledger.Accepted(t.Context(), w.envelope.ID, n, a)
	must(t, err)
	if n <= w.earlier { // its message was set up to be sent again
		if ended := w.before.State.Ended() || w.accepted; r.Again == ended {
			rt.Fatalf("delivery %d of an earlier life: %+v", n, r)
		}
		return
	}
	if r.Again {
		rt.Fatalf("delivery %d: %+v", n, r)
	}
	if !w.accepted { // else this was only told again
		w.payload, w.latest = a.Payload != nil && !w.erased, !w.erased
	}
	w.accepted, w.cancelled = true, false
	if w.parked && w.end == "" {
		w.end = ledger.Delivered
	}
}

func (w *world) fail(t *testing.T, rt *rapid.T) {
	t.Helper()
	ends := []ledger.State{ledger.Retrying, ledger.Queued, ledger.Rejected, ledger.Expired, ledger.Unknown, ledger.Dead}
	err := w.ledger.Failed(t.Context(), w.envelope.ID, delivery(w.ledger, w.envelope.ID), ledger.Outcome{
		To: w.envelope.To, State: rapid.SampledFrom(ends).Draw(rt, "outcome"), Attempt: rapid.Bool().Draw(rt, "attempt"),
		Ambiguous: rapid.Bool().Draw(rt, "ambiguous"), Payload: []byte("p"),
	})
	mayBeVoid(t, err)
	if now := get(t, w.ledger, w.envelope.ID); err != nil && (w.before.State == ledger.Sending || !reflect.DeepEqual(now, w.before)) {
		rt.Fatalf("void, but %+v became %+v", w.before, now)
	}
}

func (w *world) revive(t *testing.T, rt *rapid.T) {
	t.Helper()
	_, _, err := w.ledger.Revive(t.Context(), w.envelope.ID)
	dead := w.before != nil && w.before.State == ledger.Dead
	switch {
	case err == nil && dead:
		w.earlier = w.boundary(t)
	case err == nil && w.before.State != ledger.Queued, err != nil && dead && !w.erased:
		rt.Fatalf("revived %+v: %v", w.before, err)
	}
}

func (w *world) receipt(t *testing.T, _ *rapid.T) {
	t.Helper()
	receipt(t, w.ledger, ledger.Receipt{MsgID: w.msgid, OpenID: w.envelope.To, Status: "success"})
	w.parked = true
	if w.accepted && w.end == "" {
		w.end = ledger.Delivered
	}
}

// undelivered is WeChat's word that the message surely did not arrive.
func (w *world) undelivered(t *testing.T, rt *rapid.T) {
	t.Helper()
	if !w.accepted || w.parked {
		return
	}
	s := receipt(t, w.ledger, ledger.Receipt{MsgID: w.msgid, OpenID: w.envelope.To, Status: "failed: system failed"})
	switch again := w.payload && w.resends == 0; {
	case w.end != "":
		if s != nil && s.Resend != nil {
			rt.Fatalf("sent again after its end: %+v", s)
		}
	case again && (s.Resend == nil || s.State != ledger.Retrying):
		rt.Fatalf("not sent again: %+v", s)
	case again:
		w.resends, w.accepted, w.msgid = 1, false, w.msgid+1
		w.earlier = w.boundary(t)
	default:
		w.end = ledger.Rejected
	}
}

// zero is a receipt that names no message.
func (w *world) zero(t *testing.T, rt *rapid.T) {
	t.Helper()
	s := receipt(t, w.ledger, ledger.Receipt{OpenID: w.envelope.To, Status: "success", At: time.Now()})
	if s != nil && !w.accepted {
		rt.Fatalf("ended what was not accepted: %+v", s)
	}
	if w.accepted && w.end == "" && w.latest {
		w.end = ledger.Delivered
	}
}

// match is a receipt whose msgid is not known.
func (w *world) match(t *testing.T, rt *rapid.T) {
	t.Helper()
	s := match(t, w.ledger, ledger.Receipt{MsgID: 99, OpenID: w.envelope.To, Status: "success", At: time.Now()})
	if s == nil {
		return
	}
	if repeated := w.before.MsgID == 99; !repeated && (w.before.OpenSince.IsZero() || w.erased) {
		rt.Fatalf("ended what cannot be its own: %+v", w.before)
	}
	if w.end == "" {
		w.accepted, w.end = true, ledger.Delivered
	}
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

func (w *world) erase(t *testing.T, rt *rapid.T) {
	t.Helper()
	refs, err := w.ledger.Erase(t.Context(), ledger.Erasure{OpenIDs: []string{w.envelope.To}, Tasks: noTasks})
	must(t, err)
	known := w.before != nil && w.before.To != ""
	if known != (len(refs) == 1) {
		rt.Fatalf("found %v of %+v", refs, w.before)
	}
	if known {
		w.erased, w.payload, w.latest = true, false, false
	}
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
	case w.accepted && w.end != "" && now.State != w.end:
		rt.Fatalf("%s: accepted and answered %s, but %s", step, w.end, now.State)
	case w.accepted && w.end == "" && now.State != ledger.Accepted:
		rt.Fatalf("%s: accepted, but %s", step, now.State)
	case w.cancelled && now.State != ledger.Cancelled:
		rt.Fatalf("%s: cancelled, but %s", step, now.State)
	case now.State == ledger.Accepted && !now.OpenSince.IsZero():
		rt.Fatalf("%s: accepted, but still open", step)
	case w.resends != now.Resends:
		rt.Fatalf("%s: sent again %d times, recorded %d", step, w.resends, now.Resends)
	case !now.ResendAt.IsZero() && now.State != ledger.Retrying:
		rt.Fatalf("%s: waits to be sent again, but %s", step, now.State)
	}
	if w.erased {
		if keys := readable(t, w.rdb, w.envelope.To); now.To != "" || len(keys) != 0 {
			rt.Fatalf("%s: the recipient is back in %v", step, keys)
		}
	}
	w.checkStep(rt, step, before, now)
}

func (w *world) checkStep(rt *rapid.T, step string, before, now *ledger.Record) {
	if before == nil || before.State == now.State {
		return
	}
	revived := step == "revive" && before.State == ledger.Dead
	matched := step == "match" && before.State == ledger.Unknown
	if before.State.Ended() && !revived && !matched && step != "accepted" {
		rt.Fatalf("%s led from the end %s to %s", step, before.State, now.State)
	}
	if now.Attempts < before.Attempts && !revived && step != "undelivered" {
		rt.Fatalf("%s: attempts sank from %d to %d", step, before.Attempts, now.Attempts)
	}
}
