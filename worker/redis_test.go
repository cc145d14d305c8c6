package worker_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

// The story of faults on a real Redis, in real time: short waits instead of
// virtual ones, and the same end.
func TestRealRedisFaults(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := pipeOn(t, server.Client(t), wechattest.Config{Latency: 5 * time.Millisecond},
		terms{policy: worker.Policy{Backoff: slices.Repeat([]time.Duration{100 * time.Millisecond}, 15)}})
	p.dial = func() (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(context.Background(), "tcp", server.Addr)
	}
	p.p.Fault(0.20, wechattest.CutAfterAccept())
	p.p.Fault(0.05, wechattest.Errcode(-1))
	p.p.Fault(0.02, wechattest.HTTPStatus(502))
	all := ids("m", 500)
	p.enqueue(appid, job.Default, all...)
	first, second := p.start(), p.start()
	p.until("half done", 10*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() > 250 })
	if err := first.stop(); err != nil { // SIGTERM under load
		t.Errorf("stop: %v", err)
	}
	p.drained(50*time.Millisecond, time.Minute)
	p.seenOnce(all...)
	if got := p.records(appid, all...); got[ledger.Accepted] != len(all) {
		t.Errorf("records %v, want all accepted", got)
	}
	if err := second.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}
