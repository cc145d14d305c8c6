package ledger_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

const rid = "61725984-6126f6f9-040f19c4"

// A record keeps field and cause, in Redis' compact form.
func TestRecordKeepsReasonDetailAndRID(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for id, detail := range map[string]string{
			"short": "data.time2.value is empty",
			"long":  "data.character_string12.value is invalid: " + strings.Repeat("微", 20),
			"none":  "",
		} {
			e := envelope(id)
			create(t, rdb, record(e))
			begin(t, l, e)
			failed(t, l, id, ledger.Outcome{To: e.To, State: ledger.Rejected, Errcode: 47003, Reason: "invalid-argument", Detail: detail, RID: rid, Attempt: true})
			r := state(t, l, id, ledger.Rejected)
			if r.Reason != "invalid-argument" || r.Detail != detail || r.RID != rid {
				t.Errorf("%s: %q, %q, %q", id, r.Reason, r.Detail, r.RID)
			}
			name := key("m:" + id)
			if form := rdb.ObjectEncoding(t.Context(), name).Val(); form != "listpack" && form != "ziplist" && form != "" {
				t.Errorf("%s is stored as %s, want Redis' compact form", id, form)
			}
		}
		e := envelope("endless")
		create(t, rdb, record(e))
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Dead, Reason: "unknown", Detail: strings.Repeat("限", 300), RID: strings.Repeat("r", 300)})
		if r := state(t, l, e.ID, ledger.Dead); len(r.Detail) > 120 || !utf8.ValidString(r.Detail) || !strings.HasSuffix(r.Detail, "…") || r.RID != "" {
			t.Errorf("bounded: %d bytes %q, rid %q", len(r.Detail), r.Detail, r.RID)
		}
	})
}

const later = 1 << 40 // a delivery after all of the helpers'

// The particulars of a reason are not shown with a later one.
func TestParticularsGoWithTheirReason(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		retrying := func(id string) job.Envelope {
			e := envelope(id)
			create(t, rdb, record(e))
			begin(t, l, e)
			failed(t, l, id, ledger.Outcome{
				To: e.To, Class: e.Class, State: ledger.Retrying, Errcode: 47001, Reason: "data-format-error", Detail: strings.Repeat("x", 100), RID: rid, Attempt: true,
			})
			return e
		}
		next := func(e job.Envelope) ledger.Start {
			s, err := l.Begin(t.Context(), e, ledger.Delivery{N: later})
			must(t, err)
			return s
		}
		bare := func(id string, want ledger.State) {
			if r := state(t, l, id, want); r.Detail != "" || r.RID != "" || r.Errcode != 0 {
				t.Errorf("%s keeps %q, %q, %d", id, r.Detail, r.RID, r.Errcode)
			}
		}
		e := retrying("accepted")
		next(e)
		_, err := l.Accepted(t.Context(), e.ID, later, ledger.Acceptance{To: e.To, MsgID: 7, Class: e.Class})
		must(t, err)
		bare("accepted", ledger.Accepted)
		_, err = l.Receipt(t.Context(), ledger.Receipt{MsgID: 7, OpenID: e.To, Status: "failed: system failed"})
		must(t, err)
		bare("accepted", ledger.Rejected)
		retrying("cancelled")
		_, _, err = l.Cancel(t.Context(), "cancelled")
		must(t, err)
		bare("cancelled", ledger.Cancelled)
		e = retrying("suppressed")
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: e.To, Reason: "moved house", ByAdmin: true}))
		next(e)
		if r := state(t, l, e.ID, ledger.Rejected); r.Detail != "moved house" || !r.ByAdmin || r.Errcode != 47001 {
			t.Errorf("suppressed after a retry: %+v", r)
		}
	})
}

// What ends a message without a call keeps WeChat's last answer, which its end is
// looked up by.
func TestAnEndWithoutACallKeepsTheLastAnswer(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("late")
		create(t, rdb, record(e))
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Retrying, Errcode: -1, Reason: "system-busy", Detail: "busy", RID: rid, Attempt: true, Ambiguous: true})
		_, err := l.Begin(t.Context(), e, ledger.Delivery{N: later})
		must(t, err)
		must(t, l.Failed(t.Context(), e.ID, later, ledger.Outcome{State: ledger.Unknown, Reason: ledger.ReasonWindowClosed, NoCall: true, Ambiguous: true}))
		if r := state(t, l, e.ID, ledger.Unknown); r.Errcode != -1 || r.RID != rid || r.Reason != ledger.ReasonWindowClosed || r.Detail != "" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestSuppressedMessageSaysWhySinceWhenAndByWhom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		e := envelope("one")
		began := time.Now().Truncate(time.Millisecond)
		must(t, l.Unsubscribed(t.Context(), e.To))
		time.Sleep(time.Hour)
		must(t, l.Unsubscribed(t.Context(), e.To)) // again: it began an hour ago
		create(t, rdb, record(e))
		if s := begin(t, l, e); s.Decision != ledger.Suppressed || s.Reason != "unsubscribed" {
			t.Fatalf("got %+v", s)
		}
		r := state(t, l, "one", ledger.Rejected)
		if r.Reason != ledger.ReasonSuppressed || r.Detail != "unsubscribed" || r.ByAdmin || !r.SuppressedSince.Equal(began) {
			t.Errorf("got %+v, want since %s", r, began)
		}
		admins := strings.Repeat("长", 39) // 117 bytes
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: e.To, Reason: admins, ByAdmin: true}))
		e.ID = "two"
		create(t, rdb, record(e))
		if s := begin(t, l, e); s.Reason != admins {
			t.Errorf("Begin says %q", s.Reason)
		}
		r = state(t, l, "two", ledger.Rejected)
		if r.Detail != admins || !r.ByAdmin || !r.SuppressedSince.Equal(began.Add(time.Hour)) {
			t.Errorf("got %+v", r)
		}
		if s := suppressed(t, l, e.To, ""); s == nil || !s.Since.Equal(began.Add(time.Hour)) {
			t.Errorf("listed as %+v", s)
		}
		if _, err := l.Lift(t.Context(), e.To, ""); err != nil {
			t.Fatal(err)
		}
		if left := rdb.HKeys(t.Context(), key("supt")).Val(); len(left) != 0 {
			t.Errorf("lifting left %v", left)
		}
		// One template, for an hour: removed when it is over.
		must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: e.To, Template: e.Template, Reason: "refused", Until: time.Now().Add(time.Hour)}))
		e.ID = "three"
		create(t, rdb, record(e))
		begin(t, l, e)
		if r := state(t, l, "three", ledger.Rejected); r.Detail != "refused" || r.SuppressedSince.IsZero() {
			t.Errorf("of one template: %+v", r)
		}
		time.Sleep(2 * time.Hour)
		must(t, l.Unsubscribed(t.Context(), "oOTHER"))
		if left := rdb.HKeys(t.Context(), key("supt")).Val(); len(left) != 1 || left[0] != "oOTHER" {
			t.Errorf("left %v", left)
		}
	})
}

// What this version writes must also be read where an earlier one wrote: no start of a
// suppression, and errcode name and text in one field.
func TestRecordsOfEarlierVersionsAreRead(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("one")
		must(t, rdb.HSet(t.Context(), key("sup"), e.To, "0 unsubscribed").Err())
		create(t, rdb, record(e))
		begin(t, l, e)
		if r := state(t, l, e.ID, ledger.Rejected); r.Detail != "unsubscribed" || !r.SuppressedSince.IsZero() {
			t.Errorf("got %+v", r)
		}
		must(t, rdb.HSet(t.Context(), key("m:old"), "s", "j", "r", "invalid-argument: argument invalid!", "e", "47003").Err())
		if r := state(t, l, "old", ledger.Rejected); r.Reason != "invalid-argument: argument invalid!" || r.Detail != "" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestBeginSaysWhichMessagesItEndedItself(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("expired")
		s, err := l.Begin(t.Context(), e, ledger.Delivery{N: 2, Redelivered: true})
		if err != nil || s.Decision != ledger.Ended || s.State != ledger.Unknown || s.Reason != ledger.ReasonRecordExpired {
			t.Errorf("%+v, %v", s, err)
		}
		if s, err = l.Begin(t.Context(), e, ledger.Delivery{N: 3, Redelivered: true}); err != nil || s.Decision != ledger.Ended || s.Reason != "" {
			t.Errorf("the second time: %+v, %v", s, err)
		}
	})
}

// constants are the texts of the Reason constants of the package.
func constants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	must(t, err)
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		literal, _ := spec.Values[0].(*ast.BasicLit)
		found[spec.Names[0].Name], err = strconv.Unquote(literal.Value)
		must(t, err)
		return true
	})
	return found
}

func TestEveryReasonFitsTheRecordAndIsThereInChinese(t *testing.T) {
	t.Parallel()
	all := constants(t)
	if len(all) < 15 {
		t.Fatalf("found %v", all)
	}
	for _, word := range []string{"user-block", "system-failed", "freq-limit", "empty-status", "unsubscribed", "by-admin"} {
		all[word] = word
	}
	for name, reason := range all {
		chinese := ledger.ReasonText(reason, wechat.Chinese)
		if len(reason) > 60 || ledger.ReasonText(reason, wechat.English) != reason ||
			!strings.ContainsFunc(chinese, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s: %d bytes, %q", name, len(reason), chinese)
		}
	}
	if got := ledger.ReasonText("WeChat's own words", wechat.Chinese); got != "WeChat's own words" {
		t.Errorf("got %q", got)
	}
}

// Each end is told by exactly one call, so that it is counted once.
func TestEachEndIsToldOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		send(t, l, "late-receipt", 1)
		got := ledger.Receipt{MsgID: 1, OpenID: follower, Status: "failed:user block"}
		if s := receipt(t, l, got); s == nil || !s.Now || s.State != ledger.Rejected {
			t.Errorf("the receipt: %+v", s)
		}
		if s := receipt(t, l, got); s == nil || s.Now {
			t.Errorf("the receipt again: %+v", s)
		}
		send(t, l, "no-msgid", 0)
		unnamed := ledger.Receipt{OpenID: follower, Status: "success", At: time.Now()}
		if s := receipt(t, l, unnamed); s == nil || !s.Now || s.State != ledger.Delivered {
			t.Errorf("a receipt without msgid: %+v", s)
		}
		if s := receipt(t, l, unnamed); s == nil || s.Now {
			t.Errorf("a receipt without msgid again: %+v", s)
		}

		receipt(t, l, ledger.Receipt{MsgID: 2, OpenID: follower, Status: "failed: system failed"})
		e := envelope("early-receipt")
		create(t, rdb, record(e))
		begin(t, l, e)
		yes := ledger.Acceptance{To: e.To, MsgID: 2, Class: e.Class}
		recorded, err := l.Accepted(t.Context(), e.ID, later, yes)
		if err != nil || recorded.Ended != ledger.Rejected || recorded.Receipt != "system-failed" {
			t.Errorf("accepted after its receipt: %+v, %v", recorded, err)
		}
		if recorded, err = l.Accepted(t.Context(), e.ID, later, yes); err != nil || recorded.Ended != "" {
			t.Errorf("accepted again: %+v, %v", recorded, err)
		}

		e = envelope("waits")
		e.To = "oERASED00000000000000000000"
		create(t, rdb, record(e))
		for _, ended := range []bool{true, false} {
			refs, err := l.Erase(t.Context(), ledger.Erasure{OpenIDs: []string{e.To}, Tasks: func(context.Context, []ledger.Ref) error { return nil }})
			must(t, err)
			if ended && (len(refs) != 1 || !refs[0].Ended || refs[0].State != ledger.Cancelled) || !ended && len(refs) != 0 {
				t.Errorf("erased: %+v", refs)
			}
		}
	})
}

func TestEveryStateIsThereInChinese(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range ledger.States() {
		chinese := s.In(wechat.Chinese)
		if s.In(wechat.English) != string(s) || !strings.HasPrefix(chinese, string(s)+" ") || seen[chinese] ||
			!strings.ContainsFunc(chinese, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s is %q", s, chinese)
		}
		seen[chinese] = true
	}
	if got := ledger.State("newer").In(wechat.Chinese); got != "newer" {
		t.Errorf("got %q", got)
	}
}
