package worker_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// que-06: WeChat is down for two hours. A handful of probes, no storm after it,
// and every message keeps its attempts.
func TestQue06Outage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 20 * time.Millisecond}, terms{rate: 50, concurrency: 20})
		p.p.Always(wechattest.HTTPStatus(503))
		all := ids("m", 300)
		p.enqueue(appid, job.Default, all...)
		one, two := p.start(), p.start()
		time.Sleep(time.Minute) // virtual
		first := p.p.Calls(wechattest.SendPath).Total
		if first > 150 {
			t.Errorf("%d calls in the first minute of an outage", first)
		}
		time.Sleep(2 * time.Minute) // virtual
		if n := p.p.Calls(wechattest.SendPath).Total - first; n > 5 {
			t.Errorf("%d probes in two minutes, want one in 30 s", n)
		}
		_, _ = one.stop(), two.stop()
		time.Sleep(2 * time.Hour) // virtual; it costs no real time without workers
		p.start()
		p.start()
		time.Sleep(time.Minute) // virtual
		if n := p.p.Calls(wechattest.SendPath).Total - first; n > 10 {
			t.Errorf("%d probes, two hours into the outage", n)
		}
		p.p.ClearScript()
		ended := time.Now()
		p.until("recovering", time.Second, 2*time.Minute, func() bool { return p.p.SeenTotal() > 0 })
		p.drained(time.Second, 10*time.Minute)
		took := time.Since(ended)
		if took < 200*time.Second/50 {
			t.Errorf("drained in %v: faster than the rate", took)
		}
		got := p.records(appid, all...)
		if got[ledger.Accepted]+got[ledger.Unknown] != len(all) || got[ledger.Accepted] != p.p.SeenTotal() {
			t.Errorf("records %v, %d seen", got, p.p.SeenTotal())
		}
		// 503 tells nothing: who was in flight then, and each probe, is unknown.
		if got[ledger.Unknown] > 120 {
			t.Errorf("%d messages ended unknown", got[ledger.Unknown])
		}
	})
}

// tok-06 from the worker's side: the secret is wrong. No call, no burnt
// attempt; sending goes on by itself when it is right again.
func TestStoryNoToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{})
		account := p.p.Account(appid)
		account.FreezeTokens(40164)
		all := ids("m", 50)
		p.enqueue(appid, job.Default, all...)
		p.start()
		time.Sleep(2 * time.Minute) // virtual
		if n := p.p.Calls(wechattest.SendPath).Total; n != 0 {
			t.Errorf("%d sends without a token", n)
		}
		account.FreezeTokens(0)
		p.drained(time.Second, 30*time.Minute)
		p.seenOnce(all...)
		if r := p.record(appid, all[0]); r.Attempts != 1 {
			t.Errorf("%d attempts, want 1: waiting for a token is none", r.Attempts)
		}
	})
}

// mul-01: two accounts in one process: never A's openid with B's token.
func TestMul01NoMixing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, twoAccounts(), terms{})
		a, b := ids("a", 60), ids("b", 60)
		p.enqueue(accountA, job.Default, a...)
		p.enqueue(accountB, job.Default, b...)
		p.start()
		p.drained(time.Second, time.Minute)
		p.seenOnce(append(a, b...)...)
		for _, s := range p.p.Seen() {
			if !strings.HasPrefix(s.OpenID, prefixOf(s.AppID)) {
				t.Fatalf("account %s wrote to %s", s.AppID, s.OpenID)
			}
		}
	})
}

// mul-02: A is punished. B goes on, A's messages keep their attempts.
func TestMul02Isolation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, twoAccounts(), terms{concurrency: 10})
		p.p.Account(accountA).Freeze(wechat.CodePunished)
		a, b := ids("a", 150), ids("b", 150)
		p.enqueue(accountA, job.Default, a...)
		p.enqueue(accountB, job.Default, b...)
		start := time.Now()
		p.start()
		p.until("B is done", 100*time.Millisecond, time.Minute, func() bool { return p.left(accountB) == 0 })
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("B took %v beside A's trouble", took)
		}
		p.seenOnce(b...)
		if got := p.records(accountA, a...); got[ledger.Dead]+got[ledger.Rejected]+got[ledger.Unknown] != 0 {
			t.Errorf("A's records %v, want that all wait", got)
		}
		time.Sleep(2 * time.Minute) // virtual
		if n := p.p.Calls(wechattest.SendPath).ByCode[wechat.CodePunished]; n > 22 {
			t.Errorf("%d calls for a punished account, want at most what was in flight and two probes", n)
		}
		p.p.Account(accountA).Freeze(0)
		p.drained(time.Second, 30*time.Minute)
		p.seenOnce(a...)
	})
}

const (
	accountA = "wxaaaaaaaaaaaaaaaa"
	accountB = "wxbbbbbbbbbbbbbbbb"
)

func prefixOf(appid string) string { return "o" + appid[2:8] }

func twoAccounts() wechattest.Config {
	return wechattest.Config{Accounts: []wechattest.AccountConfig{
		{AppID: accountA, OpenIDPrefix: prefixOf(accountA)},
		{AppID: accountB, OpenIDPrefix: prefixOf(accountB)},
	}}
}
