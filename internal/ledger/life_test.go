package ledger_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestMessageIsRetriedAcceptedAndDelivered(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("order-1")
		create(t, rdb, record(e))
		s := begin(t, l, e)
		if s.Decision != ledger.Send || s.State != ledger.Queued || s.Attempts != 0 || s.To != e.To || !s.OpenSince.IsZero() {
			t.Fatalf("first Begin: %+v", s)
		}
		if r := state(t, l, e.ID, ledger.Sending); r.OpenSince.IsZero() {
			t.Error("a message being sent must be marked open, so that a crash is known")
		}
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Retrying, Errcode: 45011, Reason: "rate", Attempt: true})
		r := state(t, l, e.ID, ledger.Retrying)
		if r.Attempts != 1 || r.Errcode != 45011 || r.Reason != "rate" || !r.OpenSince.IsZero() || !r.EndedAt.IsZero() {
			t.Fatalf("after a clear failure: %+v", r)
		}
		if s = begin(t, l, e); s.Decision != ledger.Send || s.State != ledger.Retrying || s.Attempts != 1 {
			t.Fatalf("second Begin: %+v", s)
		}
		accepted(t, l, e.ID, ledger.Acceptance{MsgID: 4711})
		r = state(t, l, e.ID, ledger.Accepted)
		if r.MsgID != 4711 || r.Attempts != 2 || r.Errcode != 0 || r.Reason != "" || r.SentAt.IsZero() || !r.EndedAt.IsZero() || !r.OpenSince.IsZero() || r.PossibleDuplicate {
			t.Fatalf("after acceptance: %+v", r)
		}
		if s = begin(t, l, e); s.Decision != ledger.Ended || s.State != ledger.Accepted {
			t.Fatalf("Begin of an accepted message: %+v", s)
		}
		got, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: 4711, OpenID: e.To, Status: "success", At: time.Now().Add(time.Second)})
		must(t, err)
		r = state(t, l, e.ID, ledger.Delivered)
		if got == nil || got.State != ledger.Delivered || r.Receipt != "success" || r.EndedAt.IsZero() {
			t.Fatalf("after the receipt: %+v, returned %+v", r, got)
		}
	})
}

func TestBeginDecisions(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		t.Run("a missing record is made again", func(t *testing.T) {
			t.Parallel()
			e := envelope("lost")
			if s := begin(t, l, e); s.Decision != ledger.Send || s.State != ledger.Queued {
				t.Fatalf("got %+v", s)
			}
			want := record(e)
			want.State = ledger.Sending
			got := state(t, l, e.ID, ledger.Sending)
			want.OpenSince = got.OpenSince
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
		t.Run("a stray of another class or body is dropped", func(t *testing.T) {
			t.Parallel()
			e := envelope("mine")
			create(t, rdb, record(e))
			class, body := e, e
			class.Class, body.Body = job.Bulk, []byte(`{"touser":"x"}`)
			for _, stray := range []job.Envelope{class, body} {
				if s := begin(t, l, stray); s.Decision != ledger.Foreign {
					t.Errorf("got %+v, want Stray", s)
				}
			}
			state(t, l, e.ID, ledger.Queued)
		})
		t.Run("a user is resolved", func(t *testing.T) {
			t.Parallel()
			e := envelope("user-1")
			e.To, e.User = "", "u-17"
			bind(t, rdb, "u-17", "oUSER", 1)
			if s := begin(t, l, e); s.Decision != ledger.Send || s.To != "oUSER" {
				t.Fatalf("got %+v", s)
			}
			if r := state(t, l, e.ID, ledger.Sending); r.To != "oUSER" || r.User != "u-17" {
				t.Errorf("got %+v", r)
			}
			e.ID, e.User = "user-2", "u-18"
			if s := begin(t, l, e); s.Decision != ledger.NoUser {
				t.Fatalf("got %+v, want NoUser", s)
			}
			if r := state(t, l, e.ID, ledger.Rejected); r.Reason != "no-user" || r.EndedAt.IsZero() {
				t.Errorf("got %+v", r)
			}
		})
	})
}

func TestCrashWhileSendingIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		e := envelope("crash")
		begin(t, l, e)
		first := get(t, l, e.ID).OpenSince
		time.Sleep(time.Minute)
		s := begin(t, l, e)
		if s.Decision != ledger.Send || s.State != ledger.Sending || !s.OpenSince.Equal(first) || s.Attempts != 0 {
			t.Fatalf("got %+v, want open since %s", s, first)
		}
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Queued, Reason: "gate closed"})
		if r := state(t, l, e.ID, ledger.Queued); !r.OpenSince.Equal(first) {
			t.Errorf("a deferral closed the attempt of a crashed worker: %+v", r)
		}
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: e.To, Reason: "unsubscribed"}))
		if s = begin(t, l, e); s.Decision != ledger.Suppressed || s.Reason != "unsubscribed" {
			t.Fatalf("got %+v", s)
		}
		if r := state(t, l, e.ID, ledger.Unknown); r.Reason != "suppressed" {
			t.Errorf("rejected would be untrue, the first attempt may have arrived: %+v", r)
		}
	})
}

func TestFailedRecordsTheEnd(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for _, end := range []ledger.State{ledger.Rejected, ledger.Expired, ledger.Unknown, ledger.Dead} {
			e := envelope("end-" + string(end))
			create(t, rdb, record(e))
			begin(t, l, e)
			o := ledger.Outcome{State: end, Errcode: 43004, Reason: "require-subscribe", Attempt: true, Ambiguous: end == ledger.Unknown, Duplicate: end == ledger.Unknown}
			failed(t, l, e.ID, o)
			r := state(t, l, e.ID, end)
			if r.EndedAt.IsZero() || r.Attempts != 1 || r.Errcode != 43004 || r.OpenSince.IsZero() == (end == ledger.Unknown) || r.PossibleDuplicate != (end == ledger.Unknown) {
				t.Errorf("%s: %+v", end, r)
			}
			failed(t, l, e.ID, ledger.Outcome{State: ledger.Retrying, Attempt: true})
			failed(t, l, e.ID, ledger.Outcome{State: ledger.Expired})
			if diff := cmp.Diff(r, get(t, l, e.ID)); diff != "" {
				t.Errorf("%s: a late worker overruled the end:\n%s", end, diff)
			}
			if end == ledger.Dead {
				continue
			}
			if s := begin(t, l, e); s.Decision != ledger.Ended || s.State != end {
				t.Errorf("%s: Begin says %+v", end, s)
			}
		}
		for _, no := range []ledger.State{ledger.Accepted, ledger.Scheduled, ledger.Sending, "", "x"} {
			if l.Failed(t.Context(), "end-dead", 1, ledger.Outcome{State: no}) == nil {
				t.Errorf("Failed took %q as an outcome", no)
			}
		}
		t.Run("too late before it began", func(t *testing.T) {
			t.Parallel()
			e := envelope("late")
			create(t, rdb, record(e))
			failed(t, l, e.ID, ledger.Outcome{State: ledger.Expired, Reason: "not-after", Attempt: true})
			if r := state(t, l, e.ID, ledger.Expired); r.Attempts != 0 {
				t.Errorf("counted an attempt that did not begin: %+v", r)
			}
		})
		t.Run("WeChat's yes overrules an end that did not know of it", func(t *testing.T) {
			t.Parallel()
			accepted(t, l, "end-unknown", ledger.Acceptance{MsgID: 99, Duplicate: true})
			if r := state(t, l, "end-unknown", ledger.Accepted); !r.PossibleDuplicate || r.MsgID != 99 || !r.EndedAt.IsZero() || r.Errcode != 0 {
				t.Errorf("got %+v", r)
			}
		})
	})
}

func TestLostRecordKeepsItsEnd(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		accepted(t, l, "a", ledger.Acceptance{MsgID: 7})
		failed(t, l, "b", ledger.Outcome{State: ledger.Dead, Payload: []byte("p")})
		state(t, l, "a", ledger.Accepted)
		state(t, l, "b", ledger.Dead)
		if s := begin(t, l, envelope("a")); s.Decision != ledger.Ended {
			t.Errorf("a message whose record was lost while it was sent is sent again: %+v", s)
		}
		for _, id := range []string{"a", "b"} {
			if ttl := rdb.TTL(t.Context(), key("m:"+id)).Val(); ttl <= 0 {
				t.Errorf("%s has no expiry: %s", id, ttl)
			}
		}
	})
}

func TestAcceptedKeepsTheFirstMsgID(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		t.Run("msgid 0", func(t *testing.T) {
			t.Parallel()
			accepted(t, l, "zero", ledger.Acceptance{MsgID: 0})
			accepted(t, l, "zero", ledger.Acceptance{MsgID: 0})
			if r := state(t, l, "zero", ledger.Accepted); r.MsgID != 0 || r.Attempts != 1 || r.PossibleDuplicate {
				t.Errorf("got %+v", r)
			}
			got, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: 0, Status: "success"})
			if got != nil || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
		})
		t.Run("twice under two msgids", func(t *testing.T) {
			t.Parallel()
			accepted(t, l, "two", ledger.Acceptance{MsgID: 1})
			accepted(t, l, "two", ledger.Acceptance{MsgID: 2})
			if r := state(t, l, "two", ledger.Accepted); r.MsgID != 1 || !r.PossibleDuplicate || r.Attempts != 1 {
				t.Errorf("got %+v", r)
			}
			if r, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: 2, Status: "success"}); err != nil || r == nil || r.State != ledger.Delivered {
				t.Errorf("the receipt of the second msgid is lost: %+v, %v", r, err)
			}
			accepted(t, l, "two", ledger.Acceptance{MsgID: 3})
			state(t, l, "two", ledger.Delivered)
		})
		t.Run("the whole range of msgid", func(t *testing.T) {
			t.Parallel()
			accepted(t, l, "big", ledger.Acceptance{MsgID: 1<<62 + 1})
			if r := get(t, l, "big"); r.MsgID != 1<<62+1 {
				t.Errorf("got %d", r.MsgID)
			}
		})
	})
}

func TestAcceptedWithoutReceiptEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		e := envelope("quiet")
		create(t, rdb, record(e))
		begin(t, l, e)
		accepted(t, l, e.ID, ledger.Acceptance{MsgID: 5})
		time.Sleep(24*time.Hour - time.Millisecond)
		if r := state(t, l, e.ID, ledger.Accepted); !r.EndedAt.IsZero() {
			t.Errorf("ended before 24 h: %+v", r)
		}
		time.Sleep(time.Millisecond)
		if r := state(t, l, e.ID, ledger.Accepted); !r.EndedAt.Equal(r.SentAt.Add(24 * time.Hour)) {
			t.Errorf("not ended after 24 h: %+v", r)
		}
		time.Sleep(71 * time.Hour)
		state(t, l, e.ID, ledger.Accepted)
		time.Sleep(2 * time.Hour)
		if r := get(t, l, e.ID); r != nil {
			t.Errorf("kept for over 72 h after its end: %+v", r)
		}
	})
}

func TestRecordsLiveAsLongAsTheirTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		far, soon := envelope("far"), envelope("soon")
		far.NotBefore = time.Now().Add(60 * 24 * time.Hour)
		far.NotAfter = far.NotBefore.Add(time.Hour)
		create(t, rdb, record(far))
		create(t, rdb, record(soon))
		time.Sleep(29 * 24 * time.Hour)
		if s := begin(t, l, soon); s.Decision != ledger.Send { // prolongs its life
			t.Fatalf("got %+v", s)
		}
		time.Sleep(2 * 24 * time.Hour)
		state(t, l, "soon", ledger.Sending)
		failed(t, l, "soon", ledger.Outcome{State: ledger.Rejected})
		time.Sleep(73 * time.Hour)
		if r := get(t, l, "soon"); r != nil {
			t.Errorf("an ended record is kept: %+v", r)
		}
		time.Sleep(time.Until(far.NotAfter))
		state(t, l, "far", ledger.Expired)
	})
}

// What waits past its not-after is not sent any more, and reads so at once: not only
// when its task is fetched, which can be days later.
func TestPastNotAfterReadsAsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		at := time.Now().Add(time.Hour)
		message := func(id string) job.Envelope {
			e := envelope(id)
			e.NotAfter = at
			return e
		}
		create(t, rdb, record(message("queued")))
		scheduled := record(message("scheduled"))
		scheduled.State, scheduled.NotBefore = ledger.Scheduled, at.Add(-time.Minute)
		create(t, rdb, scheduled)
		for _, id := range []string{"retrying", "open", "sending", "accepted"} {
			begin(t, l, message(id))
		}
		failed(t, l, "retrying", ledger.Outcome{State: ledger.Retrying, Attempt: true, Reason: "busy"})
		failed(t, l, "open", ledger.Outcome{State: ledger.Retrying, Attempt: true, Ambiguous: true})
		accepted(t, l, "accepted", ledger.Acceptance{MsgID: 1})
		time.Sleep(time.Hour - time.Millisecond)
		state(t, l, "queued", ledger.Queued)
		state(t, l, "scheduled", ledger.Queued)
		time.Sleep(time.Millisecond)
		for id, want := range map[string]ledger.State{
			"queued": ledger.Expired, "scheduled": ledger.Expired, "retrying": ledger.Expired, "open": ledger.Unknown,
			"sending": ledger.Sending, "accepted": ledger.Accepted,
		} {
			r := state(t, l, id, want)
			if ended := want.Ended(); ended != r.EndedAt.Equal(at) || ended != (r.Reason == ledger.ReasonNotAfter) {
				t.Errorf("%s: %+v", id, r)
			}
		}
	})
}

// Records of the version before can be read, sent and ended.
func TestRecordsOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("")
		write := func(id string, more map[string]any) {
			t.Helper()
			f := map[string]any{"c": "d", "t": e.To, "p": e.Template, "h": e.Hash(), "q": "1795392000123"}
			maps.Copy(f, more)
			must(t, rdb.HSet(t.Context(), key("m:"+id), f).Err())
			must(t, rdb.Expire(t.Context(), key("m:"+id), time.Hour).Err())
		}
		begun := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
		write("sending", map[string]any{"s": "s", "o": begun.UnixMilli()})
		write("accepted", map[string]any{"s": "a", "a": "2", "x": begun.UnixMilli(), "m": "77"})
		write("delivered", map[string]any{"s": "d", "a": "1", "x": begun.UnixMilli(), "m": "78", "f": "success", "z": begun.UnixMilli()})
		write("dead", map[string]any{"s": "x", "a": "3", "r": "busy", "e": "-1", "z": begun.UnixMilli()})
		must(t, rdb.Set(t.Context(), key("dead:dead"), "payload", time.Hour).Err())
		must(t, rdb.ZAdd(t.Context(), key("dead"), redis.Z{Score: float64(begun.UnixMilli()), Member: "dead"}).Err())

		if r := state(t, l, "delivered", ledger.Delivered); r.Receipt != "success" || r.Attempts != 1 || r.Template != e.Template || r.MsgID != 78 || !r.EndedAt.Equal(begun) {
			t.Errorf("got %+v", r)
		}
		for _, id := range []string{"accepted", "delivered", "dead"} {
			if s := begin(t, l, envelope(id)); s.Decision != ledger.Ended {
				t.Errorf("%s: %+v", id, s)
			}
		}
		must(t, rdb.Set(t.Context(), key("i:77"), "=accepted", time.Hour).Err())
		if s := receipt(t, l, failing(77, "success")); s.State != ledger.Delivered || s.Attempts != 2 {
			t.Errorf("got %+v", s)
		}
		if s := begin(t, l, envelope("sending")); s.Decision != ledger.Send || !s.OpenSince.Equal(begun) {
			t.Errorf("got %+v", s)
		}
		if payload, _, err := l.Revive(t.Context(), "dead"); err != nil || string(payload) != "payload" {
			t.Errorf("got %q, %v", payload, err)
		}
		if s := begin(t, l, envelope("dead")); s.Decision != ledger.Send || s.Attempts != 0 || !s.OpenSince.IsZero() {
			t.Errorf("got %+v", s)
		}
	})
}
