package worker_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

// quo-01: a day of 300 calls with a reserve of 30, two workers, 700 bulk and 20
// critical that come after them. The bubble starts at 08:00 in China.
func TestQuo01ReserveAndNextDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: appid, DailyQuota: 300}}}
		p := newPipe(t, cfg, terms{quota: 300, reserve: 0.1, rate: 100})
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

		// Polling workers would cost real time in the quiet hours.
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
	longVirtualTime(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 50 * time.Millisecond},
			terms{quota: 1000, concurrency: 20, rate: 100})
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
		p := newPipe(t, wechattest.Config{}, terms{})
		p.p.Script(wechattest.Errcode(wechat.CodeQuota))
		all := ids("m", 50)
		p.enqueue(appid, job.Default, all...)
		p.start()
		p.drained(time.Second, 2*time.Minute)
		p.seenOnce(all...)
	})
}

// The quota is asked for at 23:59:59, and WeChat's answer comes after midnight:
// it is yesterday's, and the new day's quota is open.
func TestQuotaAskedForBeforeMidnight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: appid, DailyQuota: 10000}}, Latency: 1200 * time.Millisecond}
		p := newPipe(t, cfg, terms{quota: 10000, concurrency: 16, rate: 50})
		end := midnight()
		p.p.Account(appid).SetUsed(10000)
		time.Sleep(time.Until(end.Add(-20 * time.Second))) // virtual
		p.start()
		time.Sleep(time.Until(end.Add(-700 * time.Millisecond))) // virtual
		p.start()                                                // asks at once
		urgent := ids("m", 20)
		p.enqueue(appid, job.Critical, urgent...)
		time.Sleep(time.Until(end.Add(20 * time.Second))) // virtual
		p.seenOnce(urgent...)
	})
}

// WeChat refuses in the evening while its own count shows room, which is then not
// believed. At midnight that is over: its count of the new day is true.
func TestDistrustOfTheEveningEndsAtMidnight(t *testing.T) {
	t.Parallel()
	longVirtualTime(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: appid, DailyQuota: 10000}}}
		p := newPipe(t, cfg, terms{quota: 10000, concurrency: 16, rate: 50})
		time.Sleep(time.Until(midnight().Add(-5 * time.Minute))) // virtual
		p.p.Account(appid).SetUsed(9500)
		p.p.Script(wechattest.Errcode(wechat.CodeQuota).Times(40))
		all := ids("m", 300)
		p.enqueue(appid, job.Default, all...)
		p.start()
		time.Sleep(time.Until(midnight().Add(-30 * time.Second))) // virtual
		if refused := p.p.Calls(wechattest.SendPath).ByCode[wechat.CodeQuota]; refused < 2 || refused > 4 || p.p.SeenTotal() > 0 {
			t.Errorf("%d calls were refused and %d accepted, want two refusals and then none", refused, p.p.SeenTotal())
		}
		p.p.ClearScript()
		end := midnight()
		for _, after := range []time.Duration{time.Minute, 6 * time.Minute} {
			time.Sleep(time.Until(end.Add(after))) // virtual
			id := "urgent-" + after.String()
			p.enqueue(appid, job.Critical, id)
			time.Sleep(10 * time.Second) // virtual
			p.seenOnce(id)
		}
		p.seenOnce(all...)
	})
}

// WeChat goes on refusing while its count shows room. Two refusals prove the
// count wrong, whichever workers they come to: then nothing is sent for an hour.
func TestDistrustIsTheFleets(t *testing.T) {
	t.Parallel()
	longVirtualTime(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: appid, DailyQuota: 10000}}, Latency: 50 * time.Millisecond}
		p := newPipe(t, cfg, terms{quota: 10000, concurrency: 16, rate: 50})
		p.p.Account(appid).SetUsed(9500)
		p.p.Always(wechattest.Errcode(wechat.CodeQuota))
		p.enqueue(appid, job.Default, ids("m", 300)...)
		for range 2 {
			p.start()
			time.Sleep(47 * time.Second) // virtual
		}
		refused := func() int { return p.p.Calls(wechattest.SendPath).ByCode[wechat.CodeQuota] }
		first := refused()
		time.Sleep(10 * time.Minute) // virtual
		if n := refused(); n != first || first > 6 {
			t.Errorf("%d calls were refused at first, and %d after that, want what was under way and none", first, n-first)
		}
	})
}

// errcode 45011 comes until shortly after a minute's end by our clock: the gate
// that opens with the minute closes again with the first refusal.
func TestMinuteQuotaAcrossTheMinutesEnd(t *testing.T) {
	t.Parallel()
	for _, from := range []time.Duration{30 * time.Second, 59500 * time.Millisecond} {
		t.Run(from.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, wechattest.Config{Latency: 20 * time.Millisecond}, terms{quota: 100000, concurrency: 32, rate: 500})
				minute := time.Now().Truncate(time.Minute).Add(time.Minute)
				time.Sleep(time.Until(minute.Add(from - 5*time.Second))) // virtual
				p.start()
				time.Sleep(time.Until(minute.Add(from))) // virtual
				p.p.Always(wechattest.Errcode(wechat.CodeRate))
				p.enqueue(appid, job.Default, ids("m", 400)...)
				time.Sleep(time.Until(minute.Add(time.Minute + 1500*time.Millisecond))) // virtual
				n := p.p.Calls(wechattest.SendPath).ByCode[wechat.CodeRate]
				t.Logf("refused from %v on: %d calls for 400 messages", from, n)
				if n > 64 {
					t.Errorf("%d calls were refused, want at most what was under way at two closures of 32 slots", n)
				}
			})
		})
	}
}

// The record's answer comes after midnight: the permit of yesterday is not used
// today, and the message waits for one of today.
func TestPermitOfYesterdayIsNotUsedToday(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		gate, err := ratelimit.New(rdb, ratelimit.Config{Key: "wxn:{wx1}:", DailyQuota: 100, UTCOffset: china, Owner: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if err := gate.Reconcile(t.Context(), ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown); err != nil {
			t.Fatal(err)
		}
		slow := &slowLedger{records: &records{start: ledger.Start{Decision: ledger.Send}}}
		b := setupWith(t, answers(nil), func(a *worker.Account) {
			a.Gate = gate
			*a = worker.With(*a, slow)
		})
		time.Sleep(time.Until(midnight().Add(-2 * time.Second))) // virtual
		slow.stop = 3 * time.Second
		if d := later(t, b.deliver(t, nil)); d != 0 || b.send.calls() != 0 {
			t.Errorf("put back for %v after %d calls, want at once and none", d, b.send.calls())
		}
		slow.stop = 0
		if err := b.deliver(t, nil); err != nil || b.send.calls() != 1 {
			t.Errorf("the next try gave %v after %d calls", err, b.send.calls())
		}
		if s, err := gate.State(t.Context()); err != nil || s.Day != "2000-01-02" || s.Used != 7 {
			t.Errorf("the state is %+v, %v", s, err)
		}
	})
}
