package worker

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// slowAnswer is how long the recipient wxn-sim-slow takes.
const slowAnswer = 5 * time.Second

// simulated reports whether the message is a test, or goes to a simulated recipient.
func (d *delivery) simulated() bool { return d.env.Test || job.Simulated(d.recipient()) }

// simulate gives the message the outcome that its recipient names, in WeChat's
// place. It has no effect on other messages, and its permit goes back: it costs no
// quota. An outcome for which a real message would wait ends a simulated one.
func (d *delivery) simulate(ctx context.Context, a Attempt) error {
	outcome := job.SimulatedOutcome(d.recipient())
	if outcome == "slow" && redisx.Sleep(ctx, slowAnswer) != nil {
		return d.undo(ctx, 0, "the process stops")
	}
	v := Judge(simulatedError(outcome), a, d.policy)
	if v.Action == Defer {
		v.Action, v.State = Discard, ledger.Rejected
	}
	d.event.Action, d.event.Errcode, d.event.Reason = v.Action, v.Errcode, v.Reason
	if v.Counts || v.Action == Sent {
		d.event.Attempts = a.N
	}
	if v.Action != Sent {
		return d.fail(ctx, v)
	}
	// The receipt comes first, as it may from WeChat: Accepted then applies it, and
	// says whether the message is sent again.
	msgid := simulatedMsgID(d.appID, d.env.ID, a.N)
	if d.ledger != nil {
		_, err := d.ledger.Receipt(ctx, ledger.Receipt{MsgID: msgid, OpenID: d.recipient(), Status: simulatedReceipt(outcome)})
		if err != nil {
			d.log.Warn("a simulated receipt was not written: Redis fails", zap.String("id", d.env.ID), zap.Error(err))
			return d.undo(ctx, redisWait, "the receipt could not be written: Redis failed")
		}
	}
	return d.accept(ctx, msgid)
}

// simulatedReceipt is WeChat's word for the outcome.
func simulatedReceipt(outcome string) string {
	switch outcome {
	case "user-block":
		return "failed:user block"
	case "system-failed":
		return "failed: system failed"
	}
	return "success"
}

// simulatedError is the error of a send with this outcome: an errcode, or unknown.
func simulatedError(outcome string) error {
	if code, err := strconv.Atoi(outcome); err == nil && code != 0 {
		return &wechat.Error{Op: wechat.SendPath, Code: wechat.Code(code), Msg: "simulated"}
	}
	if outcome == "unknown" {
		return &wechat.TransportError{Op: wechat.SendPath, Ambiguous: true, Err: errors.New("simulated: the answer was lost")}
	}
	return nil
}

// simulatedMsgID is above all that WeChat has given so far.
func simulatedMsgID(appID, id string, attempt int) wechat.MessageID {
	const first, span = 9_000_000_000_000_000_000, 200_000_000_000_000_000
	sum := sha256.Sum256([]byte(appID + "\n" + id + "\n" + strconv.Itoa(attempt)))
	return wechat.MessageID(first + binary.BigEndian.Uint64(sum[:8])%span)
}
