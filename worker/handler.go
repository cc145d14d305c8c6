package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// newerWait leaves a task of a newer version to the workers that know it.
	newerWait = 10 * time.Second
	// redisWait is before a task is taken again that Redis failed.
	redisWait = 2 * time.Second
	// secondLineWait is how long a permit taken here is waited for, and how
	// long a task stays away while there is none.
	secondLineWait = 2 * time.Second
	// stoodStill is how old the answer of Begin may be when the message goes out.
	// A process that was stopped for longer has lost the task's lease: another
	// one may have sent the message since, in a window that has closed by now.
	stoodStill = 20 * time.Second
)

// errPanic stands for a panic: its own text may hold a piece of the message.
var errPanic = errors.New("the worker failed on this message; its log has the stack")

// delivery is one task on its way through the handler.
type delivery struct {
	*account
	task   broker.Task
	env    job.Envelope
	begun  ledger.Start
	asked  time.Time         // when begun was asked for, wall clock
	gone   bool              // the template was refused for hours
	permit *ratelimit.Permit // nil when there is none, or none any more
	probe  bool              // the permit is the one of a half-open gate
	event  Event
}

// handle is the way of one task. What it returns is the broker's contract: nil
// completes the task, and only after its end was recorded.
func (a *account) handle(ctx context.Context, t broker.Task) error {
	d := &delivery{account: a, task: t, permit: t.Permit}
	defer d.giveBack()
	env, err := job.Parse(t.Payload)
	if err != nil {
		return d.unreadable(ctx, err)
	}
	d.env = env
	d.event = Event{Account: a.appID, Class: env.Class, ID: env.ID, Age: time.Since(env.QueuedAt)}
	if yes, ok := a.unrecorded.take(occasionOf(env)); ok {
		d.begun.To = yes.to
		return d.accept(ctx, yes.msgid)
	}
	if !d.late() {
		var wait time.Duration
		wait, d.gone = a.templates.admit(env.Template, time.Now())
		if wait > 0 && !d.gone {
			return d.later(jitterLittle(wait), "messages of this template wait: WeChat refused it")
		}
	}
	if err := d.takePermit(ctx); err != nil {
		return err
	}
	d.asked = time.Now().Round(0)
	d.begun, err = a.ledger.Begin(ctx, env)
	if err != nil {
		a.log.Warn("cannot read the record", zap.String("id", env.ID), zap.Error(err))
		return &broker.Later{After: jitter(redisWait), Cause: errors.New("the record could not be read: Redis failed")}
	}
	d.event.Attempts = d.begun.Attempts
	switch d.begun.Decision {
	case ledger.Go:
		return d.attempt(ctx)
	case ledger.NotYet:
		return d.later(time.Until(d.begun.After), "it is sent again after a failed receipt, but not yet")
	case ledger.Ended, ledger.Stray, ledger.Suppressed, ledger.NoUser:
	}
	d.drop()
	return nil
}

// unreadable ends a task that no worker can read. Its ID is asynq's, so even
// here the end is recorded where a record exists.
func (d *delivery) unreadable(ctx context.Context, cause error) error {
	var newer *job.NewerVersionError
	if errors.As(cause, &newer) {
		return &broker.Later{After: jitter(newerWait), Cause: newer}
	}
	d.event = Event{Account: d.appID, ID: d.task.ID, Action: Discard, State: ledger.Dead, Reason: cause.Error()}
	d.log.Error("unreadable task", zap.String("id", d.task.ID), zap.String("queue", d.task.Queue), zap.Error(cause))
	err := writeOnce(ctx, func(ctx context.Context) error {
		return d.ledger.Failed(ctx, d.task.ID, ledger.Outcome{
			State: ledger.Dead, Reason: cause.Error(), Payload: d.task.Payload,
		})
	})
	if err != nil {
		d.log.Warn("an unreadable task has no record", zap.String("id", d.task.ID), zap.Error(err))
	}
	d.emit(d.event)
	return &broker.Dead{Cause: cause.Error()}
}

// drop completes a task that is not to be sent: its end is recorded already.
func (d *delivery) drop() {
	d.event.Action = Discard
	d.event.Reason = d.begun.Reason
	switch d.begun.Decision {
	case ledger.Suppressed, ledger.NoUser:
		d.event.State = ledger.Rejected
		if !d.begun.OpenSince.IsZero() {
			d.event.State = ledger.Unknown // an earlier attempt may have arrived
		}
		if d.event.Reason == "" {
			d.event.Reason = "the user is not on the roster"
		}
	case ledger.Stray:
		d.event.Reason = "another message has this ID"
		d.event.State = d.begun.State
	case ledger.Ended, ledger.Go, ledger.NotYet:
		d.event.Reason = "ended before"
		d.event.State = d.begun.State
	}
	d.emit(d.event)
}

// attempt sends the message unless it is too late for that.
func (d *delivery) attempt(ctx context.Context) error {
	a := Attempt{N: d.begun.Attempts + 1, AtLeastOnce: d.env.AtLeastOnce, Replay: !d.begun.OpenSince.IsZero()}
	if a.Replay {
		a.Open = time.Since(d.begun.OpenSince)
	}
	switch past := a.Replay && a.Open > d.policy.ReplayWindow; {
	case d.late():
		return d.fail(ctx, tooLate(a))
	case past && !a.AtLeastOnce:
		return d.fail(ctx, outOfWindow())
	case d.gone:
		return d.fail(ctx, templateIsGone(a))
	case past:
		d.event.PossibleDuplicate = true
	}
	if !d.env.NotAfter.IsZero() {
		a.Left = time.Until(d.env.NotAfter)
	}
	return d.send(ctx, a)
}

// send calls WeChat and does what the verdict says.
func (d *delivery) send(ctx context.Context, a Attempt) error {
	if time.Now().Round(0).Sub(d.asked) > stoodStill {
		return d.later(0, "the process stood still before sending")
	}
	d.probe = d.permit != nil && d.permit.Probe()
	sent := time.Now()
	msgid, err := d.call(ctx)
	now := time.Now()
	d.event.Latency, d.event.Called = now.Sub(sent), true
	a.Stopping = err != nil && ctx.Err() != nil
	if !a.Stopping {
		a.Outage = d.outage(err, now)
	}
	v := Judge(err, a, d.policy)
	d.event.RID = ridOf(err)
	d.learn(ctx, &v, sent)
	if v.Reached {
		d.permit = nil // spent
	}
	d.event.Action, d.event.Errcode, d.event.Reason, d.event.Reached = v.Action, v.Errcode, v.Reason, v.Reached
	if v.Counts || v.Action == Sent {
		d.event.Attempts = a.N
	}
	if v.Action == Sent {
		return d.accept(ctx, msgid)
	}
	return d.fail(ctx, v)
}

// call makes the request with a bound of its own. A panic in it is turned into
// an error, since asynq would store its text.
func (d *delivery) call(ctx context.Context) (msgid wechat.MessageID, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			d.log.Error("panic while sending", zap.String("id", d.env.ID),
				zap.String("type", fmt.Sprintf("%T", cause)), zap.Stack("stack"))
			msgid, err = 0, errPanic
		}
	}()
	ctx = withSendInfo(ctx, sendInfo{tier: tierOf(d.env.Class), probe: d.probe})
	ctx, cancel := context.WithTimeout(ctx, d.policy.SendTimeout)
	defer cancel()
	body := d.env.Body
	if d.env.User != "" {
		body = job.WithRecipient(body, d.begun.To)
	}
	return d.sender.SendTemplateBody(ctx, body)
}

// recipient is the openid, for the alarm and the suppressions alone.
func (d *delivery) recipient() string {
	if d.begun.To != "" {
		return d.begun.To
	}
	return d.env.To
}

// late reports whether the message must not be sent any more.
func (d *delivery) late() bool {
	return !d.env.NotAfter.IsZero() && !time.Now().Before(d.env.NotAfter)
}

func tooLate(a Attempt) Verdict {
	v := Verdict{Action: Discard, State: ledger.Expired, Reason: "its time to send it by has passed"}
	if a.Replay {
		v.State, v.Ambiguous = ledger.Unknown, true
		v.Reason = "an attempt's outcome is not known, and " + v.Reason
	}
	return v
}

func outOfWindow() Verdict {
	return Verdict{
		Action: Discard, State: ledger.Unknown, Ambiguous: true,
		Reason: "an attempt's outcome is not known, and WeChat no longer recognises a second one",
	}
}

func templateIsGone(a Attempt) Verdict {
	return Verdict{
		Action: Discard, State: ledger.Rejected, Ambiguous: a.Replay, Errcode: wechat.CodeInvalidTemplate,
		Reason: "not sent: WeChat has refused this template for hours",
	}
}

// later puts the task back without a record: nothing has happened to it. A
// message is not kept away past its last moment, so that its end is known.
func (d *delivery) later(after time.Duration, reason string) error {
	d.event.Action, d.event.State, d.event.Reason = Defer, ledger.Queued, reason
	d.emit(d.event)
	return &broker.Later{After: d.notPastEnd(after), Cause: errors.New(reason)}
}

func (d *delivery) notPastEnd(after time.Duration) time.Duration {
	if after > 0 && !d.env.NotAfter.IsZero() {
		return min(after, max(time.Second, time.Until(d.env.NotAfter)))
	}
	return after
}

// ridOf is WeChat's id of the call that it refused; empty when it gave none.
func ridOf(err error) string {
	var e *wechat.Error
	if errors.As(err, &e) {
		return e.RID
	}
	return ""
}
