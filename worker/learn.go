package worker

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// outage counts the call for the breaker and reports whether WeChat is down.
func (d *delivery) outage(err error, now time.Time) bool {
	bad, known := outageSign(err)
	if !known {
		return false
	}
	return d.breaker.note(bad, now) || bad && d.gate.suspect() == ratelimit.ReasonBreaker
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

// learn applies what the verdict says about others than this message.
func (d *delivery) learn(ctx context.Context, v *Verdict, sent time.Time) {
	if h := d.alarm.note(v.Errcode, d.recipient()); h.Reason != "" {
		v.Hold, v.Healthy = h, false
	}
	if v.Refused {
		forGood := v.Errcode != wechat.CodeInvalidTemplate
		if d.templates.refused(d.env.Template, forGood, sent, time.Now()) {
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
	d.hold(ctx, v)
}

// recovered opens a probing gate and starts all waits anew.
func (d *delivery) recovered(ctx context.Context) {
	if d.gate.clear() {
		d.breaker.reset()
		d.pauses.recovered()
	}
	d.gate.Succeed(ctx)
}

// hold closes the gate when the verdict asks for it, or when the call was the
// probe of a pause and did not show that its reason is gone.
func (d *delivery) hold(ctx context.Context, v *Verdict) {
	if v.Hold.Reason == "" {
		reason := d.gate.suspect()
		if reason == "" || ctx.Err() != nil {
			return
		}
		v.Hold = Hold{Reason: reason, Waits: probeWaits(reason), Detail: "the probe failed: " + v.Reason}
	}
	if !d.pauses.close(context.WithoutCancel(ctx), v.Hold) {
		// Redis fails: without a closed gate the head of the queue would spin.
		v.After = max(v.After, unreachableWait)
		return
	}
	d.event.Paused = v.Hold.Reason
	if v.Hold.Reason == ratelimit.ReasonRefused {
		d.reconcile()
	}
}

// suppress is a help, not a promise: the next answer says the same again.
func (d *delivery) suppress(ctx context.Context, v Verdict) {
	if d.suppressor == nil {
		return
	}
	template := ""
	if v.Suppress.Template {
		template = d.env.Template
	}
	if err := d.suppressor.Suppress(ctx, d.recipient(), template, v.Suppress.For, v.Errcode.Name()); err != nil {
		d.log.Warn("cannot suppress a recipient: Redis fails", zap.String("id", d.env.ID), zap.Error(err))
	}
}
