package console_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// The overview has the day's steps as drawings, each with a table, and the causes of what
// did not arrive with the remedy.
func TestTheOverviewShowsTheDay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "m-1", "m-2", "m-3", "m-4")
	b.end(t, "m-3", ledger.Outcome{State: ledger.Rejected, Errcode: 47003, Reason: wechat.Code(47003).Name()})
	b.end(t, "m-4", ledger.Outcome{State: ledger.Dead, Reason: ledger.ReasonUnreachable})
	for i, status := range []string{"success", "failed:user block"} {
		msgid := wechat.MessageID(i + 1)
		id := "m-" + string(rune('1'+i))
		if _, err := b.account.Ledger.Accepted(t.Context(), id, 1, ledger.Acceptance{To: openid, MsgID: msgid, Class: job.Default}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.account.Ledger.Receipt(t.Context(), ledger.Receipt{MsgID: msgid, OpenID: openid, Status: status, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	page := b.get(t, "/?lang=en").body
	for _, want := range []string{
		`<tr><th scope="row">enqueued</th><td class="n">4</td></tr><tr><th scope="row">accepted</th><td class="n">2</td></tr>` +
			`<tr><th scope="row">delivered</th><td class="n">1</td></tr><tr><th scope="row">blocked</th><td class="n">1</td></tr>` +
			`<tr><th scope="row">failed</th><td class="n">2</td></tr>`,
		"3 today", "<code>47003</code>", wechat.Code(47003).Remedy()[:20], "user-block", `role="img" aria-label="Accepted and failed`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if n := strings.Count(page, "<svg"); n != 2 || strings.Count(page, "<details>") != n {
		t.Errorf("%d drawings and %d tables", n, strings.Count(page, "<details>"))
	}
	zh := b.get(t, "/?lang=zh").body
	for _, want := range []string{"今日从入队到送达", "被拒收", wechat.Code(47003).RemedyIn(wechat.Chinese)} {
		if !strings.Contains(zh, want) {
			t.Errorf("the Chinese page has no %s", want)
		}
	}
}

// A message's page has a row for each attempt.
func TestAStoryShowsItsAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "m-1")
	_, e := b.envelope(t, "m-1")
	begin := func(n int64) {
		t.Helper()
		if s, err := b.account.Ledger.Begin(t.Context(), e, ledger.Delivery{N: n}); err != nil || s.Decision != ledger.Send {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	begin(1)
	o := ledger.Outcome{State: ledger.Retrying, Errcode: -1, Reason: wechat.Code(-1).Name(), RID: "5f8d-1", Attempt: true, Worker: "host-7:41", Latency: 83 * time.Millisecond}
	if err := b.account.Ledger.Failed(t.Context(), "m-1", 1, o); err != nil {
		t.Fatal(err)
	}
	begin(2)
	if _, err := b.account.Ledger.Accepted(t.Context(), "m-1", 2, ledger.Acceptance{To: openid, MsgID: 9, Class: job.Default}); err != nil {
		t.Fatal(err)
	}
	page := b.get(t, "/message?id=m-1&lang=en").body
	for _, want := range []string{"<h3>Attempts</h3>", "<code>-1</code> " + wechat.Code(-1).Name(), "83 ms", "host-7:41", "5f8d-1", `<th scope="row" class="n">2</th>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}
