package worker_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

const appid = wechattest.AppID

func TestStorySendsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 20 * time.Millisecond}, terms{})
		all := slices.Concat(ids("crit", 20), ids("norm", 100), ids("bulk", 200))
		p.enqueue(appid, job.Critical, all[:20]...)
		p.enqueue(appid, job.Default, all[20:120]...)
		p.enqueue(appid, job.Bulk, all[120:]...)
		w := p.start()
		p.drained(100*time.Millisecond, time.Minute)
		p.seenOnce(all...)
		if got := p.records(appid, all...); got[ledger.Accepted] != len(all) {
			t.Errorf("records %v, want all accepted", got)
		}
		if calls := p.p.Calls(wechattest.SendPath).Total; calls != len(all) {
			t.Errorf("%d calls for %d messages", calls, len(all))
		}
		if err := w.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}

// Exactly once visible: accepted and cut, busy, bad gateway, and a token that
// another system replaces again and again.
func TestStoryFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 50 * time.Millisecond}, terms{rate: 100})
		p.p.Fault(0.20, wechattest.CutAfterAccept())
		p.p.Fault(0.05, wechattest.Errcode(-1))
		p.p.Fault(0.02, wechattest.HTTPStatus(502))
		all := ids("m", 1000)
		if testing.Short() {
			all = all[:150]
		}
		p.enqueue(appid, job.Default, all...)
		p.start()
		p.start()
		killing, stopKilling := context.WithCancel(t.Context())
		defer stopKilling()
		go func() {
			for tick := time.NewTicker(2 * time.Second); ; {
				select {
				case <-tick.C:
					p.p.KillTokens()
				case <-killing.Done():
					tick.Stop()
					return
				}
			}
		}()
		p.drained(time.Second, 10*time.Minute)
		p.seenOnce(all...)
		if got := p.records(appid, all...); got[ledger.Accepted] != len(all) {
			t.Errorf("records %v, want all accepted", got)
		}
	})
}

// snd-09: -1 three times, then ok: sent once, and the one slot is free for
// others between the attempts.
func TestSnd09SlotIsFreeWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{concurrency: 1})
		bad, good := envelope(appid, job.Default, "bad"), ids("good", 5)
		p.p.Script(wechattest.Errcode(-1).For(bad.To).Times(3))
		p.enqueue(appid, job.Default, append([]string{"bad"}, good...)...)
		start := time.Now()
		p.start()
		p.drained(100*time.Millisecond, time.Minute)
		took := time.Since(start)
		p.seenOnce(append(good, "bad")...)
		seen := p.p.Seen()
		if last := seen[len(seen)-1]; last.ClientMsgID != "bad" {
			t.Errorf("the others waited for the one that failed: last is %s", last.ClientMsgID)
		}
		if took < 7*time.Second || took > 15*time.Second {
			t.Errorf("took %v, want 1+2+4 s with up to a half more", took)
		}
		if r := p.record(appid, "bad"); r.Attempts != 4 || r.State != ledger.Accepted {
			t.Errorf("record %+v", r)
		}
	})
}

// snd-11: WeChat takes 30 s for each call; each attempt has its own bound, and
// a stop is not held up.
func TestSnd11SlowWeChat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{})
		p.p.Always(wechattest.Hang(30 * time.Second))
		all := ids("m", 100)
		p.enqueue(appid, job.Default, all...)
		w := p.start()
		time.Sleep(15 * time.Second) // virtual
		start := time.Now()
		if err := w.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if n := p.left(appid); n != 100 {
			t.Errorf("%d messages are left, want all", n)
		}
		p.p.ClearScript()
		p.start()
		p.drained(time.Second, 20*time.Minute)
		p.seenOnce(all...)
	})
}

// que-11: SIGTERM under load: in-flight sends finish, nothing is lost.
func TestQue11Stop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 300 * time.Millisecond}, terms{})
		all := ids("m", 600)
		p.enqueue(appid, job.Default, all...)
		for p.left(appid) > 0 {
			w := p.start()
			time.Sleep(time.Second) // virtual
			start := time.Now()
			if err := w.stop(); err != nil {
				t.Fatalf("stop: %v", err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("the drain of 300 ms sends took %v", took)
			}
			got := p.records(appid, all...)
			if got[ledger.Sending] != 0 || got[ledger.Accepted] != p.p.SeenTotal() {
				t.Fatalf("after the stop: records %v, %d seen", got, p.p.SeenTotal())
			}
		}
		p.seenOnce(all...)
		if calls := p.p.Calls(wechattest.SendPath).Total; calls != len(all) {
			t.Errorf("%d calls for %d messages: a clean stop resends nothing", calls, len(all))
		}
	})
}

// que-11, the hard end: what does not finish within the drain goes back to its
// queue and is sent again under the same client_msg_id.
func TestQue11StopCutsSends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 5 * time.Second},
			terms{policy: worker.Policy{SendTimeout: 20 * time.Second}, callTimeout: 20 * time.Second, drain: 21 * time.Second})
		p.p.Always(wechattest.Hang(time.Minute).Accepted())
		all := ids("m", 50)
		p.enqueue(appid, job.Default, all...)
		w := p.start()
		time.Sleep(time.Second) // virtual
		_ = w.stop()
		p.p.ClearScript()
		p.start()
		p.drained(time.Second, 10*time.Minute)
		p.seenOnce(all...)
		if got := p.records(appid, all...); got[ledger.Accepted] != len(all) {
			t.Errorf("records %v, want all accepted", got)
		}
	})
}

// que-01: a worker is killed with 100 sends in flight, which WeChat has taken.
// Another finishes them under the same client_msg_id; each is seen once.
func TestQue01Killed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{concurrency: 100})
		p.p.Always(wechattest.Slow(8 * time.Second))
		all := ids("m", 100)
		p.enqueue(appid, job.Default, all...)
		first := p.start()
		p.until("in flight", 10*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() == 100 })
		first.kill()
		p.p.ClearScript()
		p.start()
		p.drained(time.Second, 5*time.Minute)
		p.seenOnce(all...)
		if calls := p.p.Calls(wechattest.SendPath).Total; calls != 200 {
			t.Errorf("%d calls, want each message sent a second time and dropped by WeChat", calls)
		}
		if got := p.records(appid, all...); got[ledger.Accepted] != 100 {
			t.Errorf("records %v, want all accepted", got)
		}
	})
}

// que-03: crashes cost no attempt, however many.
func TestQue03CrashesCostNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{})
		p.enqueueAll(appid, job.Default, []string{"m"}, func(_ int, e *job.Envelope) { e.AtLeastOnce = true })
		p.p.Always(wechattest.Hang(9 * time.Second))
		for crash := range 8 {
			w := p.start()
			p.until("sending", 100*time.Millisecond, 5*time.Minute, func() bool {
				return p.p.Calls(wechattest.SendPath).Total > crash
			})
			w.kill()
		}
		p.p.ClearScript()
		p.start()
		p.drained(time.Second, 5*time.Minute)
		p.seenOnce("m")
		if r := p.record(appid, "m"); r.State != ledger.Accepted || r.Attempts > 1 {
			t.Errorf("record %+v, want accepted at the first attempt that counts", r)
		}
	})
}
