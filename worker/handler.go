package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/tracing"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// newerWait leaves a task of a newer version to the workers that know it.
	newerWait = 10 * time.Second
	// redisWait is before a task is fetched again that Redis failed.
	redisWait = 2 * time.Second
	// supersededWait is before a task is fetched again that another delivery has.
	supersededWait = time.Second
	// maxStall is how old the permit and the answer of Begin may be when the message
	// is sent. A process that was stopped for longer has lost the task's lease:
	// another one may have sent the message since, and WeChat's deduplication window
	// may have closed.
	maxStall = 20 * time.Second
	// maxDeaths is how long a message that is sent at least once is tried again while
	// each process that sends it dies, about every 35 s: a death costs no attempt, so
	// nothing else would end it.
	maxDeaths = time.Hour
)

// errPanic stands for a panic: its own text may hold a part of the message.
var errPanic = errors.New(ledger.ReasonWorkerFailed)

// delivery is one task on its way through the handler.
type delivery struct {
	*account
	task   queue.Task
	env    job.Envelope
	begun  ledger.Start
	start  time.Time         // of the handler, wall clock
	gone   bool              // the template was refused for hours
	permit *ratelimit.Permit // nil when it is spent
	probe  bool              // the permit is the one of a half-open gate
	event  Event
	span   tracing.Span
}

// handle sends the message of one task. nil completes the task: the message's end, or
// WeChat's yes, is recorded by then.
func (a *account) handle(ctx context.Context, t queue.Task) error {
	d := &delivery{account: a, task: t, probe: t.Permit.Probe(), start: time.Now().Round(0)}
	d.permit = &d.task.Permit
	defer d.returnPermit()
	env, err := a.codec.Parse(t.ID, t.Payload)
	if err != nil {
		return d.unreadable(ctx, err)
	}
	d.env = env
	d.event = Event{Account: a.appID, Class: env.Class, ID: env.ID, Age: time.Since(latest(env.QueuedAt, env.NotBefore)), To: masked(env.To)}
	if env.Trace != "" {
		ctx = d.startSpan(ctx)
		defer d.endSpan()
	}
	if write := a.unwritten.take(keyOf(env)); write != nil {
		return write(ctx)
	}
	if wait := time.Until(env.NotBefore); wait > 0 { // asynq knows whole seconds
		return d.later(wait, "its not-before has not come")
	}
	if !d.late() {
		var wait time.Duration
		wait, d.gone = a.templates.admit(env.Template, time.Now())
		if wait > 0 && !d.gone {
			return d.later(jitterLittle(wait), "messages of this template wait: WeChat refused it")
		}
	}
	if a.presence.closed() != nil {
		return d.later(0, "WeChat refuses this worker's address")
	}
	if d.stalled() {
		return d.later(0, "the permit is too old: the process stood still, or the day has ended")
	}
	d.begun, err = a.records.Begin(ctx, env, ledger.Delivery{N: t.Delivery, Redelivered: t.Redelivered})
	if err != nil {
		a.log.Warn("cannot read the record", zap.String("id", env.ID), zap.Error(err))
		return d.undo(ctx, redisWait, "the record could not be read: Redis failed")
	}
	d.event.Attempts = d.begun.Attempts
	if to := d.recipient(); to != env.To { // masking takes a microsecond or two
		d.event.To = masked(to)
	}
	switch d.begun.Decision {
	case ledger.Send:
		attempt, end := d.attempt()
		if end != nil {
			return d.fail(ctx, *end)
		}
		return d.send(ctx, attempt)
	case ledger.NotYet:
		return d.later(time.Until(d.begun.After), "it is sent again after a failed receipt, but not yet")
	case ledger.Superseded:
		return d.later(supersededWait, "another worker has the message")
	case ledger.Ended, ledger.Foreign, ledger.Suppressed, ledger.NoUser:
	}
	d.drop()
	return nil
}

// unreadable ends a task that no worker can read. Its ID is asynq's, so even
// here the end is recorded where a record exists.
func (d *delivery) unreadable(ctx context.Context, cause error) error {
	var newer *job.NewerVersionError
	if errors.As(cause, &newer) {
		return &queue.Later{After: jitter(newerWait), Reason: newer.Error()}
	}
	var missing *seal.UnknownKeyError
	if errors.As(cause, &missing) {
		return d.leave(missing)
	}
	d.event = Event{
		Account: d.appID, ID: d.task.ID, Action: Discard, State: ledger.Dead, Reason: join(ledger.ReasonUnreadableTask, cause.Error()),
		Ended: true,
	}
	d.log.Error("unreadable task", zap.String("id", d.task.ID), zap.String("queue", d.task.Queue), zap.Error(cause))
	err := writeOnce(ctx, func(ctx context.Context) error {
		return d.records.Failed(ctx, d.task.ID, d.task.Delivery, ledger.Outcome{
			State: ledger.Dead, Reason: ledger.ReasonUnreadableTask, Detail: cause.Error(), Payload: d.task.Payload,
		})
	})
	if err != nil {
		d.log.Warn("an unreadable task has no record yet: Redis fails", zap.String("id", d.task.ID), zap.Error(err))
		return &queue.Later{After: jitter(redisWait), Reason: "the record waits for Redis"}
	}
	d.emit(d.event)
	return nil
}

// drop completes a task that is not to be sent: its end is recorded. A message that
// ended earlier is not counted again, unless it was cancelled: Cancel and Erase take
// the task off the queue where they can, so that no other delivery sees the end.
func (d *delivery) drop() {
	d.event.Action = Discard
	d.event.Ended = d.begun.Decision != ledger.Foreign &&
		(d.begun.Decision != ledger.Ended || d.begun.Reason != "" || d.begun.State == ledger.Cancelled)
	d.event.Reason, d.event.State = d.begun.Reason, d.begun.State
	switch d.begun.Decision {
	case ledger.Suppressed, ledger.NoUser:
		d.event.State = ledger.Rejected
		if !d.begun.OpenSince.IsZero() {
			d.event.State = ledger.Unknown // an earlier attempt may have arrived
		}
		d.event.Reason = ledger.ReasonNoUser
		if d.begun.Decision == ledger.Suppressed {
			d.event.Reason = join(ledger.ReasonSuppressed, d.begun.Reason)
		}
	case ledger.Foreign:
		d.event.Reason = "another message has this ID"
	case ledger.Ended, ledger.Send, ledger.NotYet, ledger.Superseded:
		if d.event.Reason == "" {
			d.event.Reason = "ended before"
		}
	}
	d.emit(d.event)
}

// attempt is what Begin found, for Judge. end is the verdict on a message that is not
// sent any more.
func (d *delivery) attempt() (a Attempt, end *Verdict) {
	a = Attempt{N: d.begun.Attempts + 1, AtLeastOnce: d.env.AtLeastOnce, Replay: !d.begun.OpenSince.IsZero()}
	if a.Replay {
		a.Open = time.Since(d.begun.OpenSince)
	}
	if !d.env.NotAfter.IsZero() {
		a.Left = time.Until(d.env.NotAfter)
	}
	switch past := a.Replay && a.Open > d.policy.ReplayWindow; {
	case d.late():
		end = tooLate(a)
	case past && !a.AtLeastOnce:
		end = outOfWindow()
	case past && a.Open > maxDeaths && d.begun.State == ledger.Sending:
		end = processDied()
	case d.gone:
		end = templateIsGone(a)
	case past:
		d.event.PossibleDuplicate = true
	}
	return a, end
}

// send calls WeChat and does what the verdict says.
func (d *delivery) send(ctx context.Context, a Attempt) error {
	if d.stalled() {
		return d.undo(ctx, 0, "the permit is too old: the process stood still, or the day has ended")
	}
	if d.simulated() {
		return d.simulate(ctx, a)
	}
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
	d.applySideEffects(ctx, &v)
	if v.Reached {
		d.permit = nil // spent
	}
	d.event.Action, d.event.Errcode, d.event.Reason, d.event.Reached = v.Action, v.Errcode, v.reason(), v.Reached
	if v.Counts || v.Action == Sent {
		d.event.Attempts = a.N
	}
	if v.Action == Sent {
		d.task.FreeSlot()
		return d.accept(ctx, msgid)
	}
	return d.fail(ctx, v)
}

// call makes the request within SendTimeout. A panic in it is turned into
// an error, since asynq would store its text.
func (d *delivery) call(ctx context.Context) (msgid wechat.MessageID, err error) {
	ctx, span := d.startSendSpan(ctx)
	defer func() { endSendSpan(span, err) }()
	defer func() {
		if cause := recover(); cause != nil {
			d.log.Error("panic while sending", zap.String("id", d.env.ID),
				zap.String("value_type", fmt.Sprintf("%T", cause)), zap.Stack("stack"))
			msgid, err = 0, errPanic
		}
	}()
	limit := d.policy.SendTimeout
	if spread := limit / 10; d.env.Trace == "" {
		ctx = d.bounds.Of(ctx, limit-spread, spread)
	} else { // its context is its own
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	ctx = wechat.WithBeforeReplay(ctx, d.permitReplay)
	body := d.env.Body
	if d.env.User != "" {
		body = job.WithRecipient(body, d.begun.To)
	}
	return d.sender.SendTemplateBody(ctx, body)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func masked(openid string) string {
	if openid == "" {
		return ""
	}
	return wechat.MaskOpenID(openid)
}

// recipient is the openid; empty before a user's is known.
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

func tooLate(a Attempt) *Verdict {
	v := &Verdict{Action: Discard, State: ledger.Expired, Reason: ledger.ReasonNotAfter}
	if a.Replay {
		v.State, v.Ambiguous = ledger.Unknown, true
		v.Reason = ledger.ReasonLateUnknown
	}
	return v
}

func outOfWindow() *Verdict {
	return &Verdict{
		Action: Discard, State: ledger.Unknown, Ambiguous: true,
		Reason: ledger.ReasonWindowClosed,
	}
}

func processDied() *Verdict {
	return &Verdict{
		Action: Discard, State: ledger.Unknown, Ambiguous: true,
		Reason: "outcome unknown: the processes that sent it died, for over an hour",
	}
}

func templateIsGone(a Attempt) *Verdict {
	return &Verdict{
		Action: Discard, State: ledger.Rejected, Ambiguous: a.Replay, Errcode: wechat.CodeInvalidTemplate,
		Reason: ledger.ReasonTemplate,
	}
}

// stalled reports that the process stood still since the permit's slot or since the
// handler started (a stopped process, a suspended machine), or that the day of the
// permit is over: the call would count on the next one.
func (d *delivery) stalled() bool {
	now := time.Now().Round(0)
	late := now.Sub(d.permit.At.Round(0)) > maxStall && !d.permit.At.IsZero()
	return late || now.Sub(d.start) > maxStall || d.permit.DayOver(now)
}

// undo puts the task back after Begin when WeChat was not called: the record must not
// say that an attempt's outcome is unknown.
func (d *delivery) undo(ctx context.Context, after time.Duration, reason string) error {
	err := persist(ctx, func(ctx context.Context) error { return d.records.Undo(ctx, d.env.ID, d.task.Delivery) })
	if err != nil {
		d.unwritten.put(keyOf(d.env), func(ctx context.Context) error { return d.undo(ctx, after, reason) })
		d.log.Warn("cannot undo the begin yet: Redis fails", zap.String("id", d.env.ID), zap.Error(err))
		return d.later(jitter(redisWait), reason)
	}
	return d.later(jitter(after), reason)
}

// later puts the task back without a record: nothing has happened to it. A message is
// not kept away past its not-after, so that its end is known.
func (d *delivery) later(after time.Duration, reason string) error {
	d.event.Action, d.event.State, d.event.Reason = Defer, ledger.Queued, reason
	d.emit(d.event)
	return &queue.Later{After: d.notPastEnd(after), Reason: reason}
}

func (d *delivery) notPastEnd(after time.Duration) time.Duration {
	if after > 0 && !d.env.NotAfter.IsZero() {
		return min(after, max(time.Second, time.Until(d.env.NotAfter)))
	}
	return after
}

// ridOf is WeChat's id of the call that it refused; empty when it gave none.
func ridOf(err error) string {
	if e, ok := errors.AsType[*wechat.Error](err); ok {
		return e.RID
	}
	return ""
}
