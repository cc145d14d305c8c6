package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// Each simulated recipient ends as its name says, twice in a row: none of them is
// suppressed, closes the gate or refuses a template. WeChat is not called.
func TestSimulatedRecipientsEndAsTheirNamesSay(t *testing.T) {
	t.Parallel()
	longVirtualTime(t)
	type end struct {
		state   ledger.State
		errcode int
		receipt string
	}
	ends := map[string]end{
		"delivered": {ledger.Delivered, 0, "success"}, "slow": {ledger.Delivered, 0, "success"}, "other": {ledger.Delivered, 0, "success"},
		"user-block": {ledger.Rejected, 0, "user-block"}, "system-failed": {ledger.Rejected, 0, "system-failed"},
		"unknown": {ledger.Unknown, 0, ""}, "-1": {ledger.Unknown, -1, ""},
		"40003": {ledger.Rejected, 40003, ""}, "40037": {ledger.Rejected, 40037, ""}, "43004": {ledger.Rejected, 43004, ""},
		"43101": {ledger.Rejected, 43101, ""}, "47003": {ledger.Rejected, 47003, ""}, "45009": {ledger.Rejected, 45009, ""},
		"40164": {ledger.Rejected, 40164, ""}, "48001": {ledger.Rejected, 48001, ""}, "40001": {ledger.Rejected, 40001, ""},
		"43116": {ledger.Rejected, 43116, ""}, "45011": {ledger.Rejected, 45011, ""},
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{quota: 1000})
		p.start()
		for _, round := range []string{"a", "b"} {
			for outcome := range ends {
				p.enqueueAll(appid, job.Default, []string{round + outcome}, func(_ int, e *job.Envelope) { e.To = "wxn-sim-" + outcome })
			}
			p.drained(5*time.Second, 30*time.Minute)
			for outcome, want := range ends {
				r := p.record(appid, round+outcome)
				if r.State != want.state || r.Receipt != want.receipt {
					t.Errorf("%s%s: %s, receipt %q, errcode %d, %s; want %s, %q", round, outcome, r.State, r.Receipt, r.Errcode, r.Reason, want.state, want.receipt)
				}
				if want.errcode > 0 && int(r.Errcode) != want.errcode {
					t.Errorf("%s%s: errcode %d, want %d", round, outcome, r.Errcode, want.errcode)
				}
			}
		}
		if n := p.p.Calls(wechattest.SendPath).Total; n != 0 {
			t.Errorf("%d calls of WeChat", n)
		}
	})
}

// A test message takes the whole way to a real openid, without WeChat and quota,
// while a usual one beside it is sent.
func TestATestMessageReachesNoFollowerAndCostsNoQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{quota: 5, reserve: 0.01})
		p.enqueueAll(appid, job.Default, ids("test", 40), func(_ int, e *job.Envelope) { e.Test = true })
		p.enqueue(appid, job.Default, "real")
		p.start()
		p.drained(time.Second, 10*time.Minute)
		if got := p.records(appid, ids("test", 40)...); got[ledger.Delivered] != 40 {
			t.Errorf("records %v, want 40 delivered", got)
		}
		p.seenOnce("real")
		if n := p.p.Calls(wechattest.SendPath).Total; n != 1 {
			t.Errorf("%d calls of WeChat, want 1", n)
		}
	})
}
