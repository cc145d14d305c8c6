package enroll_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func finished(msgid wechat.MessageID, status string) wechattest.Event {
	return wechattest.Event{Name: wechat.EventTemplateFinished, OpenID: openID, MsgID: msgid, Status: status}
}

// rcp-01: two receipts for one user in one second: both are recorded.
func TestRcp01TwoInOneSecond(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		w.message("order-1", openID, job.Default, 1)
		w.message("order-2", openID, job.Default, 2)
		w.p.Account(appID).Push(finished(1, "success"))
		w.p.Account(appID).Push(finished(2, "success"))
		settle()
		for _, id := range []string{"order-1", "order-2"} {
			if r := w.record(id); r.State != ledger.Delivered {
				t.Errorf("%s: %+v", id, r)
			}
		}
	})
}

// rcp-02: the tag is MsgID in this event, MsgId in messages: both are read.
func TestRcp02EitherTag(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain, run: true}, func(t *testing.T, w *world) {
		w.message("order-1", openID, job.Default, 4711)
		body := strings.NewReplacer("<MsgID>", "<MsgId>", "</MsgID>", "</MsgId>").Replace(receipt(4711, "success"))
		if resp := post(w.handler, w.signed(), strings.NewReader(body)); resp.Code != 200 {
			t.Errorf("%d %q", resp.Code, resp.Body)
		}
		settle()
		if r := w.record("order-1"); r.State != ledger.Delivered {
			t.Errorf("%+v", r)
		}
	})
}

// rcp-03: the receipt comes before the answer to the send is recorded.
func TestRcp03ReceiptFirst(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		w.p.Account(appID).Push(finished(4711, "success"))
		settle()
		w.message("order-1", openID, job.Default, 4711)
		if r := w.record("order-1"); r.State != ledger.Delivered {
			t.Errorf("%+v", r)
		}
		time.Sleep(2 * time.Minute) // virtual: the second look finds nothing to do
		settle()
		if r := w.record("order-1"); r.State != ledger.Delivered || r.PossibleDuplicate {
			t.Errorf("%+v", r)
		}
		if left := w.rdb.XLen(t.Context(), "wxn:{"+appID+"}:in").Val(); left != 0 {
			t.Errorf("%d events left in the inbox", left)
		}
	})
}

// rcp-06: WeChat's words are normalised; a block suppresses; what WeChat failed to
// deliver is sent again where the class asks for it.
func TestRcp06FailedReceipts(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		acct := w.p.Account(appID)
		w.message("blocked", openID, job.Default, 1)
		w.message("failed-default", "oSIM6t0follower0000000000002", job.Default, 2)
		w.message("failed-critical", "oSIM6t0follower0000000000003", job.Critical, 3)
		for msgid, status := range map[wechat.MessageID]string{
			1: wechattest.ReceiptUserBlock, 2: wechattest.ReceiptSystemFailed, 3: wechattest.ReceiptSystemFailed,
		} {
			e := finished(msgid, status)
			e.OpenID = "oSIM6t0follower000000000000" + msgid.String()
			acct.Push(e)
		}
		settle()
		if r := w.record("blocked"); r.State != ledger.Rejected || r.Receipt != "user-block" {
			t.Errorf("blocked: %+v", r)
		}
		if s := w.suppression(openID); s == nil || s.Reason != "user-block" {
			t.Errorf("suppression %+v", s)
		}
		if r := w.record("failed-default"); r.State != ledger.Rejected || r.Receipt != "system-failed" {
			t.Errorf("default: %+v", r)
		}
		if r := w.record("failed-critical"); r.State != ledger.Retrying {
			t.Errorf("critical: %+v", r)
		}
		if tasks := w.waiting(job.Critical); len(tasks) != 1 || tasks[0].Member != "failed-critical" ||
			time.Until(time.Unix(int64(tasks[0].Score), 0)) < 10*time.Minute {
			t.Errorf("to be sent again: %+v", tasks)
		}
	})
}

// rcp-07: no receipt within 24 h: counted, told, and not sent again.
func TestRcp07NoReceipt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped with -short: 24 virtual hours of an idle process")
	}
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		w.message("order-1", openID, job.Critical, 4711)
		time.Sleep(24*time.Hour + 2*time.Minute) // virtual
		settle()
		if r := w.record("order-1"); r.State != ledger.Accepted || r.EndedAt.IsZero() {
			t.Errorf("%+v", r)
		}
		if n := w.count(enroll.KindMissing, ""); n != 1 {
			t.Errorf("told %d times", n)
		}
		if tasks := w.waiting(job.Critical); len(tasks) != 0 {
			t.Errorf("to be sent again: %+v", tasks)
		}
	})
}

// MsgID 0, as was reported of WeChat: the receipt is joined by openid and time.
func TestReceiptWithoutMsgID(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		w.message("order-1", openID, job.Default, 4711)
		w.p.Account(appID).Push(finished(0, "success"))
		settle()
		if r := w.record("order-1"); r.State != ledger.Delivered {
			t.Errorf("%+v", r)
		}
	})
}

// A receipt of another system's message is given a second look and forgotten.
func TestReceiptOfAnotherSystem(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		w.message("order-1", openID, job.Default, 4711)
		w.p.Account(appID).Push(finished(99, "success"))
		settle()
		if n := w.count(enroll.KindUnmatched, ""); n != 0 {
			t.Error("given up at the first look")
		}
		time.Sleep(2 * time.Minute) // virtual
		settle()
		if n := w.count(enroll.KindUnmatched, ""); n != 1 {
			t.Errorf("told %d times", n)
		}
		if r := w.record("order-1"); r.State != ledger.Accepted {
			t.Errorf("ours: %+v", r)
		}
		if left := w.rdb.XLen(t.Context(), "wxn:{"+appID+"}:in").Val(); left != 0 {
			t.Errorf("%d events left in the inbox", left)
		}
	})
}

// A message whose answer was lost is settled by its receipt, even when it has
// ended as unknown.
func TestReceiptSettlesTheUnknown(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		e := job.Envelope{
			ID: "order-1", Class: job.Default, To: openID, Template: "t", QueuedAt: time.Now(), Body: []byte(`{"touser":"` + openID + `"}`),
		}
		_, err := w.records.Begin(t.Context(), e, ledger.Delivery{N: 1})
		must(t, err)
		w.p.Account(appID).Push(finished(4711, "success"))
		must(t, w.records.Failed(t.Context(), e.ID, 1, ledger.Outcome{
			To: openID, State: ledger.Unknown, Reason: "the answer was lost", Attempt: true, Ambiguous: true,
		}))
		settle()
		time.Sleep(2 * time.Minute) // virtual
		settle()
		if r := w.record("order-1"); r.State != ledger.Delivered {
			t.Errorf("%+v", r)
		}
	})
}

// A process dies with events in its hands: another one applies them.
func TestInboxSurvivesItsReader(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		w.message("order-1", openID, job.Default, 4711)
		w.p.Account(appID).Push(finished(4711, "success"))
		settle()
		// A reader that takes the event and is never heard of again.
		must(t, w.rdb.XGroupCreateMkStream(t.Context(), "wxn:{"+appID+"}:in", "enroll", "0").Err())
		taken := w.rdb.Do(t.Context(), "XREADGROUP", "GROUP", "enroll", "dead", "STREAMS", "wxn:{"+appID+"}:in", ">")
		must(t, taken.Err())
		w.run()
		settle()
		if r := w.record("order-1"); r.State != ledger.Accepted {
			t.Fatalf("%+v", r)
		}
		time.Sleep(time.Minute) // virtual
		settle()
		if r := w.record("order-1"); r.State != ledger.Delivered {
			t.Errorf("%+v", r)
		}
	})
}
