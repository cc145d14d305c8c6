package ledger_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
)

// toUser is a message to a user of the business.
func toUser(id, user string) job.Envelope {
	e := envelope(id)
	e.To, e.User = "", user
	e.Body = []byte(`{"template_id":"T","data":{}}`)
	return e
}

// A user's message goes to the openid that was bound last, of those that may be
// written to.
func TestUserHasSeveralOpenIDs(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		bind(t, rdb, "u", "oFIRST", 9)
		bind(t, rdb, "u", "oLAST", 1_700_000_000_000)
		bind(t, rdb, "u", "oMIDDLE", 1_600_000_000_000)
		suppress := func(openid, template, reason string) {
			t.Helper()
			must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: openid, Template: template, Reason: reason, ByAdmin: true}))
		}
		for i, step := range []struct {
			before func()
			to     string
		}{
			{func() {}, "oLAST"},
			{func() { suppress("oLAST", "another", "refused") }, "oLAST"},
			{func() { suppress("oLAST", envelope("").Template, "refused") }, "oMIDDLE"},
			{func() { suppress("oMIDDLE", "", "gone") }, "oFIRST"},
		} {
			step.before()
			e := toUser("m"+string(rune('0'+i)), "u")
			if s := begin(t, l, e); s.Decision != ledger.Send || s.To != step.to {
				t.Errorf("step %d: %+v, want %s", i, s, step.to)
			}
			if r := state(t, l, e.ID, ledger.Sending); r.To != step.to || r.User != "u" {
				t.Errorf("step %d: recorded %+v", i, r)
			}
		}
		suppress("oFIRST", "", "moved")
		if s := begin(t, l, toUser("none", "u")); s.Decision != ledger.Suppressed || s.Reason != "refused" || s.To != "oLAST" {
			t.Errorf("all are suppressed: %+v, want the reason of the latest", s)
		}
		if r := state(t, l, "none", ledger.Rejected); r.Reason != ledger.ReasonSuppressed {
			t.Errorf("got %+v", r)
		}
		if s := begin(t, l, toUser("unbound", "v")); s.Decision != ledger.NoUser {
			t.Errorf("got %+v, want NoUser", s)
		}
	})
}

// What the roster wrote in a way that is not known is the oldest, not a fault.
func TestUserBoundAtNoTime(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		must(t, rdb.HSet(t.Context(), key("user:u"), "oODD", "yesterday", "oALSO", "").Err())
		if s := begin(t, l, toUser("a", "u")); s.Decision != ledger.Send || s.To != "oALSO" {
			t.Errorf("got %+v", s)
		}
		bind(t, rdb, "u", "oNEW", 5)
		if s := begin(t, l, toUser("b", "u")); s.To != "oNEW" {
			t.Errorf("got %+v", s)
		}
	})
}

// WeChat drops a replay of the same openid and client_msg_id alone, so a replay
// goes where the first attempt went, whatever was bound since.
func TestReplayKeepsTheOpenID(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		bind(t, rdb, "u", "oOLD", 1)
		e := toUser("m", "u")
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{To: "oOLD", State: ledger.Retrying, Attempt: true, Ambiguous: true})
		bind(t, rdb, "u", "oNEW", 2)
		if s := begin(t, l, e); s.Decision != ledger.Send || s.To != "oOLD" {
			t.Fatalf("a replay goes elsewhere: %+v", s)
		}
		failed(t, l, e.ID, ledger.Outcome{To: "oOLD", State: ledger.Retrying, Attempt: true})
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: "oOLD", Reason: "unsubscribed"}))
		if s := begin(t, l, e); s.Decision != ledger.Suppressed || s.To != "oOLD" {
			t.Errorf("a replay of a message to a follower who left: %+v", s)
		}
		state(t, l, e.ID, ledger.Unknown)

		e = toUser("clear", "u") // nothing can have arrived: the next openid is as good
		must(t, rdb.HDel(t.Context(), key("user:u"), "oNEW").Err())
		_, err := l.Lift(t.Context(), "oOLD", "")
		must(t, err)
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{To: "oOLD", State: ledger.Retrying, Attempt: true})
		bind(t, rdb, "u", "oNEW", 2)
		if s := begin(t, l, e); s.To != "oNEW" {
			t.Errorf("got %+v, want the openid bound last", s)
		}
	})
}

// A direct message costs what it did: one trip, whatever is suppressed.
func TestBeginIsOneTrip(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		bind(t, rdb, "u", "oUSER", 1)
		begin(t, l, envelope("warm"))
		for _, e := range []job.Envelope{envelope("direct"), toUser("user", "u")} {
			create(t, rdb, record(e)) // a record that is missing costs a second trip
		}
		count := &trips{}
		rdb.AddHook(count)
		begin(t, l, envelope("direct"))
		begin(t, l, toUser("user", "u"))
		accepted(t, l, "direct", ledger.Acceptance{To: "o", MsgID: 4, Class: job.Critical, Payload: []byte("p")})
		accepted(t, l, "user", ledger.Acceptance{To: "oUSER"})
		if n := count.n.Load(); n > 5 { // one of them teaches the second script
			t.Errorf("%d trips for two messages, want one read and one write of each", n)
		}
	})
}
