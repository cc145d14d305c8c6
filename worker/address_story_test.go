package worker_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// Stories of the account's IP list: it has the address of some workers, of none, or
// gets it later.

const (
	listedIP   = "203.0.113.7"
	unlistedIP = "198.51.100.9"
)

// ipList is an account whose IP list has listedIP alone.
func ipList(check wechattest.IPCheck, refusal wechat.Code) wechattest.Config {
	return wechattest.Config{Accounts: []wechattest.AccountConfig{{
		AppID: appid, AllowedIPs: []string{listedIP}, IPCheck: check, IPRefusal: refusal,
	}}}
}

// pauses are the reasons for which the account's gate is closed.
func (p *pipe) pauses() (reasons []ratelimit.Reason, details string) {
	p.Helper()
	gate, err := ratelimit.New(p.admin, ratelimit.Config{Key: "wxn:{" + appid + "}:", UTCOffset: china, Owner: "test"})
	if err != nil {
		p.Fatal(err)
	}
	state, err := gate.State(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	for _, pause := range state.Pauses {
		reasons, details = append(reasons, pause.Reason), details+pause.Detail
	}
	return reasons, details
}

// suspended are the addresses of the workers that the registry shows as suspended.
func (p *pipe) suspended() (addresses []string) {
	p.Helper()
	workers, _, err := heartbeat.List(p.Context(), p.admin, appid)
	if err != nil {
		p.Fatal(err)
	}
	for _, w := range workers {
		if w.Suspended != nil {
			addresses = append(addresses, w.Suspended.Address)
		}
	}
	return addresses
}

// refusals are the sends that WeChat refused for the caller's address.
func (p *pipe) refusals() (n int) {
	calls := p.p.Calls(wechattest.SendPath)
	return calls.ByCode[40164] + calls.ByCode[61004] + calls.ByCode[45035]
}

func TestUnlistedWorkerIsSuspendedAndTheListedOneSendsAll(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]wechattest.Config{
		"all calls, 40164":   ipList(wechattest.IPCheckAll, 40164),
		"all calls, 45035":   ipList(wechattest.IPCheckAll, 45035),
		"token calls, 61004": ipList(wechattest.IPCheckTokens, 61004),
	} {
		for order, starts := range map[string][]string{"unlisted first": {unlistedIP, listedIP}, "listed first": {listedIP, unlistedIP}} {
			t.Run(name+", "+order, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := newPipe(t, cfg, terms{rate: 20, quota: 100_000, concurrency: 8})
					all := ids("m", 200)
					p.enqueue(appid, job.Default, all...)
					processes := map[string]*process{}
					for _, ip := range starts {
						processes[ip] = p.startFrom(ip)
						time.Sleep(10 * time.Second) // virtual
					}
					begun := time.Now()
					p.drained(time.Second, 2*time.Minute)
					if took := time.Since(begun); took > 20*time.Second {
						t.Errorf("200 messages at 20/s took %v: the account was held for the worker that is not listed", took)
					}
					p.seenOnce(all...)
					if reasons, _ := p.pauses(); len(reasons) > 0 {
						t.Errorf("the account is closed for %v though a worker is listed", reasons)
					}
					for _, id := range all {
						if r := p.record(appid, id); r.Attempts != 1 {
							t.Fatalf("%s has %d attempts, want 1: the refusal was of the worker's address", id, r.Attempts)
						}
					}
					if n := p.refusals(); n > 8 {
						t.Errorf("%d sends were refused for the address, want those in flight at most", n)
					}
					if err := processes[listedIP].worker.Check(appid); err != nil {
						t.Errorf("the listed worker is not ready: %v", err)
					}
				})
			})
		}
	}
}

func TestSuspendedWorkerNamesItsAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, ipList(wechattest.IPCheckAll, 40164), terms{rate: 20, concurrency: 8})
		listed, unlisted := p.startFrom(listedIP), p.startFrom(unlistedIP)
		time.Sleep(30 * time.Second) // virtual: found out without a message
		err := unlisted.worker.Check(appid)
		if err == nil || !strings.Contains(err.Error(), unlistedIP) || !strings.Contains(err.Error(), "40164") {
			t.Errorf("Check of the unlisted worker: %v", err)
		}
		if err := listed.worker.Check(appid); err != nil {
			t.Errorf("Check of the listed worker: %v", err)
		}
		if got := p.suspended(); len(got) != 1 || got[0] != unlistedIP {
			t.Errorf("the registry shows %q as suspended", got)
		}
		lines := p.logs.FilterField(zap.String("address", unlistedIP)).All()
		if len(lines) != 1 || !strings.HasPrefix(lines[0].Message, "worker suspended") {
			t.Errorf("log lines with the address: %v", lines)
		}
	})
}

func TestGateClosesWhenEveryWorkerIsRefusedAndOpensWhenOneIsNot(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]wechattest.Config{
		"all calls":   ipList(wechattest.IPCheckAll, 40164),
		"token calls": ipList(wechattest.IPCheckTokens, 61004),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, cfg, terms{rate: 20, quota: 100_000, concurrency: 8})
				all := ids("m", 100)
				p.enqueue(appid, job.Default, all...)
				p.startFrom(unlistedIP)
				p.startFrom("198.51.100.10")
				time.Sleep(4 * time.Minute) // virtual
				reasons, details := p.pauses()
				if len(reasons) != 1 || reasons[0] != ratelimit.ReasonAddress || !strings.Contains(details, unlistedIP) || !strings.Contains(details, "198.51.100.10") {
					t.Errorf("closed for %v: %s; want the reason address, with both addresses", reasons, details)
				}
				calls := p.p.Calls(wechattest.StableTokenPath).Total + p.p.Calls("/cgi-bin/openapi/quota/get").Total + p.p.Calls(wechattest.SendPath).Total
				if calls > 22 {
					t.Errorf("%d calls in four minutes in which all of them are refused", calls)
				}
				if got := p.records(appid, all...); got[ledger.Queued] != len(all) {
					t.Errorf("records %v, want all of them queued", got)
				}
				p.startFrom(listedIP)
				p.drained(time.Second, time.Minute)
				p.seenOnce(all...)
				if reasons, _ := p.pauses(); len(reasons) > 0 {
					t.Errorf("still closed for %v", reasons)
				}
			})
		})
	}
}

func TestSuspendedWorkerComesBackOnceItsAddressIsListed(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]wechattest.Config{
		"all calls":   ipList(wechattest.IPCheckAll, 61004),
		"token calls": ipList(wechattest.IPCheckTokens, 40164),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, cfg, terms{rate: 20, quota: 100_000, concurrency: 8})
				w := p.startFrom(unlistedIP)
				all := ids("m", 100)
				p.enqueue(appid, job.Default, all...)
				time.Sleep(5 * time.Minute) // virtual
				if n := p.p.SeenTotal(); n != 0 {
					t.Errorf("%d messages arrived from an address that is not listed", n)
				}
				p.p.Account(appid).SetAllowedIPs(listedIP, unlistedIP)
				p.drained(time.Second, 4*time.Minute)
				p.seenOnce(all...)
				reasons, _ := p.pauses()
				if err := w.worker.Check(appid); err != nil || len(reasons) > 0 || len(p.suspended()) > 0 {
					t.Errorf("after the address was listed: %v, closed for %v, suspended %v", err, reasons, p.suspended())
				}
				if r := p.record(appid, all[0]); r.Attempts != 1 {
					t.Errorf("%d attempts, want 1", r.Attempts)
				}
			})
		})
	}
}

// The listed worker goes away while the other one is suspended: the gate says so, and
// opens when it is back.
func TestGateFollowsTheLastListedWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, ipList(wechattest.IPCheckAll, 40164), terms{rate: 20, quota: 100_000, concurrency: 8})
		listed := p.startFrom(listedIP)
		p.startFrom(unlistedIP)
		time.Sleep(10 * time.Second) // virtual
		p.enqueue(appid, job.Default, "m-1")
		p.drained(time.Second, 20*time.Second)
		listed.kill()
		p.enqueue(appid, job.Default, "m-2")
		time.Sleep(2 * time.Minute) // virtual
		if reasons, _ := p.pauses(); len(reasons) != 1 || reasons[0] != ratelimit.ReasonAddress {
			t.Errorf("closed for %v after the listed worker was killed", reasons)
		}
		p.startFrom(listedIP)
		p.drained(time.Second, time.Minute)
		p.seenOnce("m-1", "m-2")
	})
}

// The address of a worker is taken from the list while it sends: what is in flight goes
// back without an attempt, and another worker sends it.
func TestAddressIsUnlistedWhileMessagesAreInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := ipList(wechattest.IPCheckAll, 61004)
		cfg.Latency = 200 * time.Millisecond
		p := newPipe(t, cfg, terms{rate: 40, quota: 100_000, concurrency: 8})
		account := p.p.Account(appid)
		account.SetAllowedIPs(listedIP, unlistedIP)
		all := ids("m", 400)
		p.enqueue(appid, job.Default, all...)
		p.startFrom(listedIP)
		p.startFrom(unlistedIP)
		p.until("sending", 100*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() > 50 })
		account.SetAllowedIPs(listedIP)
		p.drained(time.Second, time.Minute)
		p.seenOnce(all...)
		if got := p.suspended(); len(got) != 1 || got[0] != unlistedIP {
			t.Errorf("suspended %q", got)
		}
		if n := p.refusals(); n == 0 || n > 16 {
			t.Errorf("%d sends were refused for the address, want those in flight", n)
		}
		for _, id := range all {
			if r := p.record(appid, id); r.Attempts != 1 || r.State != ledger.Accepted {
				t.Fatalf("%s: %s after %d attempts, want 1", id, r.State, r.Attempts)
			}
		}
	})
}
