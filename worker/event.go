package worker

import (
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// Event is one delivery of a task as logs and metrics see it: after the verdict
// is recorded.
type Event struct {
	Account string
	Class   job.Class
	ID      string
	To      string // the openid, masked; empty: not known
	Action  Action
	State   ledger.State // what the record says now
	// Ended reports whether the message ended with this delivery: it counts once.
	// Acceptance is no end, unless the receipt came before WeChat's answer.
	Ended   bool
	Errcode wechat.Code
	Reason  string // why; empty when accepted
	RID     string // WeChat's id of a refused call, good for rid/get for seven days
	MsgID   wechat.MessageID
	// Attempts counts those that count, this one included.
	Attempts int
	// Called reports whether WeChat was called; Latency is that call's.
	Called  bool
	Latency time.Duration
	// Reached reports whether that call may have reached WeChat.
	Reached bool
	// Age is the time from Enqueue, or from not-before, until the delivery; of another
	// attempt than the first one with the waits between them.
	Age               time.Duration
	PossibleDuplicate bool
	// TraceID is the id of the trace in which the message was enqueued, where this process
	// exports its spans; empty: it does not, or there is none.
	TraceID string
	// Paused is why the gate was closed with this verdict; empty: it was not.
	Paused ratelimit.Reason
}

// emit hands the event on and writes a log line: "message accepted", "message ended",
// "message requeued", or "task dropped" where the message had ended before.
func (d *delivery) emit(e Event) {
	if d.onEvent != nil {
		d.onEvent(e)
	}
	level, text := zap.InfoLevel, "message ended"
	switch {
	case e.Ended:
	case e.Action == Sent:
		text = "message accepted"
	case e.Action == Discard:
		text = "task dropped"
	default:
		level, text = zap.DebugLevel, "message requeued"
	}
	if line := d.log.Check(level, text); line != nil {
		line.Write(fields(e)...)
	}
}

func fields(e Event) []zap.Field {
	out := make([]zap.Field, 0, 8) // an acceptance has 7
	out = append(out, zap.String("id", e.ID), zap.String("class", string(e.Class)),
		zap.String("state", string(e.State)), zap.Int("attempts", e.Attempts))
	if e.To != "" {
		out = append(out, zap.String("to", e.To))
	}
	if e.Called {
		out = append(out, zap.Float64("latency_ms", float64(e.Latency.Microseconds())/1000))
	}
	if e.RID != "" {
		out = append(out, zap.String("rid", e.RID))
	}
	if e.Errcode != 0 {
		out = append(out, zap.Int("errcode", int(e.Errcode)))
	}
	if e.Reason != "" {
		out = append(out, zap.String("reason", e.Reason))
	}
	if e.MsgID != 0 {
		out = append(out, zap.Int64("msgid", int64(e.MsgID)))
	}
	if e.PossibleDuplicate {
		out = append(out, zap.Bool("possible_duplicate", true))
	}
	return out
}

// until is when a pause ends; nothing for one without an end.
func until(t time.Time) zap.Field {
	if t.IsZero() {
		return zap.Skip()
	}
	return zap.Time("until", t)
}
