package worker_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// quo-01: a day of 300 calls with a reserve of 30, two workers, 700 bulk and 20
// critical that come after them. The bubble starts at 08:00 in China.
func TestQuo01ReserveAndNextDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: appid, DailyQuota: 300}}}
		p := newPipe(t, cfg, terms{quota: 300, reserve: 0.1, servers: 1, rate: 100})
		bulk, critical := ids("bulk", 700), ids("crit", 20)
		p.enqueue(appid, job.Bulk, bulk...)
		one, two := p.start(), p.start()
		time.Sleep(20 * time.Second) // virtual
		if n := p.p.Calls(wechattest.SendPath).Total; n != 270 {
			t.Errorf("%d bulk calls, want 270: the reserve is kept", n)
		}
		p.enqueue(appid, job.Critical, critical...)
		time.Sleep(10 * time.Second) // virtual
		p.seenOnce(critical...)
		calls := p.p.Calls(wechattest.SendPath)
		if calls.Total != 290 || calls.ByCode[45009] != 0 {
			t.Errorf("%d calls, %d refused; want 290 and none", calls.Total, calls.ByCode[45009])
		}
		if n := p.left(appid); n != 430 {
			t.Errorf("%d messages wait, want 430: nothing is lost, nothing is fetched", n)
		}

		// The quiet hours cost real time only while somebody polls.
		_, _ = one.stop(), two.stop()
		time.Sleep(time.Until(midnight().Add(-15 * time.Second))) // virtual
		p.start()
		time.Sleep(14 * time.Second) // virtual
		if n := p.p.Calls(wechattest.SendPath).Total; n != 290 {
			t.Errorf("%d calls before midnight in China, want still 290", n)
		}
		time.Sleep(time.Minute) // virtual
		if n := p.p.Calls(wechattest.SendPath).Total; n != 290+270 {
			t.Errorf("%d calls after midnight in China, want %d", n, 290+270)
		}
		var order []string
		for _, s := range p.p.Seen() {
			if s.ClientMsgID[0] == 'b' {
				order = append(order, s.ClientMsgID)
			}
		}
		if out := misplaced(order); out > 16 {
			t.Errorf("a message is %d places from its turn, want about its own", out)
		}
		p.seenOnce(order...)
	})
}

// midnight is the next one in China.
func midnight() time.Time {
	zone := time.FixedZone("", int(china/time.Second))
	now := time.Now().In(zone)
	return time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, zone)
}

// misplaced is the largest distance between a message's place and its turn.
func misplaced(order []string) (most int) {
	sorted := slices.Sorted(slices.Values(order))
	for place, id := range order {
		turn, _ := slices.BinarySearch(sorted, id)
		most = max(most, place-turn, turn-place)
	}
	return most
}

// quo-04: 45009 comes although we counted less: others share the account.
func TestQuo04RefusedEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 50 * time.Millisecond},
			terms{quota: 1000, servers: 1, concurrency: 20, rate: 100})
		all := ids("m", 300)
		p.enqueue(appid, job.Default, all...)
		w := p.start()
		p.until("under way", 10*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() > 50 })
		account := p.p.Account(appid)
		account.SetDailyQuota(500)
		account.SetUsed(500)
		time.Sleep(10 * time.Second) // virtual
		refused := p.p.Calls(wechattest.SendPath).ByCode[wechat.CodeQuota]
		if refused < 1 || refused > 20 {
			t.Errorf("%d calls were refused, want at most what was in flight", refused)
		}
		if n := p.logs.FilterMessage("sending is paused").Len(); n != 1 {
			t.Errorf("%d alarms, want 1:\n%s", n, p.tail(10))
		}
		if got := p.records(appid, all...); got[ledger.Dead]+got[ledger.Rejected]+got[ledger.Unknown] != 0 {
			t.Errorf("records %v, want that all wait", got)
		}

		_ = w.stop()
		time.Sleep(55 * time.Minute) // virtual
		w = p.start()
		time.Sleep(6 * time.Minute) // virtual
		if more := p.p.Calls(wechattest.SendPath).ByCode[wechat.CodeQuota] - refused; more > 1 {
			t.Errorf("%d calls around the hour, want at most one probe", more)
		}
		_ = w.stop()
		time.Sleep(time.Until(midnight().Add(30 * time.Second))) // virtual
		p.start()
		p.drained(time.Second, 5*time.Minute)
		p.seenOnce(all...)
	})
}

// quo-04: what clearly remains by WeChat's own count opens the gate again.
func TestQuo04QuotaRaised(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{servers: 1})
		p.p.Script(wechattest.Errcode(wechat.CodeQuota))
		all := ids("m", 50)
		p.enqueue(appid, job.Default, all...)
		p.start()
		p.drained(time.Second, 2*time.Minute)
		p.seenOnce(all...)
	})
}
