package ledger_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// history is the sum of the history since a moment.
func history(tb testing.TB, l *ledger.Ledger, span ledger.Span, since time.Time) ledger.Bucket {
	tb.Helper()
	buckets, err := l.History(tb.Context(), span, since, time.Now())
	must(tb, err)
	return ledger.Total(buckets)
}

// checkHistory compares the history with the stream of events, which has each acceptance
// and each end once.
func checkHistory(t *testing.T, l *ledger.Ledger, rdb *redis.Client, since time.Time, daysAlone bool) {
	t.Helper()
	want := map[ledger.State]int64{}
	entries, err := rdb.XRange(t.Context(), ledger.ClearEventsKey(account), "-", "+").Result()
	must(t, err)
	seen := map[string]bool{}
	for _, entry := range entries {
		for event := range strings.FieldsSeq(fmt.Sprint(entry.Values["m"])) {
			if !seen[event] {
				want[ledger.StateOf(event[:1])]++
			}
			seen[event] = true
		}
	}
	if len(want) == 0 {
		t.Fatalf("the run ended nothing")
	}
	spans := ledger.Spans()
	if daysAlone {
		spans = spans[2:]
	}
	for _, span := range spans {
		got := history(t, l, span, since).Counts
		delete(got, ledger.Retrying) // no event tells
		if !maps.Equal(got, want) {
			t.Errorf("by %s %v, want %v", span, got, want)
		}
	}
}

// Each step of some hundred messages is called once, twice, or again later: each counts once.
func TestHistoryCountsEachStepOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		since := time.Now()
		random := rand.New(rand.NewPCG(1, 2))
		want := map[ledger.State]int64{}
		causes := map[string]int64{}
		var late []func()
		call := func(do func()) {
			do()
			for range random.IntN(3) {
				do()
			}
			if random.IntN(2) == 0 {
				late = append(late, do)
			}
		}
		outcomes := []ledger.State{ledger.Delivered, ledger.Delivered, ledger.Rejected, ledger.Accepted, ledger.Dead, ledger.Unknown, ledger.Expired, ledger.Cancelled}
		for i := range 300 {
			e := envelope(fmt.Sprint("m-", i))
			call(func() { enqueue(t, rdb, l, time.Now(), e) })
			want[ledger.Queued]++
			end := outcomes[random.IntN(len(outcomes))]
			want[end]++
			if end == ledger.Cancelled {
				call(func() { _, _, err := l.Cancel(t.Context(), e.ID); must(t, err) })
				continue
			}
			begin(t, l, e)
			if random.IntN(3) == 0 {
				n := delivery(l, e.ID)
				call(func() { mayBeVoid(t, l.Failed(t.Context(), e.ID, n, refusedBy("w:1", -1))) })
				want[ledger.Retrying]++
				begin(t, l, e)
			}
			n, msgid := delivery(l, e.ID), wechat.MessageID(1000+i)
			switch end { //nolint:exhaustive // the others end without a call to WeChat
			case ledger.Delivered, ledger.Rejected, ledger.Accepted:
				status, blocked := "success", end == ledger.Rejected && i%2 == 0
				if blocked {
					status = "failed:user block"
				} else if end == ledger.Rejected {
					status = "failed: system failed"
				}
				call(func() {
					_, err := l.Accepted(t.Context(), e.ID, n, ledger.Acceptance{To: "o" + e.ID, MsgID: msgid, Class: job.Default})
					must(t, err)
				})
				if end == ledger.Accepted {
					continue
				}
				want[ledger.Accepted]++
				call(func() { receipt(t, l, ledger.Receipt{MsgID: msgid, OpenID: "o" + e.ID, Status: status}) })
				if end == ledger.Rejected {
					causes[fmt.Sprint("rejected 0 ", map[bool]string{true: "user-block", false: "system-failed"}[blocked], " ", blocked)]++
				}
			default:
				o := ledger.Outcome{State: end, Errcode: 43004, Reason: wechat.Code(43004).Name(), Attempt: true}
				call(func() { mayBeVoid(t, l.Failed(t.Context(), e.ID, n, o)) })
				causes[fmt.Sprint(end, " 43004  true")]++
			}
		}
		random.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
		for _, do := range late {
			do()
		}
		for _, span := range ledger.Spans() {
			sum := history(t, l, span, since)
			if !maps.Equal(sum.Counts, want) {
				t.Errorf("by %s %v, want %v", span, sum.Counts, want)
			}
			if span != ledger.Day {
				continue
			}
			got := map[string]int64{}
			for _, c := range sum.Causes {
				got[fmt.Sprint(c.State, " ", int(c.Errcode), " ", c.Reason, " ", c.Blocked())] = c.Count
			}
			if !maps.Equal(got, causes) {
				t.Errorf("causes %v, want %v", got, causes)
			}
		}
		checkNothingPersonal(t, rdb, "oABCdef")
	})
}

// checkNothingPersonal looks for the openid and for IDs in the history.
func checkNothingPersonal(t *testing.T, rdb *redis.Client, openid string) {
	t.Helper()
	keys := rdb.Keys(t.Context(), key("h:*")).Val()
	if len(keys) < 3 {
		t.Errorf("the history is %v", keys)
	}
	for _, name := range keys {
		for field, n := range rdb.HGetAll(t.Context(), name).Val() {
			if text := name + field + n; strings.Contains(text, openid) || strings.Contains(text, "m-1") {
				t.Errorf("the history has %s", text)
			}
		}
		if life := rdb.TTL(t.Context(), name).Val(); life <= 0 {
			t.Errorf("%s has no end", name)
		}
	}
}

// A day of the history ends at midnight in China, an hour and a minute as on any clock.
func TestHistoryDaysAreChinas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		since := time.Now() // 2000-01-01 00:00 UTC: 08:00 in China
		end := func(id string) { failed(t, l, id, ledger.Outcome{State: ledger.Dead}) }
		time.Sleep(16*time.Hour - time.Second) // 23:59:59 in China
		end("a")
		time.Sleep(time.Second)
		end("b")
		time.Sleep(time.Minute)
		end("c")
		want := map[ledger.Span]string{
			ledger.Day:    "1999-12-31T16:00:00Z 1, 2000-01-01T16:00:00Z 2, ",
			ledger.Hour:   "2000-01-01T15:00:00Z 1, 2000-01-01T16:00:00Z 2, ",
			ledger.Minute: "2000-01-01T15:59:00Z 1, 2000-01-01T16:00:00Z 1, 2000-01-01T16:01:00Z 1, ",
		}
		for _, span := range ledger.Spans() {
			buckets, err := l.History(t.Context(), span, since, time.Now())
			must(t, err)
			var got strings.Builder
			for i, b := range buckets {
				if n := b.Counts[ledger.Dead]; n > 0 {
					fmt.Fprintf(&got, "%s %d, ", b.At.UTC().Format(time.RFC3339), n)
				}
				if i > 0 && b.At.Sub(buckets[i-1].At) != span.Length() {
					t.Errorf("by %s there is a gap before %s", span, b.At)
				}
			}
			if got.String() != want[span] {
				t.Errorf("by %s %s, want %s", span, got.String(), want[span])
			}
		}
	})
}

// Minutes are kept for two days, hours for 90, days for two years.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		left := func() string {
			var out strings.Builder
			for _, span := range ledger.Spans() {
				fmt.Fprint(&out, len(rdb.Keys(t.Context(), key("h:"+string(span[:1])+":*")).Val()), " ")
			}
			return out.String()
		}
		since := time.Now()
		failed(t, l, "a", ledger.Outcome{State: ledger.Dead})
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{47 * time.Hour, "1 1 1 "}, {3 * time.Hour, "0 1 1 "}, {87 * 24 * time.Hour, "0 1 1 "}, {3 * 24 * time.Hour, "0 0 1 "}, {637 * 24 * time.Hour, "0 0 1 "}, {4 * 24 * time.Hour, "0 0 0 "}} {
			time.Sleep(step.wait)
			if got := left(); got != step.want {
				t.Errorf("after %s there are %sof each span, want %s", time.Since(since), got, step.want)
			}
		}
		for span, most := range map[ledger.Span]int{ledger.Minute: 2881, ledger.Hour: 2161, ledger.Day: 731} {
			buckets, err := l.History(t.Context(), span, time.Time{}, time.Now())
			must(t, err)
			if len(buckets) > most || len(buckets) < most-1 {
				t.Errorf("by %s %d buckets, want %d", span, len(buckets), most)
			}
		}
		if _, err := l.History(t.Context(), "week", since, since); err == nil {
			t.Error("the span week is taken")
		}
	})
}

// Errcodes come from outside: a day counts a bounded number of them, and the rest as other.
func TestHistoryBoundsCauses(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		since := time.Now()
		for i := range 300 {
			failed(t, l, fmt.Sprint("m-", i), ledger.Outcome{State: ledger.Rejected, Errcode: wechat.Code(900_000 + i)})
		}
		sum := history(t, l, ledger.Day, since)
		var causes, other int64
		for _, c := range sum.Causes {
			causes += c.Count
			if c.Reason == "other" {
				other = c.Count
			}
		}
		if len(sum.Causes) > 201 || causes != 300 || other < 99 {
			t.Errorf("%d causes of %d messages, %d of them other", len(sum.Causes), causes, other)
		}
	})
}

func TestCauseIsTheFollowersOnlyWhereTheyRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cause   ledger.Cause
		blocked bool
	}{
		{ledger.Cause{Errcode: 43004}, true},
		{ledger.Cause{Errcode: 43101}, true},
		{ledger.Cause{Errcode: 43019}, true},
		{ledger.Cause{Reason: "user-block"}, true},
		{ledger.Cause{Reason: ledger.ReasonSuppressed}, true},
		{ledger.Cause{Errcode: 40003}, false}, // another account's openid, or a typing error
		{ledger.Cause{Errcode: 46004}, false},
		{ledger.Cause{Errcode: 47003}, false},
		{ledger.Cause{Reason: "system-failed"}, false},
		{ledger.Cause{}, false},
	} {
		if got := c.cause.Blocked(); got != c.blocked {
			t.Errorf("%+v: blocked %v", c.cause, got)
		}
	}
}
