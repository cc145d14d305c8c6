package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestStoryTellsWhyAMessageWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "waits-1")
	page := func() shown { return b.get(t, "/message?id=waits-1") }
	page().must(t, "without a worker", http.StatusOK, "Why is it not moving?", "No worker of this account runs", "Enqueued in class default", "thing1", "…(4)")
	reporter := heartbeat.NewReporter(b.rdb, account, heartbeat.Worker{ID: "w1", Host: "host-1", Version: "v1", Concurrency: 8})
	beat := func(s *heartbeat.Suspension) {
		t.Helper()
		if _, err := reporter.Beat(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	in := queue.NewInspector(b.rdb)
	for _, row := range []struct {
		explanation string
		arrange     func() error
		want        string
	}{
		{"a worker runs", func() error { beat(nil); return nil }, "it waits for its turn. Waiting messages of its class: 1"},
		{"its address is refused", func() error {
			beat(&heartbeat.Suspension{Errcode: 40164, Address: "192.0.2.9", Since: time.Now()})
			return nil
		}, "No worker may send"},
		{"its template is refused", func() error {
			_, err := reporter.Beat(t.Context(), nil, heartbeat.Held{Template: body().TemplateID, Errcode: 40037, Since: time.Now(), Until: time.Now()})
			return err
		}, "WeChat refuses the template " + body().TemplateID},
		{"its class is paused", func() error { return in.Pause(t.Context(), account, job.Default, "wang", "holiday") }, "The class default is paused by wang"},
		{"the gate is closed", func() error {
			return b.account.Gate.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonAccount, Detail: "errcode 50001"})
		}, "WeChat refuses the account (errcode 50001)"},
	} {
		if err := row.arrange(); err != nil {
			t.Fatal(err)
		}
		testutil.Until(t, row.explanation, func() bool { return strings.Contains(page().body, row.want) })
	}
	if _, err := b.account.Producer.Enqueue(t.Context(), "later-1", body(), producer.NotBefore(time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/message?id=later-1").must(t, "before its time", http.StatusOK, "It is not to be sent before", "Not to be sent before this time")
	b.get(t, "/message?id=none").must(t, "an ID of no message", http.StatusNotFound, "it was never enqueued")
}

func TestStoryOfARefusedMessageTellsTheRemedyInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "refused-1")
	b.end(t, "refused-1", ledger.Outcome{State: ledger.Rejected, To: openid, Errcode: 43004, Reason: wechat.Code(43004).Name(), RID: "rid-1"})
	b.get(t, "/message?id=refused-1").must(t, "in English", http.StatusOK, "43004", wechat.Code(43004).Remedy(), "rid-1", "What to do")
	b.get(t, "/message?id=refused-1&lang=zh").must(t, "in Chinese", http.StatusOK, wechat.Code(43004).RemedyIn(wechat.Chinese), "被拒绝", "处理办法", `lang="zh"`)
	b.get(t, "/message?id=refused-1").must(t, "the language is remembered", http.StatusOK, "处理办法")
}

func TestMessagesAreFoundWithoutPersonalDataInAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "find-1", "find-2", phoned)
	b.dead(t, 47003, "find-3")
	for _, row := range []struct {
		explanation string
		fields      []string
		want        []string
		not         string
	}{
		{"by ID", []string{"id", " find-1 "}, []string{"Message find-1"}, ""},
		{"by an ID with a phone number", []string{"id", phoned}, []string{"Message order-*", "Its story"}, ""},
		{"by openid", []string{"openid", openid}, []string{"find-1", "find-2", "find-3", "openid oCAN…Ef"}, ""},
		{"by state", []string{"state", "dead"}, []string{"find-3", "47003"}, "find-1"},
		{"by errcode", []string{"errcode", "47003"}, []string{"find-3"}, "find-2"},
		{"by template", []string{"template", template}, []string{"find-1", "find-2"}, ""},
		{"by another template", []string{"template", "other"}, []string{"No message matches."}, "find-1"},
		{"by another openid", []string{"openid", "oNobody00000000000000000000"}, []string{"No message matches."}, "find-1"},
		{"by time", []string{"until", "2020-01-01T00:00"}, []string{"No message matches."}, "find-1"},
		{"all", nil, []string{"find-1", "find-2", "find-3", "The latest messages"}, ""},
	} {
		page := b.post(t, "/messages", row.fields...)
		page.must(t, row.explanation, http.StatusOK, row.want...)
		if row.not != "" && strings.Contains(page.body, row.not) {
			t.Errorf("%s: %s is found", row.explanation, row.not)
		}
		for _, c := range canaries() {
			if strings.Contains(page.url.String(), c) || strings.Contains(page.body, c) {
				t.Errorf("%s: %q stands in the address %s or on the page", row.explanation, c, page.url)
			}
		}
	}
	for explanation, fields := range map[string][]string{
		"A msgid has digits only.": {"msgid", "12x"}, "An errcode is a number": {"errcode", "x"}, "There is no such state.": {"state", "gone"},
		"A time is written like": {"since", "yesterday"}, "This is not an openid: give it whole": {"openid", "oSIM…01"},
	} {
		b.post(t, "/messages", fields...).must(t, explanation, http.StatusBadRequest, explanation)
	}
	b.post(t, "/messages", "msgid", "12345").must(t, "an unknown msgid", http.StatusNotFound, "No message of this account has the msgid 12345.")
}

func TestAMessageIsFoundByMsgID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "sent-1")
	begun := must[ledger.Start](t)(b.account.Ledger.Begin(t.Context(), job.Envelope{
		ID: "sent-1", Class: job.Default, To: openid, Template: template, QueuedAt: time.Now(),
	}, ledger.Delivery{N: 1}))
	if begun.Decision != ledger.Send && begun.Decision != ledger.Foreign {
		t.Fatal(begun.Decision)
	}
	must[ledger.Recorded](t)(b.account.Ledger.Accepted(t.Context(), "sent-1", 1, ledger.Acceptance{To: openid, MsgID: 3000000000000000001, Class: job.Default}))
	b.post(t, "/messages", "msgid", "3000000000000000001").must(t, "by msgid", http.StatusOK, "Message sent-1", "3000000000000000001", "its receipt is awaited")
}

func TestALongListHasPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, ids("page-", 60)...)
	first := b.post(t, "/messages")
	_, rest, found := strings.Cut(first.body, `<a class="button" href="`)
	next, _, _ := strings.Cut(rest, `"`)
	if !found || strings.Count(first.body, `<th scope="row">`) != 50 {
		t.Fatalf("the first page:\n%s", first.body)
	}
	second := b.get(t, strings.ReplaceAll(next[len("/console"):], "&amp;", "&"))
	if n := strings.Count(second.body, `<th scope="row">`); n != 10 {
		t.Errorf("the second page has %d rows", n)
	}
}

// Who mistyped one of nine fields does not type the others again.
func TestARefusedFormIsShownWithWhatWasTyped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	page := b.post(t, "/messages", "errcode", "4700x", "template", "T&1", "state", "dead", "since", "2026-11-26T18:30", "user", "u-<1>")
	page.must(t, "a wrong errcode", http.StatusBadRequest, `role="alert">An errcode is a number`, `name="errcode" value="4700x"`,
		`name="template" value="T&amp;1"`, `<option value="dead" selected>`, `name="since" value="2026-11-26T18:30"`, `name="user" value="u-&lt;1&gt;"`)
	b.post(t, "/messages", "msgid", "77").must(t, "an unknown msgid", http.StatusNotFound, "No message of this account has the msgid 77.", `name="msgid" value="77"`)
	b.post(t, "/messages", "id", "gone-1").must(t, "an unknown ID", http.StatusNotFound, "it was never enqueued", `name="id" value="gone-1"`)
	b.post(t, "/roster", "user", "u1", "openid", openid[:8]).must(t, "two persons", http.StatusBadRequest, "one of the two", `name="user" value="u1"`)
	b.post(t, "/suppressions", "openid", "oSIM…01").must(t, "a masked openid", http.StatusBadRequest, "give it whole", `name="openid" value="oSIM…01"`)
	if fresh := b.get(t, "/messages"); strings.Contains(fresh.body, "4700x") {
		t.Error("what was typed stands on the next page")
	}
}

func TestAMaskedIDOrUserIsNamedAsSuch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	masked := mask.NewIDs().Mask(phoned)
	b.post(t, "/messages", "id", masked).must(t, "by form", http.StatusNotFound, "is masked, and no message is found by it")
	b.get(t, "/message?id="+url.QueryEscape(masked)).must(t, "by address", http.StatusNotFound, "is masked, and no message is found by it")
	for _, form := range []string{"/messages", "/roster"} {
		b.post(t, form, "user", mask.Name("patient-401")).must(t, form, http.StatusBadRequest, "This is not a user: give it whole")
	}
	b.post(t, "/roster", "openid", mask.Name(openid)).must(t, "an openid", http.StatusBadRequest, "This is not an openid: give it whole")
}
