package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// writeTimeout bounds one write of a record. It is not cut short by a stop,
	// since what WeChat answered is worth the moment, but fits the moment that
	// the broker grants after it.
	writeTimeout = 1500 * time.Millisecond
	// maxUnrecorded bounds the memory while Redis is down.
	maxUnrecorded = 10_000
)

// accept records that WeChat has the message. Until that is written the task is
// not completed: it comes back, and this process remembers.
func (d *delivery) accept(ctx context.Context, msgid wechat.MessageID) error {
	d.event.Action, d.event.State, d.event.MsgID = Sent, ledger.Accepted, msgid
	yes := ledger.Acceptance{
		To: d.recipient(), MsgID: msgid, Duplicate: d.event.PossibleDuplicate,
		Class: d.env.Class, Payload: d.task.Payload,
	}
	err := persist(ctx, func(ctx context.Context) error { return d.ledger.Accepted(ctx, d.env.ID, yes) })
	if err != nil {
		d.unrecorded.put(occasionOf(d.env), answered{msgid: msgid, to: yes.To})
		d.log.Error("accepted by WeChat but not recorded yet: Redis fails", zap.String("id", d.env.ID), zap.Error(err))
		return &broker.Later{After: jitter(redisWait), Cause: errors.New("accepted by WeChat; the record waits for Redis")}
	}
	d.emit(d.event)
	return nil
}

// fail records any other outcome and says what becomes of the task.
func (d *delivery) fail(ctx context.Context, v Verdict) error {
	d.event.Action, d.event.State, d.event.Errcode, d.event.Reason = v.Action, v.State, v.Errcode, v.Reason
	o := ledger.Outcome{
		To: d.recipient(), Class: d.env.Class, State: v.State, Errcode: v.Errcode, Reason: v.Reason, Attempt: v.Counts,
		Ambiguous: v.Ambiguous, Duplicate: d.event.PossibleDuplicate,
	}
	if v.State == ledger.Dead {
		o.Payload = d.task.Payload
	}
	id := d.task.ID
	err := persist(ctx, func(ctx context.Context) error { return d.ledger.Failed(ctx, id, o) })
	if err != nil {
		d.log.Error("an outcome is not recorded: Redis fails", zap.String("id", id),
			zap.String("state", string(v.State)), zap.Error(err))
		return &broker.Later{After: jitter(redisWait), Cause: errors.New("the record waits for Redis")}
	}
	d.emit(d.event)
	switch {
	case v.State == ledger.Dead:
		return &broker.Dead{Cause: v.Reason}
	case v.Action == Discard:
		return nil
	default:
		return &broker.Later{After: d.notPastEnd(jitter(v.After)), Cause: errors.New(v.Reason)}
	}
}

// persist tries until the write succeeds or the task's time is over, and at
// least once. The last error is returned.
func persist(ctx context.Context, write func(context.Context) error) error {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := writeOnce(ctx, write)
		if err == nil || !waitUntil(ctx, time.Now().Add(jitter(wait)), time.Minute) {
			return err
		}
	}
}

func writeOnce(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return write(ctx)
}

// unrecorded remembers what WeChat accepted while Redis could not be written,
// so that the task that comes back is not sent again by this process. Another
// process may settle the task first and its ID be used for a later message, so
// an entry is good for its own message alone.
type unrecorded struct {
	mu   sync.Mutex
	said map[occasion]answered
}

// answered is WeChat's yes.
type answered struct {
	msgid wechat.MessageID
	to    string // the openid that it was sent to
}

// occasion names one message among those that an ID may have over the days.
type occasion struct {
	id       string
	queuedAt int64 // Unix milliseconds
}

func occasionOf(e job.Envelope) occasion { return occasion{e.ID, e.QueuedAt.UnixMilli()} }

func (u *unrecorded) put(o occasion, yes answered) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.said == nil {
		u.said = make(map[occasion]answered)
	}
	for other := range u.said {
		if len(u.said) < maxUnrecorded {
			break
		}
		delete(u.said, other) // any; its task is sent as a replay, which WeChat drops
	}
	u.said[o] = yes
}

func (u *unrecorded) take(o occasion) (answered, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	yes, ok := u.said[o]
	delete(u.said, o)
	return yes, ok
}
