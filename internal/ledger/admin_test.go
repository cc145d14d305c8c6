package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestCancelEndsOnlyWhatCannotHaveBeenSeen(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		cancel := func(id string) (bool, *ledger.Record) {
			t.Helper()
			ok, r, err := l.Cancel(t.Context(), id)
			must(t, err)
			return ok, r
		}
		if ok, r := cancel("missing"); ok || r != nil {
			t.Errorf("missing: %v, %+v", ok, r)
		}
		e := envelope("waiting")
		create(t, rdb, record(e))
		for range 2 {
			if ok, r := cancel(e.ID); !ok || r.State != ledger.Cancelled || r.EndedAt.IsZero() {
				t.Errorf("queued: %v, %+v", ok, r)
			}
		}
		if s := begin(t, l, e); s.Decision != ledger.Ended || s.State != ledger.Cancelled {
			t.Errorf("a cancelled message begins: %+v", s)
		}
		e = envelope("begun")
		begin(t, l, e)
		if ok, r := cancel(e.ID); ok || r.State != ledger.Sending {
			t.Errorf("sending: %v, %+v", ok, r)
		}
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Retrying, Attempt: true, Ambiguous: true})
		if ok, r := cancel(e.ID); ok || r.State != ledger.Retrying {
			t.Errorf("perhaps seen: %v, %+v", ok, r)
		}
		e = envelope("refused")
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Retrying, Attempt: true})
		if ok, r := cancel(e.ID); !ok || r.State != ledger.Cancelled {
			t.Errorf("surely not seen: %v, %+v", ok, r)
		}
	})
}

// Either the worker begins or the caller cancels, never both.
func TestCancelRacesBegin(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		var all sync.WaitGroup
		for i := range 100 {
			e := envelope(fmt.Sprint("race-", i))
			create(t, rdb, record(e))
			var won atomic.Int32
			all.Go(func() {
				if s, err := tryBegin(t.Context(), l, e); err != nil || s.Decision == ledger.Send && won.Add(1) > 1 {
					t.Errorf("%s: both won, or %v", e.ID, err)
				}
			})
			all.Go(func() {
				if ok, _, err := l.Cancel(t.Context(), e.ID); err != nil || ok && won.Add(1) > 1 {
					t.Errorf("%s: both won, or %v", e.ID, err)
				}
			})
		}
		all.Wait()
	})
}

func TestDeadLettersAreListedDroppedAndRevived(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		payload := strings.Repeat("订单\n{}", 500)
		for i := range 5 {
			e := envelope(fmt.Sprint("dead-", i))
			create(t, rdb, record(e))
			begin(t, l, e)
			failed(t, l, e.ID, ledger.Outcome{State: ledger.Dead, Errcode: -1, Reason: "busy", Attempt: true, Payload: []byte(payload)})
		}
		list, total, err := l.Dead(t.Context(), 0, 3)
		must(t, err)
		if len(list) != 3 || total != 5 || list[0].State != ledger.Dead {
			t.Fatalf("got %d of %d: %+v", len(list), total, list)
		}
		if list, _, err = l.Dead(t.Context(), 3, 10); err != nil || len(list) != 2 {
			t.Errorf("second page: %d, %v", len(list), err)
		}
		if _, _, err := l.Dead(t.Context(), 0, 0); err == nil {
			t.Error("a page of none must be refused")
		}
		must(t, l.Drop(t.Context()))
		must(t, l.Drop(t.Context(), "dead-1", "dead-2", "missing"))
		if got, _, err := l.Revive(t.Context(), "dead-1"); got != nil || !errors.Is(err, ledger.ErrNoPayload) {
			t.Errorf("after Drop: %q, %v", got, err)
		}
		state(t, l, "dead-1", ledger.Dead)

		if got, class, err := l.Revive(t.Context(), "dead-3"); string(got) != payload || class != job.Default || err != nil {
			t.Errorf("revived: %d bytes, %s, %v", len(got), class, err)
		}
		for range 2 { // a repeated call is the same retry
			if r := state(t, l, "dead-3", ledger.Queued); r.Revivals != 1 || time.Since(r.RevivedAt).Abs() > time.Hour {
				t.Errorf("revived %d times, last %s", r.Revivals, r.RevivedAt)
			}
			if _, _, err := l.Revive(t.Context(), "dead-3"); err != nil {
				t.Error(err)
			}
		}
		if r := state(t, l, "dead-3", ledger.Queued); r.Attempts != 0 || r.Errcode != 0 || r.Reason != "" || !r.EndedAt.IsZero() {
			t.Errorf("revived: %+v", r)
		}
		if _, total, err = l.Dead(t.Context(), 0, 1); err != nil || total != 2 {
			t.Errorf("%d are dead after two were dropped and one revived, %v", total, err)
		}
		if s := begin(t, l, envelope("dead-3")); s.Decision != ledger.Send || s.Attempts != 0 || !s.OpenSince.IsZero() {
			t.Errorf("begins after Revive: %+v", s)
		}
		failed(t, l, "dead-3", ledger.Outcome{State: ledger.Dead, Reason: "busy", Attempt: true, Payload: []byte(payload)})
		if _, _, err := l.Revive(t.Context(), "dead-3"); err != nil || state(t, l, "dead-3", ledger.Queued).Revivals != 2 {
			t.Errorf("revived again: %v", err)
		}
	})
}

func TestDeadAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		die := func(id string) {
			failed(t, l, id, ledger.Outcome{State: ledger.Dead, Payload: []byte("p")})
		}
		die("old")
		time.Sleep(29 * 24 * time.Hour)
		state(t, l, "old", ledger.Dead)
		die("new")
		time.Sleep(2 * 24 * time.Hour)
		list, _, err := l.Dead(t.Context(), 0, 10)
		must(t, err)
		if len(list) != 1 || list[0].ID != "new" {
			t.Errorf("got %+v, want the new one only", list)
		}
		die("newest")
		if n := rdb.ZCard(t.Context(), key("dead")).Val(); n != 2 {
			t.Errorf("the index holds %d, want 2", n)
		}
		time.Sleep(735 * 24 * time.Hour) // the history's
		if left := rdb.Keys(t.Context(), "*").Val(); len(left) != 0 {
			t.Errorf("left without an end: %v", left)
		}
	})
}

func TestSuppressedRecipientIsNotSentTo(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("one")
		for _, s := range []ledger.Suppression{
			{OpenID: e.To, Template: "another", Reason: "refused"},
			{OpenID: "oSOMEBODYELSE", Reason: "unsubscribed"},
		} {
			must(t, l.Suppress(t.Context(), s))
		}
		if s := begin(t, l, e); s.Decision != ledger.Send {
			t.Fatalf("another's suppression holds: %+v", s)
		}
		e = envelope("two")
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: e.To, Template: e.Template, Reason: "refused by user"}))
		create(t, rdb, record(e))
		s := begin(t, l, e)
		if s.Decision != ledger.Suppressed || s.Reason != "refused by user" {
			t.Fatalf("got %+v", s)
		}
		if r := state(t, l, e.ID, ledger.Rejected); r.Reason != "suppressed" || r.Attempts != 0 || r.EndedAt.IsZero() {
			t.Errorf("got %+v", r)
		}
		if s := suppressed(t, l, e.To, e.Template); s == nil || s.Reason != "refused by user" {
			t.Errorf("Suppressed: %+v", s)
		}
		lifted, err := l.Lift(t.Context(), e.To, e.Template)
		if err != nil || !lifted {
			t.Errorf("Lift: %v, %v", lifted, err)
		}
		if lifted, err = l.Lift(t.Context(), e.To, e.Template); err != nil || lifted {
			t.Errorf("Lift of nothing: %v, %v", lifted, err)
		}
		e.ID = "three"
		if s := begin(t, l, e); s.Decision != ledger.Send {
			t.Errorf("lifted, but %+v", s)
		}
		for _, no := range []ledger.Suppression{{}, {OpenID: "a|b"}, {OpenID: "o1", Until: time.Now().Add(-time.Second)}} {
			if l.Suppress(t.Context(), no) == nil {
				t.Errorf("took %+v", no)
			}
		}
		for i := range 1500 {
			must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: fmt.Sprint("o", i), Reason: "r"}))
		}
		seen := map[string]bool{}
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			var list []ledger.Suppression
			list, cursor, err = l.Suppressions(t.Context(), cursor)
			must(t, err)
			for _, s := range list {
				seen[s.OpenID+s.Template] = true
			}
		}
		if len(seen) != 1502 {
			t.Errorf("listed %d, want 1502", len(seen))
		}
	})
}

func TestSuppressionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		e := envelope("soon")
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: e.To, Until: time.Now().Add(time.Hour)}))
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: "oLIFTED", Until: time.Now().Add(time.Hour)}))
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: "oLIFTED"})) // replaces: now without an end
		time.Sleep(59 * time.Minute)
		if s := suppressed(t, l, e.To, ""); s == nil {
			t.Errorf("ended early: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		if s := suppressed(t, l, e.To, ""); s != nil {
			t.Errorf("does not end: %+v", s)
		}
		if s := begin(t, l, e); s.Decision != ledger.Send {
			t.Errorf("does not end: %+v", s)
		}
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: "oNEW", Reason: "x"})) // sweeps
		members := rdb.HKeys(t.Context(), key("sup")).Val()
		slices.Sort(members)
		if diff := cmp.Diff([]string{"oLIFTED", "oNEW"}, members); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
	})
}
