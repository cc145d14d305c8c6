package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// readable lists the keys in which text can be read.
func readable(tb testing.TB, rdb *redis.Client, text string) []string {
	tb.Helper()
	var found []string
	for _, key := range rdb.Keys(tb.Context(), "*").Val() {
		var all []string
		switch kind := rdb.Type(tb.Context(), key).Val(); kind {
		case "string":
			all = []string{rdb.Get(tb.Context(), key).Val()}
		case "hash":
			for name, value := range rdb.HGetAll(tb.Context(), key).Val() {
				all = append(all, name, value)
			}
		case "zset":
			all = rdb.ZRange(tb.Context(), key, 0, -1).Val()
		case "list":
			all = rdb.LRange(tb.Context(), key, 0, -1).Val()
		case "stream":
			for _, m := range rdb.XRange(tb.Context(), key, "-", "+").Val() {
				all = append(all, fmt.Sprint(m.Values))
			}
		default:
			tb.Fatalf("%s is a %s", key, kind)
		}
		if slices.ContainsFunc(append(all, key), func(s string) bool { return strings.Contains(s, text) }) {
			found = append(found, key)
		}
	}
	return found
}

func noTasks(context.Context, []ledger.Ref) error { return nil }

func erase(tb testing.TB, l *ledger.Ledger, e ledger.Erasure) map[string]ledger.State {
	tb.Helper()
	if e.Tasks == nil {
		e.Tasks = noTasks
	}
	refs, err := l.Erase(tb.Context(), e)
	must(tb, err)
	states := map[string]ledger.State{}
	for _, r := range refs {
		states[r.ID] = r.State
		if r.Class == "" {
			tb.Errorf("%s has no class: its task cannot be found", r.ID)
		}
	}
	return states
}

// cbk-11: nothing readable of the person remains, and what is known of the
// messages does.
func TestCbk11EraseLeavesNothingReadable(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		const person = "oABCdefGHIjkl"
		mine := func(id string) job.Envelope {
			e := urgent(id)
			e.To = follower
			return e
		}
		create(t, rdb, record(mine("queued")))
		create(t, rdb, record(mine("cancelled")))
		_, _, err := l.Cancel(t.Context(), "cancelled")
		must(t, err)
		fail(t, l, "retrying", ledger.Retrying)
		fail(t, l, "rejected", ledger.Rejected)
		lose(t, l, "lost", ledger.Retrying)
		begin(t, l, mine("sending"))
		accept(t, l, mine("accepted"), 1)
		accept(t, l, mine("delivered"), 2)
		receipt(t, l, failing(2, "success"))
		accept(t, l, mine("resent"), 3)
		receipt(t, l, failing(3, "failed: system failed"))
		failed(t, l, "unborn", ledger.Outcome{To: follower, Class: job.Bulk, State: ledger.Dead}) // its record was lost
		begin(t, l, mine("died"))
		failed(t, l, "died", ledger.Outcome{To: follower, State: ledger.Dead, Payload: []byte(follower)})
		begin(t, l, mine("quoted"))
		failed(t, l, "quoted", ledger.Outcome{To: follower, State: ledger.Rejected, Errcode: 47003, Reason: "invalid-argument", Detail: "data.thing1.value oABCdefGHIjkl " + strings.Repeat("x", 100)})
		bind(t, rdb, "u-1", follower, 5)
		begin(t, l, toUser("user", "u-1"))
		create(t, rdb, record(toUser("waiting", "u-1")))
		must(t, l.Unsubscribed(t.Context(), follower))
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: follower, Template: "T", Reason: "refused", ByAdmin: true}))
		other := envelope("other")
		other.To = follower + "2"
		create(t, rdb, record(other))
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: other.To, Reason: "r", Until: time.Now().Add(time.Hour)}))

		must(t, rdb.Del(t.Context(), key("user:u-1")).Err()) // the roster comes first
		got := erase(t, l, ledger.Erasure{OpenIDs: []string{follower}, Users: []string{"u-1"}})
		want := map[string]ledger.State{
			"queued": ledger.Cancelled, "cancelled": ledger.Cancelled, "retrying": ledger.Cancelled, "rejected": ledger.Rejected,
			"lost": ledger.Unknown, "sending": ledger.Sending, "accepted": ledger.Accepted, "delivered": ledger.Delivered,
			"resent": ledger.Cancelled, "died": ledger.Dead, "user": ledger.Sending, "waiting": ledger.Cancelled,
			"unborn": ledger.Dead, "quoted": ledger.Rejected,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		for _, key := range readable(t, rdb, person) {
			if !strings.HasSuffix(key, ":m:other") && !strings.Contains(key, ":sup") { // of the other
				t.Errorf("%s still names the person", key)
			}
		}
		if keys := readable(t, rdb, "u-1"); len(keys) != 0 {
			t.Errorf("%v still name the user", keys)
		}
		if s := suppressed(t, l, other.To, "T"); s == nil {
			t.Errorf("another's suppression went too: %+v", s)
		}
		for id := range want {
			r := get(t, l, id)
			if !r.Erased || r.Hash != "" || r.State.Ended() != !r.EndedAt.IsZero() {
				t.Errorf("%s: %+v", id, r)
			}
			if changed := r.State == ledger.Cancelled && id != "cancelled" || id == "lost"; changed != (r.Reason == ledger.ReasonErased) {
				t.Errorf("%s: reason %q", id, r.Reason)
			}
		}
		if again := erase(t, l, ledger.Erasure{OpenIDs: []string{follower}}); len(again) != 0 {
			t.Errorf("erased twice: %v", again)
		}
		if list, _, err := l.Dead(t.Context(), 0, 10); err != nil || len(list) != 0 {
			t.Errorf("dead letters %v, %v", list, err)
		}
	})
}

// What is on its way while the person is erased does not bring them back.
func TestErasedStaysErased(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		ids := []string{"accepted", "retried", "lost", "dead", "crashed", "queued", "waits"}
		for _, id := range ids {
			begin(t, l, urgent(id))
		}
		accept(t, l, urgent("early"), 5)
		create(t, rdb, record(urgent("later")))
		erase(t, l, ledger.Erasure{OpenIDs: []string{follower}})

		end := func(id string, o ledger.Outcome) {
			t.Helper()
			o.To, o.Attempt, o.Payload, o.Detail = follower, true, []byte(follower), "data.thing1.value "+follower
			failed(t, l, id, o)
		}
		yes(t, l, urgent("accepted"), 1)
		end("retried", ledger.Outcome{State: ledger.Retrying})
		end("lost", ledger.Outcome{State: ledger.Retrying, Ambiguous: true})
		end("dead", ledger.Outcome{State: ledger.Dead})
		end("queued", ledger.Outcome{State: ledger.Queued, Reason: "gate closed"})
		for id, want := range map[string]ledger.State{
			"accepted": ledger.Accepted, "retried": ledger.Cancelled, "lost": ledger.Unknown, "dead": ledger.Dead,
			"crashed": ledger.Unknown, "queued": ledger.Cancelled, "later": ledger.Cancelled,
		} {
			if s := begin(t, l, urgent(id)); s.Decision != ledger.Ended {
				t.Errorf("%s: begins: %+v", id, s)
			}
			if r := state(t, l, id, want); r.To != "" || r.State.Ended() != !r.EndedAt.IsZero() {
				t.Errorf("%s: %+v", id, r)
			}
		}
		if s := receipt(t, l, failing(1, "failed: system failed")); s == nil || s.State != ledger.Rejected || s.Resend != nil {
			t.Errorf("sent again to an erased recipient: %+v", s)
		}
		if s := receipt(t, l, failing(5, "failed:user block")); s == nil || s.State != ledger.Rejected {
			t.Errorf("got %+v", s)
		}
		if s := match(t, l, ledger.Receipt{MsgID: 77, OpenID: follower, Status: "success", At: time.Now()}); s != nil {
			t.Errorf("got %+v", s)
		}
		if keys := readable(t, rdb, follower); len(keys) != 0 {
			t.Errorf("%v name the person again", keys)
		}
		dead := urgent("dead")
		dead.QueuedAt = dead.QueuedAt.Add(-time.Minute)
		if s := begin(t, l, dead); s.Decision != ledger.Ended {
			t.Errorf("a dead letter to an erased recipient is sent: %+v", s)
		}
	})
}

// Where only the user was named, what is under way to their openid is not known;
// no receipt ends the message by it any more.
func TestEraseByUserAlone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		bind(t, rdb, "u", follower, 5)
		begin(t, l, toUser("m", "u"))
		failed(t, l, "m", ledger.Outcome{To: follower, State: ledger.Unknown, Ambiguous: true})
		if got := erase(t, l, ledger.Erasure{Users: []string{"u"}}); got["m"] != ledger.Unknown {
			t.Errorf("got %v", got)
		}
		if s := match(t, l, failing(9, "success")); s != nil {
			t.Errorf("ended %+v", s)
		}
	})
}

// The tasks go before what lets the messages be found, so that an erasure that
// was cut short finds them again.
func TestEraseTakesTasksFirst(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("appointment")
		e.NotBefore = time.Now().Add(100 * 24 * time.Hour)
		r := record(e)
		r.State = ledger.Scheduled
		create(t, rdb, r)
		life := func() time.Duration { return rdb.PTTL(t.Context(), key("m:appointment")).Val() }
		cut := errors.New("Redis fails")
		fails := ledger.Erasure{OpenIDs: []string{e.To}, Tasks: func(context.Context, []ledger.Ref) error { return cut }}
		if _, err := l.Erase(t.Context(), fails); !errors.Is(err, cut) {
			t.Fatalf("got %v", err)
		}
		if left := life(); left < 100*24*time.Hour {
			t.Errorf("expires after %s, before its task is due: it would be sent", left)
		}
		if s := begin(t, l, e); s.Decision != ledger.Ended {
			t.Errorf("sent between the two tries: %+v", s)
		}
		var told []ledger.Ref
		works := ledger.Erasure{OpenIDs: []string{e.To}, Tasks: func(_ context.Context, refs []ledger.Ref) error {
			told = append(told, refs...)
			return nil
		}}
		refs, err := l.Erase(t.Context(), works)
		must(t, err)
		want := []ledger.Ref{{ID: e.ID, Class: e.Class, State: ledger.Cancelled}}
		if cmp.Diff(want, refs) != "" || cmp.Diff(want, told) != "" {
			t.Errorf("returned %v, told %v", refs, told)
		}
		if left := life(); left > 100*24*time.Hour+72*time.Hour {
			t.Errorf("kept for %s", left)
		}
	})
}

// A million records are searched in steps, for many people at once.
func TestEraseManyPeople(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	l := open(t, rdb)
	const n = 3000
	var all sync.WaitGroup
	for w := range 32 {
		all.Go(func() {
			for i := w; i < n; i += 32 {
				e := envelope(fmt.Sprint("m", i))
				e.To = fmt.Sprint("oPERSON", i)
				create(t, rdb, record(e))
			}
		})
	}
	all.Wait()
	var who []string
	for i := range n / 2 {
		who = append(who, fmt.Sprint("oPERSON", i))
	}
	refs, err := l.Erase(t.Context(), ledger.Erasure{OpenIDs: who, Tasks: noTasks})
	must(t, err)
	if len(refs) != n/2 {
		t.Errorf("%d messages were found, want %d", len(refs), n/2)
	}
	state(t, l, "m0", ledger.Cancelled)
	state(t, l, fmt.Sprint("m", n-1), ledger.Queued)
	if refs, err := l.Erase(t.Context(), ledger.Erasure{Tasks: noTasks}); err != nil || len(refs) != 0 {
		t.Errorf("an erasure of no one: %v, %v", refs, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Erase(ctx, ledger.Erasure{OpenIDs: []string{"o"}, Tasks: noTasks}); err == nil {
		t.Error("a cancelled search must say so")
	}
}

func TestAuditTrailIsMaskedAndPaged(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		if list, err := l.Audited(t.Context(), "", 10); err != nil || len(list) != 0 {
			t.Fatalf("got %v, %v", list, err)
		}
		for i := range 5 {
			must(t, l.Audit(t.Context(), ledger.Entry{
				Action: "erased", Actor: "wechat", OpenID: follower, User: "user-number-17", Detail: fmt.Sprint(i, strings.Repeat("x", 300)),
			}))
		}
		must(t, l.Audit(t.Context(), ledger.Entry{Action: "revoked"}))
		page, err := l.Audited(t.Context(), "", 2)
		must(t, err)
		if len(page) != 2 || page[0].Action != "revoked" || page[0].OpenID != "" || time.Since(page[0].At) > time.Minute {
			t.Fatalf("got %+v", page)
		}
		if e := page[1]; e.OpenID != "oABC…Z0" || e.User != "user…17" || e.Actor != "wechat" || e.Detail[0] != '4' || len(e.Detail) > 200 {
			t.Errorf("got %+v", e)
		}
		rest, err := l.Audited(t.Context(), page[1].ID, 10)
		if err != nil || len(rest) != 4 || rest[0].Detail[0] != '3' {
			t.Errorf("got %+v, %v", rest, err)
		}
		if keys := readable(t, rdb, follower); len(keys) != 0 {
			t.Errorf("%v name the person", keys)
		}
	})
}

// Bindings lie in a stream of their own; both are listed as one trail, page by page.
func TestAuditListsBindingsInOrderOfTime(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		put := func(key, id, detail string) {
			must(t, rdb.XAdd(t.Context(), &redis.XAddArgs{
				Stream: key, ID: id, Values: ledger.AuditFields(ledger.Entry{Action: "a", Detail: detail, OpenID: follower}),
			}).Err())
		}
		for i, id := range []string{"9-0", "10-0", "10-2", "10-11", "12-0"} {
			put([]string{key("audit"), ledger.BindingsKey(account)}[i%2], id, id)
		}
		put(ledger.BindingsKey(account), "12-0", "12-0")
		for _, size := range []int{1, 2, 3, 100} {
			var got []string
			for before := ""; ; {
				list, err := l.Audited(t.Context(), before, size)
				must(t, err)
				if len(list) == 0 {
					break
				}
				for _, e := range list {
					got, before = append(got, e.Detail), e.ID
				}
			}
			if want := "12-0 12-0 10-11 10-2 10-0 9-0"; strings.Join(got, " ") != want {
				t.Errorf("pages of %d: %v, want %s", size, got, want)
			}
		}
	})
}

func TestAuditIsBounded(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	l := open(t, rdb)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 200 {
				if err := l.Audit(t.Context(), ledger.Entry{Action: "a"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := rdb.XLen(t.Context(), key("audit")).Val(); n < 10_000 || n > 10_200 {
		t.Errorf("%d entries are kept, want about 10 000", n)
	}
}

// An erased record goes in its time, and so does everything else of the message.
func TestErasedRecordExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		accept(t, l, urgent("m"), 5)
		create(t, rdb, record(urgent("q")))
		erase(t, l, ledger.Erasure{OpenIDs: []string{follower}, Tasks: func(context.Context, []ledger.Ref) error { return nil }})
		time.Sleep(73 * time.Hour)
		if get(t, l, "q") != nil {
			t.Error("kept although its task is gone")
		}
		time.Sleep(735 * 24 * time.Hour) // the history's
		if left := rdb.Keys(t.Context(), "*").Val(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}
