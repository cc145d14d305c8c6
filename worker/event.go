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
// is recorded. It names no recipient.
type Event struct {
	Account string
	Class   job.Class
	ID      string
	Action  Action
	State   ledger.State // what the record says now
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
	// Age is the time since Enqueue.
	Age               time.Duration
	PossibleDuplicate bool
	// Paused is why the gate was closed with this verdict; empty: it was not.
	Paused ratelimit.Reason
}

// ended reports whether the message is done as far as the worker goes.
func (e Event) ended() bool { return e.Action == Sent || e.Action == Discard }

// emit hands the event on and writes the one line that a message gets.
func (a *account) emit(e Event) {
	if a.onEvent != nil {
		a.onEvent(e)
	}
	if !e.ended() {
		if line := a.log.Check(zap.DebugLevel, "message requeued"); line != nil {
			line.Write(fields(e)...)
		}
		return
	}
	if line := a.log.Check(zap.InfoLevel, "message finished"); line != nil {
		line.Write(fields(e)...)
	}
}

func fields(e Event) []zap.Field {
	out := make([]zap.Field, 0, 10)
	out = append(out, zap.String("id", e.ID), zap.String("class", string(e.Class)),
		zap.String("state", string(e.State)), zap.Int("attempts", e.Attempts), zap.Duration("latency", e.Latency))
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
