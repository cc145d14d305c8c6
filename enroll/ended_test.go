package enroll_test

import (
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// ended is what was told of messages that ended, by ID.
func (w *world) ended() map[string][]enroll.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string][]enroll.Message{}
	for _, e := range w.events {
		if e.Kind == enroll.KindEnded {
			out[e.Message.ID] = append(out[e.Message.ID], *e.Message)
		}
	}
	return out
}

// A message that ends after its worker was done with it is told once, with the masked
// recipient: by its receipt, by the lack of one, by an erasure.
func TestEachEndOutsideAWorkerIsToldOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a day in virtual time")
	}
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		w.message("delivered", openID, job.Default, 1)
		w.message("blocked", openID, job.Bulk, 2)
		w.message("resent", openID, job.Critical, 3)
		w.message("quiet", openID, job.Default, 4)
		for msgid, status := range map[wechat.MessageID]string{
			1: wechattest.ReceiptSuccess, 2: wechattest.ReceiptUserBlock, 3: wechattest.ReceiptSystemFailed,
		} {
			w.p.Account(appID).Push(finished(msgid, status))
			w.p.Account(appID).Push(finished(msgid, status)) // WeChat repeats
		}
		time.Sleep(24*time.Hour + 2*time.Minute) // virtual
		settle()
		told := w.ended()
		want := map[string]enroll.Message{
			"delivered": {ID: "delivered", Class: "default", State: "delivered", To: wechat.MaskOpenID(openID), MsgID: 1},
			"blocked":   {ID: "blocked", Class: "bulk", State: "rejected", To: wechat.MaskOpenID(openID), Reason: "user-block", MsgID: 2},
			"quiet":     {ID: "quiet", Class: "default", State: "accepted", To: wechat.MaskOpenID(openID), Reason: "no-receipt", MsgID: 4},
		}
		for id, m := range want {
			if len(told[id]) != 1 || told[id][0] != m {
				t.Errorf("%s: told %+v, want once %+v", id, told[id], m)
			}
		}
		if len(told["resent"]) != 0 || len(told) != len(want) {
			t.Errorf("told %+v", told)
		}
	})
}
