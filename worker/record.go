package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// writeTimeout bounds one write of a record. A stop does not cut it short, since
	// what WeChat answered is worth the wait, but it fits into the time that the queue
	// grants after it.
	writeTimeout = 1500 * time.Millisecond
	// maxUnwritten bounds the memory while Redis is down.
	maxUnwritten = 10_000
)

// accept records that WeChat has the message. Until that is written the task is not
// completed: it comes back, and this process remembers.
func (d *delivery) accept(ctx context.Context, msgid wechat.MessageID) error {
	d.event.Action, d.event.State, d.event.MsgID = Sent, ledger.Accepted, msgid
	var recorded ledger.Recorded
	err := persist(ctx, func(ctx context.Context) (err error) {
		recorded, err = d.records.Accepted(ctx, d.env.ID, d.task.Delivery, ledger.Acceptance{
			To: d.recipient(), MsgID: msgid, Duplicate: d.event.PossibleDuplicate,
			Class: d.env.Class, Payload: d.task.Payload,
		})
		return err
	})
	if err != nil {
		d.unwritten.put(keyOf(d.env), func(ctx context.Context) error { return d.accept(ctx, msgid) })
		d.log.Error("accepted by WeChat, but not recorded yet: Redis fails", zap.String("id", d.env.ID), zap.Error(err))
		return &queue.Later{After: jitter(redisWait), Reason: "accepted by WeChat; the record waits for Redis"}
	}
	if recorded.Again { // a failed receipt came since, and this task is the one that sends again
		return d.later(time.Until(recorded.Due), "it is sent again after a failed receipt, but not yet")
	}
	if recorded.Ended != "" { // its receipt came before WeChat's answer
		d.event.State, d.event.Ended = recorded.Ended, true
		if recorded.Ended != ledger.Delivered {
			d.event.Reason = recorded.Receipt
		}
	}
	d.emit(d.event)
	return nil
}

// fail records any other outcome and says what becomes of the task.
func (d *delivery) fail(ctx context.Context, v Verdict) error {
	d.event.Action, d.event.State, d.event.Errcode, d.event.Reason = v.Action, v.State, v.Errcode, v.reason()
	d.event.Ended = v.State.Ended()
	o := ledger.Outcome{
		To: d.recipient(), Class: d.env.Class, State: v.State, Errcode: v.Errcode, Reason: v.Reason, Detail: v.Detail,
		RID: d.event.RID, NoCall: !d.event.Called, Attempt: v.Counts,
		Ambiguous: v.Ambiguous, Duplicate: d.event.PossibleDuplicate, Worker: d.name, Latency: d.event.Latency,
	}
	if v.State == ledger.Dead {
		o.Payload = d.task.Payload
	}
	var void bool
	err := persist(ctx, func(ctx context.Context) error {
		err := d.records.Failed(ctx, d.env.ID, d.task.Delivery, o)
		if void = errors.Is(err, ledger.ErrSuperseded); void {
			return nil
		}
		return err
	})
	if void { // the task goes to the head of its queue, unless another delivery has it by now
		return d.later(0, "the message has gone on since")
	}
	if err != nil {
		d.unwritten.put(keyOf(d.env), func(ctx context.Context) error { return d.fail(ctx, v) })
		d.log.Error("an outcome is not recorded yet: Redis fails", zap.String("id", d.env.ID),
			zap.String("state", string(v.State)), zap.Error(err))
		return &queue.Later{After: jitter(redisWait), Reason: "the record waits for Redis"}
	}
	d.emit(d.event)
	if v.Action == Discard {
		return nil
	}
	return &queue.Later{After: d.notPastEnd(jitter(v.After)), Reason: v.reason()}
}

// persist tries until the write succeeds or the task's time is over, and once more
// then. The last error is returned. The first try has no bound of its own, which
// would cost more than the rest of a usual write.
func persist(ctx context.Context, write func(context.Context) error) error {
	err := write(ctx)
	for wait := 20 * time.Millisecond; err != nil; wait = min(2*wait, time.Second) {
		over := redisx.Sleep(ctx, jitter(wait)) != nil
		if err = writeOnce(ctx, write); over {
			break
		}
	}
	return err
}

func writeOnce(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return write(ctx)
}

// unwritten remembers what could not be written to the record while Redis failed, so
// that the next delivery of the task in this process writes it instead of sending.
// Another process may end the message first, and its ID may be used for a later one,
// so that an entry counts for its own message alone.
type unwritten struct {
	mu     sync.Mutex
	writes map[messageKey]write
}

// write is of an earlier delivery. The next one of the message carries it out, and returns
// what it returns.
type write func(context.Context) error

// messageKey names one message among those that an ID may have over the days.
type messageKey struct {
	id       string
	queuedAt int64 // Unix milliseconds
}

func keyOf(e job.Envelope) messageKey { return messageKey{e.ID, e.QueuedAt.UnixMilli()} }

func (u *unwritten) put(k messageKey, w write) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.writes == nil {
		u.writes = make(map[messageKey]write)
	}
	for other := range u.writes {
		if len(u.writes) < maxUnwritten {
			break
		}
		delete(u.writes, other) // any; its message is sent as a replay, which WeChat drops
	}
	u.writes[k] = w
}

func (u *unwritten) take(k messageKey) write {
	u.mu.Lock()
	defer u.mu.Unlock()
	w := u.writes[k]
	delete(u.writes, k)
	return w
}
