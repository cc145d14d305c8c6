package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// enqueueScript is the half of an enqueue that writes records.
var enqueueScript = redisx.NewScript(ledger.CreateLua, `
local out = {}
for n = 1, #KEYS - 5 do
  out[n] = create(KEYS[n], 1 + 11 * (n - 1)) and 0 or 1
end
index(ARGV[8])
return out`)

// enqueue creates records at a moment, as a producer does in one call.
func enqueue(tb testing.TB, rdb redis.UniversalClient, l *ledger.Ledger, at time.Time, list ...job.Envelope) {
	tb.Helper()
	var keys []string
	var args []any
	for i := range list {
		list[i].QueuedAt = at.Truncate(time.Millisecond)
		keys = append(keys, l.RecordKey(list[i].ID))
		args = l.AppendCreate(args, &list[i], list[i].Hash(), at)
	}
	must(tb, enqueueScript.Run(tb.Context(), rdb, append(keys, l.IndexKeys(at)...), args...).Err())
}

// find returns the IDs of one page.
func find(tb testing.TB, l *ledger.Ledger, q ledger.Query) ([]string, string) {
	tb.Helper()
	page, err := l.Find(tb.Context(), q)
	must(tb, err)
	ids := []string{}
	for _, r := range page.Records {
		ids = append(ids, r.ID)
	}
	return ids, page.Next
}

func to(id, openid string) job.Envelope {
	e := envelope(id)
	e.To = openid
	return e
}

func TestFindFilters(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, now := open(t, rdb), time.Now()
		user := envelope("user")
		user.To, user.User = "", "alice"
		other := envelope("template")
		other.Template = "another-template"
		enqueue(t, rdb, l, now.Add(-50*time.Hour), to("oldest", "oA"), to("older", "oB"))
		enqueue(t, rdb, l, now.Add(-2*time.Hour), user)
		enqueue(t, rdb, l, now.Add(-time.Minute), to("new", "oA"), other, to("refused", "oB"), to("tried", "oB"), to("gone", "oB"))
		enqueue(t, rdb, l, now, to("new", "oA"), to("last", "oC")) // new is known already

		bind(t, rdb, "alice", "oA", 1)
		begin(t, l, user)
		for id, o := range map[string]ledger.Outcome{
			"refused": {State: ledger.Rejected, Errcode: 43004, Reason: "not-subscribed", Attempt: true},
			"tried":   {State: ledger.Retrying, Errcode: -1, Reason: "busy", Attempt: true},
			"gone":    {State: ledger.Dead, Reason: "WeChat could not be reached", Payload: []byte("p")},
		} {
			begin(t, l, to(id, "oB"))
			failed(t, l, id, o)
		}
		if cancelled, _, err := l.Cancel(t.Context(), "older"); !cancelled || err != nil {
			t.Fatal(cancelled, err)
		}
		for name, c := range map[string]struct {
			q    ledger.Query
			want []string
		}{
			"all":                    {ledger.Query{}, []string{"last", "new", "template", "refused", "tried", "gone", "user", "oldest", "older"}},
			"openid":                 {ledger.Query{To: "oA"}, []string{"new", "oldest"}},
			"openid and its users":   {ledger.Query{To: "oA", BoundTo: []string{"alice"}}, []string{"new", "user", "oldest"}},
			"unknown openid":         {ledger.Query{To: "oX"}, []string{}},
			"user":                   {ledger.Query{User: "alice"}, []string{"user"}},
			"an openid is no user":   {ledger.Query{User: "oA"}, []string{}},
			"template":               {ledger.Query{Template: "another-template"}, []string{"template"}},
			"rejected":               {ledger.Query{States: []ledger.State{ledger.Rejected}}, []string{"refused"}},
			"cancelled":              {ledger.Query{States: []ledger.State{ledger.Cancelled}}, []string{"older"}},
			"what failed":            {ledger.Query{States: []ledger.State{ledger.Rejected, ledger.Dead, ledger.Retrying}}, []string{"refused", "tried", "gone"}},
			"errcode":                {ledger.Query{Errcode: 43004}, []string{"refused"}},
			"errcode of a retry":     {ledger.Query{Errcode: -1}, []string{"tried"}},
			"errcode and state":      {ledger.Query{Errcode: -1, States: []ledger.State{ledger.Rejected}}, []string{}},
			"sending":                {ledger.Query{States: []ledger.State{ledger.Sending}}, []string{"user"}},
			"since":                  {ledger.Query{Since: now.Add(-3 * time.Hour), Until: now.Add(-time.Hour)}, []string{"user"}},
			"until":                  {ledger.Query{Until: now.Add(-time.Hour), States: []ledger.State{ledger.Queued}}, []string{"oldest"}},
			"failed in a time":       {ledger.Query{Since: now.Add(-time.Hour), States: []ledger.State{ledger.Cancelled}}, []string{}},
			"openid, state":          {ledger.Query{To: "oB", States: []ledger.State{ledger.Dead}}, []string{"gone"}},
			"openid, errcode, since": {ledger.Query{To: "oB", Errcode: 43004, Since: now.Add(-time.Hour)}, []string{"refused"}},
		} {
			got, next := find(t, l, c.q)
			want := slices.Clone(c.want)
			slices.Sort(want) // those of one call have the same time
			sorted := slices.Sorted(slices.Values(got))
			if !slices.Equal(sorted, want) || next != "" {
				t.Errorf("%s: %q, next %q, want %q", name, got, next, c.want)
			}
		}
	})
}

func TestFindPagesNewestFirstWithoutGapsOrRepeats(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, now := open(t, rdb), time.Now()
		var want []string
		for i := range 40 {
			var list []job.Envelope
			for n := range 5 { // of the same millisecond
				list = append(list, to(fmt.Sprintf("m%02d-%d", i, n), "oA"))
				want = append(want, list[n].ID)
			}
			enqueue(t, rdb, l, now.Add(time.Duration(i-40)*7*time.Minute), list...)
			for _, e := range list {
				_, _, err := l.Cancel(t.Context(), e.ID)
				must(t, err)
			}
		}
		slices.Reverse(want)
		for name, q := range map[string]ledger.Query{
			"index": {To: "oA"}, "all": {}, "outcomes": {States: []ledger.State{ledger.Cancelled}},
		} {
			for _, q.Limit = range []int{1, 7, 200, 1000} {
				var got []string
				q.Cursor = ""
				for {
					ids, next := find(t, l, q)
					got = append(got, ids...)
					if q.Cursor = next; next == "" {
						break
					}
				}
				if !slices.IsSortedFunc(got, func(a, b string) int { return -1 * cmpTime(a, b) }) || len(got) != len(want) {
					t.Errorf("%s by %d: %d, want %d: %q", name, q.Limit, len(got), len(want), got)
				}
				slices.Sort(got)
				if len(slices.Compact(got)) != len(want) {
					t.Errorf("%s by %d: %d different ones, want %d", name, q.Limit, len(got), len(want))
				}
			}
		}
	})
}

// cmpTime compares the times that are in the IDs of the test.
func cmpTime(a, b string) int {
	switch {
	case a[:3] < b[:3]:
		return -1
	case a[:3] > b[:3]:
		return 1
	}
	return 0
}

// A message that expires while it waits is written nowhere until its task is fetched.
func TestFindShowsWhatExpiredWhileItWaited(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, now := open(t, rdb), time.Now()
		e := envelope("late")
		e.NotAfter = now.Add(-time.Minute)
		enqueue(t, rdb, l, now.Add(-time.Hour), e, envelope("other"))
		if got, _ := find(t, l, ledger.Query{States: []ledger.State{ledger.Expired}}); !slices.Equal(got, []string{"late"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestFindRefusesAForeignCursorAndAnUnknownState(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for _, cursor := range []string{"x", "-", "!-id", "zz", "12-", "-5-id"} {
			if _, err := l.Find(t.Context(), ledger.Query{Cursor: cursor}); !errors.Is(err, ledger.ErrCursor) {
				t.Errorf("%q: %v", cursor, err)
			}
		}
		if _, err := l.Find(t.Context(), ledger.Query{States: []ledger.State{"fine"}}); err == nil {
			t.Error("an unknown state is taken")
		}
	})
}

// The index of a message takes 7 bytes and its ID, and a segment ends with its records.
func TestIndexIsSmallAndEnds(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, now := open(t, rdb), time.Now()
		enqueue(t, rdb, l, now, envelope("order-1001-paid"))
		if n := len(rdb.LIndex(t.Context(), l.IndexKeys(now)[0], 0).Val()); n != 7+15 {
			t.Errorf("%d bytes", n)
		}
		if life := rdb.PTTL(t.Context(), l.IndexKeys(now)[0]).Val(); life < 30*24*time.Hour || life > 31*24*time.Hour {
			t.Errorf("it lives for %s", life)
		}
		far := envelope("far")
		far.NotBefore = now.Add(200 * 24 * time.Hour)
		enqueue(t, rdb, l, now, far)
		if life := rdb.PTTL(t.Context(), l.IndexKeys(now)[0]).Val(); life < 203*24*time.Hour {
			t.Errorf("it lives for %s, its message for longer", life)
		}
	})
}

// Records of one hour, more than are sorted at once, some of one moment.
func TestPagesOfAFullHourHaveEachRecordOnceTheNewestFirst(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, hour := open(t, rdb), time.Now().Truncate(time.Hour).Add(-time.Hour)
		const n, call = 12_000, 400
		at := map[string]time.Time{}
		for from := 0; from < n; from += call {
			moment := hour.Add(time.Duration(from*7919%n) * time.Hour / n)
			list := make([]job.Envelope, call)
			for i := range list {
				list[i] = to(fmt.Sprintf("%05d", from+i), map[bool]string{true: "oA", false: "oB"}[(from+i)%3 == 0])
				at[list[i].ID] = moment.Truncate(time.Millisecond)
			}
			enqueue(t, rdb, l, moment, list...)
		}
		for _, q := range []ledger.Query{{Limit: 700}, {Limit: 1000, To: "oA"}, {Limit: 1000, Since: hour.Add(20 * time.Minute), Until: hour.Add(40 * time.Minute)}} {
			want := 0
			for id, moment := range at {
				number, err := strconv.Atoi(id)
				must(t, err)
				if (q.To == "" || number%3 == 0) && !moment.Before(q.Since) && (q.Until.IsZero() || moment.Before(q.Until)) {
					want++
				}
			}
			seen, last := map[string]bool{}, hour.Add(time.Hour)
			for {
				ids, next := find(t, l, q)
				for _, id := range ids {
					if seen[id] || at[id].After(last) {
						t.Fatalf("%+v: %s comes twice or too late", q, id)
					}
					seen[id], last = true, at[id]
				}
				if q.Cursor = next; next == "" {
					break
				}
			}
			if len(seen) != want {
				t.Errorf("%+v: %d records, want %d", q, len(seen), want)
			}
		}
	})
}
