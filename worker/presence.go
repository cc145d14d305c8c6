package worker

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// reportTimeout bounds one report to the registry of workers.
	reportTimeout = 5 * time.Second
	// addressProbeEvery is between two probes of a suspended worker. It grows with the
	// number of suspended workers, so that the account's calls do not.
	addressProbeEvery = time.Minute
	maxAddressProbe   = 5 * time.Minute
	// addressPause closes the gate while every worker is suspended. Suspended workers
	// renew it every addressRenew; it ends when they are gone.
	addressPause = 2 * time.Minute
	addressRenew = 30 * time.Second
)

// presence is one worker in one account's registry of workers. While WeChat refuses
// the worker's address (40164, 61004, 45035) the worker is suspended: it fetches no
// messages of the account, and tries a call each minute that sends nothing. Workers
// of listed addresses go on. The account's gate closes when every worker that is alive
// is suspended, so that operators and callers see why nothing is sent.
type presence struct {
	rdb      redis.UniversalClient
	appID    string
	gate     Gate
	quota    QuotaReader // nil: a message is the probe
	reporter *heartbeat.Reporter
	log      *zap.Logger
	resumed  func() // called when the address is listed again
	held     func() []heartbeat.Held

	suspension atomic.Pointer[suspension]
	wake       chan struct{} // capacity 1: suspension or open has changed
	open       atomic.Bool   // the gate is closed for all addresses, which this worker disproves

	// Of run's goroutine.
	probeAt time.Time // zero: no probe is planned
	renewAt time.Time // when the pause is renewed
	failing bool      // the last report failed
}

// suspension is why this worker fetches nothing.
type suspension struct {
	heartbeat.Suspension
	refusal *wechat.Error
}

func newPresence(rdb redis.UniversalClient, a Account, self heartbeat.Worker, log *zap.Logger) *presence {
	return &presence{
		rdb: rdb, appID: a.AppID, gate: a.Gate, quota: a.Quota, log: log, resumed: func() {},
		reporter: heartbeat.NewReporter(rdb, a.AppID, self), wake: make(chan struct{}, 1),
	}
}

// identity is this process in the registry of workers.
func identity(cfg Config) heartbeat.Worker {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return heartbeat.Worker{
		ID:   fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:8]),
		Host: host, Version: cfg.Version, Started: time.Now().UTC(), Concurrency: cfg.Concurrency,
	}
}

// processName is a worker's host and process number, which operators can look for.
func processName(w heartbeat.Worker) string {
	return w.ID[:max(strings.LastIndexByte(w.ID, ':'), 0)]
}

// suspend stops this worker for the account: WeChat refused its address with e.
func (p *presence) suspend(e *wechat.Error) {
	s := &suspension{
		heartbeat.Suspension{Since: time.Now().UTC(), Errcode: int(e.Code), Address: e.IP()}, e,
	}
	if !p.suspension.CompareAndSwap(nil, s) {
		return
	}
	p.log.Error("worker suspended: WeChat refuses its address; other workers go on",
		zap.String("address", s.Address), zap.Int("errcode", s.Errcode), zap.String("remedy", e.Remedy()))
	p.wakeUp()
}

// disprove says that the gate is closed because WeChat refuses every worker's address,
// though it does not refuse this one's.
func (p *presence) disprove() {
	p.open.Store(true)
	p.wakeUp()
}

func (p *presence) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// closed is the gate as this worker sees it: nil unless WeChat refuses its address.
func (p *presence) closed() *ratelimit.ClosedError {
	s := p.suspension.Load()
	if s == nil {
		return nil
	}
	return &ratelimit.ClosedError{Reason: ratelimit.ReasonAddress, Detail: s.text()}
}

func (p *presence) err() error {
	s := p.suspension.Load()
	if s == nil {
		return nil
	}
	return fmt.Errorf("worker: suspended since %s: %s", s.Since.Format(time.RFC3339), s.text())
}

func (s *suspension) text() string {
	return fmt.Sprintf("errcode %d: %s", s.Errcode, s.refusal.Remedy())
}

// run reports this worker until ctx ends, then removes it from the registry.
func (p *presence) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-p.wake:
		case <-timer.C:
		}
		p.round(ctx)
		timer.Reset(jitterLittle(heartbeat.Every))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	_ = p.reporter.Leave(ctx) // an entry that stays is not listed after a minute
}

// round probes the address when that is due, reports, and closes or opens the gate.
func (p *presence) round(ctx context.Context) {
	resumed := p.probe(ctx)
	s := p.suspension.Load()
	var reported *heartbeat.Suspension
	if s != nil {
		reported = &s.Suspension
	}
	limited, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	counts, err := p.reporter.Beat(limited, reported, p.held()...)
	if err != nil {
		if !p.failing && ctx.Err() == nil {
			p.log.Warn("cannot report to the registry of workers, trying again", zap.Error(err))
		}
		p.failing = true
		return
	}
	p.failing = false
	if s == nil {
		// At its start, this worker was not refused though others are suspended.
		if p.open.Swap(false) || resumed || counts.Suspended > 0 {
			p.openGate(limited)
		}
		return
	}
	if p.probeAt.IsZero() {
		p.plan(counts.Suspended)
	}
	if counts.Suspended == counts.Alive && !time.Now().Before(p.renewAt) {
		p.closeGate(limited)
	}
}

// plan sets when the address is probed, all suspended workers together once a minute.
func (p *presence) plan(suspended int) {
	p.probeAt = time.Now().Add(jitterLittle(min(addressProbeEvery*time.Duration(max(suspended, 1)), maxAddressProbe)))
}

// probe asks WeChat for the quota when a probe is due, and ends the suspension when
// WeChat answers. It sends no message. Without a reader of the quota the next message
// is the probe.
func (p *presence) probe(ctx context.Context) (resumed bool) {
	s := p.suspension.Load()
	if s == nil || p.probeAt.IsZero() || time.Now().Before(p.probeAt) {
		return false
	}
	p.probeAt = time.Time{}
	if p.quota != nil {
		limited, cancel := context.WithTimeout(ctx, quotaTimeout)
		defer cancel()
		_, err := p.quota.Quota(limited, wechat.SendPath)
		_, refused := wechat.AddressRefusal(err)
		if _, answered := wechat.CodeOf(err); refused || err != nil && !answered {
			return false
		}
	}
	p.renewAt = time.Time{}
	p.suspension.Store(nil)
	p.log.Info("worker resumed: WeChat accepts its address again", zap.String("address", s.Address))
	p.resumed()
	return true
}

// closeGate says for the account that no worker can send.
func (p *presence) closeGate(ctx context.Context) {
	workers, _, err := heartbeat.List(ctx, p.rdb, p.appID)
	if err != nil {
		return // with the next report
	}
	var addresses []string
	for _, w := range workers {
		if w.Suspended != nil {
			addresses = append(addresses, w.Host+" "+orUnknown(w.Suspended.Address))
		}
	}
	err = p.gate.Close(ctx, ratelimit.Pause{
		Reason: ratelimit.ReasonAddress, Until: time.Now().Add(addressPause),
		Detail: "add to the IP list of the account, on developers.weixin.qq.com/platform: " + strings.Join(addresses, ", "),
	})
	if err == nil {
		p.renewAt = time.Now().Add(addressRenew)
	}
}

func (p *presence) openGate(ctx context.Context) {
	if err := p.gate.Open(ctx, ratelimit.ReasonAddress); err != nil && ctx.Err() == nil {
		p.log.Warn("cannot open the gate: Redis fails", zap.String("reason", string(ratelimit.ReasonAddress)), zap.Error(err))
	}
}

func orUnknown(address string) string {
	if address == "" {
		return "(WeChat names no address)"
	}
	return address
}
