package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// attempt is one delivery of the message, as its worker knows it.
type attempt struct {
	n      int64
	life   int  // of the message, when it began
	sends  bool // holds the answer Send and has not called WeChat
	called bool // has called WeChat
	clear  bool // it surely did not arrive
	msgid  wechat.MessageID
}

// network is one message, its workers, and what is still under way to Redis. A call
// can be lost, run twice, run late and after any later call, and its answer can be
// that of the late run.
type network struct {
	*rapid.T

	l        *ledger.Ledger
	rdb      *redis.Client
	e        job.Envelope
	next     int64
	life     int
	attempts []*attempt
	late     []func() // copies of calls that have not arrived
	accepted map[int]bool
	ended    bool // cancelled in this life
	virtual  bool // time can be moved
}

// call runs do as go-redis and a bad network may, and then one of answered and gaveUp.
func (w *network) call(do, answered, gaveUp func()) {
	switch rapid.SampledFrom([]string{
		"good", "good", "twice", "late copy", "repeated late", "late", "answer lost", "lost and late",
	}).Draw(w.T, "network") {
	case "good":
		do()
		answered()
	case "twice":
		do()
		do()
		answered()
	case "late copy":
		do()
		answered()
		w.late = append(w.late, do)
	case "repeated late":
		do()
		w.late = append(w.late, func() { do(); answered() })
	case "late":
		w.late = append(w.late, func() { do(); answered() })
	case "answer lost":
		do()
		gaveUp()
	default:
		w.late = append(w.late, do)
		gaveUp()
	}
}

func nothing() {}

// fetch hands the task to a worker, as the queue does after any put-back or crash.
func (w *network) fetch() {
	w.next += int64(rapid.IntRange(1, 3).Draw(w.T, "gap"))
	a := &attempt{n: w.next, life: w.life}
	d := ledger.Delivery{N: a.n, Redelivered: len(w.attempts) > 0}
	w.attempts = append(w.attempts, a)
	var s ledger.Start
	w.call(func() {
		var err error
		if s, err = w.l.Begin(w.Context(), w.e, d); err != nil {
			w.Fatal(err)
		}
	}, func() { w.begun(a, s) }, func() { w.call(func() { w.undo(a.n) }, nothing, nothing) }) // WeChat is not called
}

// begun is a worker that has the answer of Begin.
func (w *network) begun(a *attempt, s ledger.Start) {
	if s.Decision != ledger.Send {
		return
	}
	a.sends, a.life = true, w.life
	if w.accepted[w.life] || w.ended {
		w.Fatalf("delivery %d is to be sent: accepted %v, cancelled %v", a.n, w.accepted[w.life], w.ended)
	}
	for _, other := range w.attempts {
		if other != a && other.life == w.life && (other.sends || other.called && !other.clear) && s.OpenSince.IsZero() {
			w.Fatalf("delivery %d is to be sent as the first one, but %+v may arrive", a.n, *other)
		}
	}
}

func (w *network) undo(n int64) {
	if err := w.l.Undo(w.Context(), w.e.ID, n); err != nil {
		w.Fatal(err)
	}
}

// pick draws one of the attempts that satisfy a condition; nil: there is none.
func (w *network) pick(which func(*attempt) bool) *attempt {
	var found []*attempt
	for _, a := range w.attempts {
		if which(a) {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return rapid.SampledFrom(found).Draw(w.T, "attempt")
}

// withdraw is a worker that decides not to call WeChat.
func (w *network) withdraw() {
	if a := w.pick(func(a *attempt) bool { return a.sends }); a != nil {
		a.sends = false
		w.call(func() { w.undo(a.n) }, nothing, nothing)
	}
}

// send calls WeChat and records what it answers: until Redis answers, or the worker
// gives up or crashes.
func (w *network) send() {
	a := w.pick(func(a *attempt) bool { return a.sends })
	if a == nil {
		return
	}
	a.sends, a.called = false, true
	outcome := rapid.SampledFrom([]string{"yes", "clear", "lost", "crash"}).Draw(w.T, "outcome")
	record := func() { w.fail(a, ledger.Retrying, true) }
	switch outcome {
	case "yes":
		a.msgid = wechat.MessageID(a.n)
		record = func() { w.accept(a) }
	case "clear":
		a.clear = true
		state := rapid.SampledFrom([]ledger.State{ledger.Queued, ledger.Retrying, ledger.Dead, ledger.Dead}).Draw(w.T, "state")
		record = func() { w.fail(a, state, false) }
	case "crash":
		return
	}
	w.call(record, nothing, func() { w.call(record, nothing, nothing) })
}

func (w *network) accept(a *attempt) {
	payload, err := job.Encode(w.e)
	if err != nil {
		w.Fatal(err)
	}
	r, err := w.l.Accepted(w.Context(), w.e.ID, a.n, ledger.Acceptance{
		To: w.e.To, MsgID: a.msgid, Class: w.e.Class, Payload: payload,
	})
	switch {
	case err != nil:
		w.Fatal(err)
	case r.Again && a.life == w.life:
		w.Fatalf("delivery %d is told that another attempt is due", a.n)
	case a.life == w.life:
		w.accepted[w.life], w.ended = true, false
	}
}

func (w *network) fail(a *attempt, state ledger.State, ambiguous bool) {
	err := w.l.Failed(w.Context(), w.e.ID, a.n, ledger.Outcome{
		To: w.e.To, Class: w.e.Class, State: state, Attempt: true, Ambiguous: ambiguous, Payload: []byte("p"),
	})
	if err != nil && !errors.Is(err, ledger.ErrSuperseded) {
		w.Fatal(err)
	}
}

// arrive lets a late copy reach Redis.
func (w *network) arrive() {
	if len(w.late) > 0 {
		i := rapid.IntRange(0, len(w.late)-1).Draw(w.T, "copy")
		do := w.late[i]
		w.late = slices.Delete(w.late, i, i+1)
		do()
	}
}

func (w *network) cancel() {
	ok, _, err := w.l.Cancel(w.Context(), w.e.ID)
	if err != nil {
		w.Fatal(err)
	}
	if !ok {
		return
	}
	w.ended = true
	for _, a := range w.attempts {
		if a.life == w.life && (a.sends || a.called && !a.clear) {
			w.Fatalf("cancelled, but %+v may be seen", *a)
		}
	}
}

func (w *network) revive() {
	before := w.record()
	_, _, err := w.l.Revive(w.Context(), w.e.ID)
	switch {
	case err == nil && before.State == ledger.Dead:
		w.life++
	case err != nil && !errors.Is(err, ledger.ErrNotDead):
		w.Fatal(err)
	}
}

// fallBack is a receipt that says that an accepted message did not arrive.
func (w *network) fallBack() {
	a := w.pick(func(a *attempt) bool { return a.msgid != 0 })
	if a == nil {
		return
	}
	before := w.record()
	s, err := w.l.Receipt(w.Context(), ledger.Receipt{MsgID: a.msgid, OpenID: w.e.To, Status: "failed: system failed"})
	if err != nil {
		w.Fatal(err)
	}
	if s != nil && s.Resend != nil && before.State == ledger.Accepted {
		w.life++
	}
	if w.virtual && rapid.Bool().Draw(w.T, "wait") {
		time.Sleep(11 * time.Minute)
	}
}

func (w *network) record() *ledger.Record {
	found, err := w.l.Get(w.Context(), w.e.ID)
	if err != nil || found[0] == nil {
		w.Fatalf("%+v, %v", found, err)
	}
	return found[0]
}

// check compares the record with what has truly happened.
func (w *network) check(step string) {
	r := w.record()
	taken := r.State == ledger.Accepted || r.State == ledger.Delivered || r.State == ledger.Rejected && r.Receipt != ""
	switch {
	case w.accepted[w.life] && !taken:
		w.Fatalf("%s: accepted in this life, but %+v", step, *r)
	case !w.accepted[w.life] && taken:
		w.Fatalf("%s: not accepted in this life, but %+v", step, *r)
	case w.ended && r.State != ledger.Cancelled:
		w.Fatalf("%s: cancelled, but %+v", step, *r)
	case r.State.Ended() != !r.EndedAt.IsZero():
		w.Fatalf("%s: %s, but ended at %s", step, r.State, r.EndedAt)
	case taken && w.rdb.HExists(w.Context(), key("m:"+w.e.ID), "k").Val(), taken && !r.OpenSince.IsZero():
		w.Fatalf("%s: an attempt is open, but %+v", step, *r)
	case (r.State == ledger.Queued || r.State == ledger.Retrying) && r.OpenSince.IsZero():
		for _, a := range w.attempts { // it would be sent as if for the first time
			if a.life == w.life && (a.sends || a.called && !a.clear) {
				w.Fatalf("%s: nothing is open, but %+v may arrive", step, *a)
			}
		}
	}
}

// Whatever is repeated, late or reordered: a message is never sent as the first time
// while an earlier attempt may arrive, never after WeChat took it or it was
// cancelled, and a recorded yes is never lost.
func TestLateAndRepeatedCallsDoNoHarm(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, rdb *redis.Client, virtual bool) {
		t.Helper()
		l, err := ledger.New(rdb, account, nil, ledger.Config{Resend: job.Classes()})
		must(t, err)
		defer func() { _ = l.Close() }()
		id, begun := 0, time.Now()
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) { // without Deadline, which a bubble has not
			id++
			w := &network{
				T: rt, l: l, rdb: rdb, e: envelope(fmt.Sprint("m-", id)), virtual: virtual, accepted: map[int]bool{},
				next: int64(id) << 20,
			}
			create(t, rdb, record(w.e))
			steps := map[string]func(){
				"fetch": w.fetch, "fetch once more": w.fetch, "send": w.send, "send once more": w.send, "withdraw": w.withdraw,
				"arrive": w.arrive, "arrive once more": w.arrive, "cancel": w.cancel, "revive": w.revive, "fall back": w.fallBack,
			}
			names := slices.Sorted(maps.Keys(steps))
			for range rapid.IntRange(1, 50).Draw(rt, "steps") {
				name := rapid.SampledFrom(names).Draw(rt, "step")
				steps[name]()
				w.check(name)
			}
			for len(w.late) > 0 {
				w.arrive()
				w.check("arrive")
			}
			if r := w.record(); len(w.attempts) == 1 && !w.attempts[0].called && !w.attempts[0].sends && !r.OpenSince.IsZero() {
				rt.Fatalf("WeChat was not called, but %+v", *r)
			}
		})
		checkHistory(t, l, rdb, begun, virtual)
	}
	t.Run("miniredis, virtual time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			check(t, rdb, true)
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		check(t, redistest.Start(t).Client(t), false)
	})
}
