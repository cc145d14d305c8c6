package worker

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// outage counts the call for the breaker and reports whether WeChat is down. A
// probe that fails is enough, whatever this process has seen.
func (d *delivery) outage(err error, now time.Time) bool {
	bad, known := outageSign(err)
	if !known {
		return false
	}
	return d.breaker.note(bad, now) || bad && d.probe
}

// outageSign: an answer of any kind but "busy" shows that WeChat is up; trouble
// with the token says nothing of this API.
func outageSign(err error) (bad, known bool) {
	if e, ok := answer(err); ok {
		return e.Kind() == wechat.KindBusy, true
	}
	if _, ok := lost(err); ok {
		return true, true
	}
	return false, err == nil
}

// applySideEffects carries out what the verdict says about others than this message.
func (d *delivery) applySideEffects(ctx context.Context, v *Verdict) {
	if h := d.streak.note(v.Errcode, d.recipient()); h.Reason != "" {
		v.Hold, v.Healthy = h, false
	}
	if v.Refused {
		if d.templates.refused(d.env.Template, v.Errcode, d.start, time.Now()) {
			d.log.Error("template refused: its messages wait", zap.String("template", d.env.Template),
				zap.Int("errcode", int(v.Errcode)), zap.String("remedy", v.Errcode.Remedy()))
		}
	}
	if v.Action == Sent && d.templates.worked(d.env.Template) {
		d.log.Info("template works again", zap.String("template", d.env.Template))
	}
	if v.Suppress.For > 0 {
		d.suppress(ctx, *v)
	}
	if v.Healthy {
		d.recovered(ctx)
		return
	}
	if v.Address != nil { // tells nothing about the account, nor about the pause of a probe
		d.presence.suspend(v.Address)
		return
	}
	d.hold(ctx, v)
}

// recovered opens a probing gate. Only the probe itself proves anything: other
// sends may have begun before the gate closed.
func (d *delivery) recovered(ctx context.Context) {
	if !d.probe {
		return
	}
	d.breaker.reset()
	d.log.Info("the probe succeeded: sending goes on")
	d.gate.Succeed(context.WithoutCancel(ctx))
}

// forgetTrouble is called when sending goes on after a closure, which another process'
// probe may have ended: what this process saw before it says nothing any more.
func (a *account) forgetTrouble() {
	a.breaker.reset()
	a.streak.reset()
}

// hold closes the gate when the verdict asks for it. A probe that fails for
// WeChat's outage, or without telling anything about its pause, is kept and not
// reported: the next one comes when its lease ends.
func (d *delivery) hold(ctx context.Context, v *Verdict) {
	if d.probe && (v.Hold.Reason == "" || v.Hold.Reason == ratelimit.ReasonBreaker) {
		d.permit = nil
		d.log.Warn("the probe failed", zap.String("reason", v.reason()))
		return
	}
	if v.Hold.Reason == "" {
		return
	}
	var permit ratelimit.Permit
	if d.permit != nil {
		permit = *d.permit
	}
	closed, err := d.closeGate(context.WithoutCancel(ctx), v.Hold, permit)
	if err != nil {
		d.log.Warn("the gate cannot be closed: Redis fails", zap.String("reason", string(v.Hold.Reason)), zap.Error(err))
		v.After = max(v.After, unreachableWait) // or the head of the queue would spin
		return
	}
	if !closed {
		return
	}
	d.event.Paused = v.Hold.Reason
	if v.Hold.Reason == ratelimit.ReasonRefused {
		d.supervisor.askSoon()
	}
}

// suppress only logs an error: WeChat answers the next message the same, and that one
// suppresses the recipient.
func (d *delivery) suppress(ctx context.Context, v Verdict) {
	s := ledger.Suppression{OpenID: d.recipient(), Reason: v.Errcode.Name(), Until: time.Now().Add(v.Suppress.For)}
	if v.Suppress.Template {
		s.Template = d.env.Template
	}
	if err := d.records.Suppress(ctx, s); err != nil {
		d.log.Warn("cannot suppress a recipient: Redis fails", zap.String("id", d.env.ID), zap.Error(err))
	}
}
