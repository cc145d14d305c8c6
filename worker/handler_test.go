package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/worker"
)

// later fails unless err puts the task back, and returns for how long.
func later(t *testing.T, err error) time.Duration {
	t.Helper()
	var l *queue.Later
	if !errors.As(err, &l) {
		t.Fatalf("got %v, want that the task is put back", err)
	}
	if strings.Contains(l.Error(), openid) {
		t.Errorf("an openid in asynq's last error: %s", l)
	}
	return l.After
}

func TestHandleSends(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(nil))
	if err := b.deliver(t, nil); err != nil {
		t.Fatal(err)
	}
	if b.send.bodies[0] != body {
		t.Errorf("the body changed on its way:\n%s\n%s", b.send.bodies[0], body)
	}
	if len(b.ledger.accepted) != 1 {
		t.Fatalf("recorded %v", b.ledger.accepted)
	}
	yes := b.ledger.accepted[0]
	if e, err := job.Parse(yes.Payload); err != nil || string(e.Body) != body {
		t.Errorf("the payload did not go with the acceptance: %q, %v", yes.Payload, err)
	}
	yes.Payload = nil
	if diff := compare(ledger.Acceptance{To: openid, MsgID: 200228332, Class: job.Default}, yes); diff != "" {
		t.Error(diff)
	}
	if b.gate.outstanding() != 1 {
		t.Errorf("%d permits spent, want 1", b.gate.outstanding())
	}
	e := b.lastEvent(t)
	if e.Action != worker.Sent || e.State != ledger.Accepted || e.Attempts != 1 || !e.Called || e.MsgID != 200228332 {
		t.Errorf("event %+v", e)
	}
}

// A task that comes before the time of its resend waits, and costs no permit.
func TestHandleWaitsForTheResend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answers(nil))
		b.ledger.start = ledger.Start{Decision: ledger.NotYet, State: ledger.Retrying, After: time.Now().Add(7 * time.Minute)}
		if d := later(t, b.deliver(t, nil)); d != 7*time.Minute {
			t.Errorf("put back for %v", d)
		}
		if b.send.calls() != 0 || b.gate.outstanding() != 0 || len(b.ledger.outcomes) != 0 {
			t.Errorf("%d calls, %d permits, recorded %v", b.send.calls(), b.gate.outstanding(), b.ledger.outcomes)
		}
		if e := b.lastEvent(t); e.Action != worker.Defer {
			t.Errorf("event %+v", e)
		}
	})
}

// What WeChat's support asks for is in the event of a refused message.
func TestHandleTellsRID(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(&wechat.Error{Op: wechat.SendPath, Code: 47003, RID: "61725984-6126f6f9-040f19c4"}))
	if err := b.deliver(t, nil); err != nil {
		t.Fatal(err)
	}
	if e := b.lastEvent(t); e.RID != "61725984-6126f6f9-040f19c4" || e.State != ledger.Rejected {
		t.Errorf("event %+v", e)
	}
}

// The record learns which process made a refused attempt, and how long the call took.
func TestHandleTellsWorkerAndLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, &sender{script: []func(context.Context) (wechat.MessageID, error){func(context.Context) (wechat.MessageID, error) {
			time.Sleep(70 * time.Millisecond)
			return 0, refusal(47003)
		}}})
		if err := b.deliver(t, nil); err != nil {
			t.Fatal(err)
		}
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if o := b.lastOutcome(t); o.Worker != fmt.Sprintf("%s:%d", host, os.Getpid()) || o.Latency != 70*time.Millisecond {
			t.Errorf("worker %q, latency %s", o.Worker, o.Latency)
		}
	})
}

func TestHandleResolvesUser(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(nil))
	b.ledger.start.To = "oRESOLVED"
	err := b.deliver(t, func(e *job.Envelope) {
		e.To, e.User, e.Body = "", "customer-7", []byte(`{"template_id":"T1","data":{}}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"touser":"oRESOLVED","template_id":"T1","data":{}}`; b.send.bodies[0] != want {
		t.Errorf("sent %s, want %s", b.send.bodies[0], want)
	}
}

// What is not to be sent costs no call and gives its permit back.
func TestHandleDrops(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		start ledger.Start
		state ledger.State
		ended bool // by this delivery
	}{
		{"ended", ledger.Start{Decision: ledger.Ended, State: ledger.Accepted}, ledger.Accepted, false},
		{"delivered", ledger.Start{Decision: ledger.Ended, State: ledger.Delivered}, ledger.Delivered, false},
		{"cancelled", ledger.Start{Decision: ledger.Ended, State: ledger.Cancelled}, ledger.Cancelled, true},
		{"record expired", ledger.Start{Decision: ledger.Ended, State: ledger.Unknown, Reason: ledger.ReasonRecordExpired}, ledger.Unknown, true},
		{"stray", ledger.Start{Decision: ledger.Foreign, State: ledger.Queued}, ledger.Queued, false},
		{"suppressed", ledger.Start{Decision: ledger.Suppressed, Reason: "unsubscribed"}, ledger.Rejected, true},
		{"suppressed after an open attempt", ledger.Start{Decision: ledger.Suppressed, OpenSince: time.Now()}, ledger.Unknown, true},
		{"no user", ledger.Start{Decision: ledger.NoUser}, ledger.Rejected, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, answers(nil))
			b.ledger.start = tt.start
			if err := b.deliver(t, nil); err != nil {
				t.Fatalf("the task must be completed, got %v", err)
			}
			if b.send.calls() != 0 || b.gate.outstanding() != 0 || len(b.ledger.outcomes) != 0 {
				t.Errorf("%d calls, %d permits lost, %d outcomes; want none", b.send.calls(), b.gate.outstanding(), len(b.ledger.outcomes))
			}
			if e := b.lastEvent(t); e.State != tt.state || e.Action != worker.Discard || e.Reason == "" || e.Ended != tt.ended {
				t.Errorf("event %+v, want %s, ended %v", e, tt.state, tt.ended)
			}
		})
	}
}

func TestHandleTooLate(t *testing.T) {
	t.Parallel()
	past := func(e *job.Envelope) { e.NotAfter = time.Now().Add(-time.Minute) }
	for name, open := range map[string]time.Time{"expired": {}, "unknown": time.Now().Add(-time.Minute)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, answers(nil))
			b.ledger.start.OpenSince = open
			if err := b.deliver(t, past); err != nil {
				t.Fatal(err)
			}
			if b.send.calls() != 0 || b.gate.outstanding() != 0 {
				t.Errorf("%d calls, %d permits lost; want none", b.send.calls(), b.gate.outstanding())
			}
			if o := b.lastOutcome(t); string(o.State) != name || o.Reason == "" {
				t.Errorf("recorded %+v, want %s", o, name)
			}
		})
	}
}

func TestHandleUnreadable(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(nil))
	err := worker.Handle(t.Context(), b.w, 0, queue.Task{ID: "m1", Payload: []byte("{}")})
	if err != nil {
		t.Fatalf("got %v, want the task to be completed", err)
	}
	if o := b.lastOutcome(t); o.State != ledger.Dead || string(o.Payload) != "{}" {
		t.Errorf("recorded %+v", o)
	}
	err = worker.Handle(t.Context(), b.w, 0, queue.Task{ID: "m2", Payload: []byte(`{"v":99,"id":"m2"}` + "\n{}")})
	if later(t, err) < 5*time.Second {
		t.Errorf("a task of a newer version comes back at once")
	}
}

// The way of a message that fails until its budget is gone.
func TestHandleBudget(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		err   error
		calls int
		end   ledger.State
	}{
		{"HTTP 403", transport(403, false, errors.New("x")), 6, ledger.Dead},
		{"unknown code", refusal(123456), 3, ledger.Dead},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, answers(tt.err))
			var err error
			for range tt.calls {
				err = b.deliver(t, nil)
			}
			if b.send.calls() != tt.calls || b.gate.outstanding() != tt.calls {
				t.Errorf("%d calls, %d permits; want %d", b.send.calls(), b.gate.outstanding(), tt.calls)
			}
			o := b.lastOutcome(t)
			if o.State != tt.end {
				t.Fatalf("ended %s, want %s", o.State, tt.end)
			}
			if dead := tt.end == ledger.Dead; err != nil || (len(o.Payload) > 0) != dead {
				t.Errorf("completed: %v, payload kept: %d bytes; want so only when dead", err, len(o.Payload))
			}
		})
	}
}

// A task is not completed before its record is written.
func TestHandleRecordLater(t *testing.T) {
	t.Parallel()
	t.Run("the write succeeds in the end", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, answers(nil))
			b.ledger.failing = 5
			if err := b.deliver(t, nil); err != nil {
				t.Fatal(err)
			}
			if len(b.ledger.accepted) != 1 {
				t.Error("completed without a record")
			}
		})
	})
	t.Run("the process remembers what it could not write", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, answers(nil))
			b.ledger.failing = 1 << 30
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			queued := time.Now()
			same := func(e *job.Envelope) { e.QueuedAt = queued }
			later(t, b.deliverIn(ctx, t, same))
			b.ledger.failing = 0
			if err := b.deliver(t, same); err != nil {
				t.Fatal(err)
			}
			if b.send.calls() != 1 || len(b.ledger.accepted) != 1 || b.ledger.accepted[0].To != openid || b.gate.outstanding() != 1 {
				t.Errorf("%d calls, %d records, %d permits; want 1 of each", b.send.calls(), len(b.ledger.accepted), b.gate.outstanding())
			}
		})
	})
	for name, tt := range map[string]struct {
		err   error
		state ledger.State
	}{
		"an end that could not be written is written by the next delivery":     {refusal(47003), ledger.Rejected},
		"a failure that could not be written is written by the next delivery":  {transport(502, true, errors.New("x")), ledger.Retrying},
		"a deferral that could not be written is written by the next delivery": {refusal(45009), ledger.Queued},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answers(tt.err, nil))
				b.ledger.failing = 1 << 30
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				queued := time.Now()
				same := func(e *job.Envelope) { e.QueuedAt = queued }
				later(t, b.deliverIn(ctx, t, same))
				b.ledger.failing = 0
				err := b.deliver(t, same)
				if o := b.lastOutcome(t); o.State != tt.state || len(b.ledger.outcomes) != 1 || b.send.calls() != 1 {
					t.Errorf("%d calls, %d outcomes, the last %s; want one of each, %s", b.send.calls(), len(b.ledger.outcomes), o.State, tt.state)
				}
				if tt.state.Ended() != (err == nil) {
					t.Errorf("the task ended with %v", err)
				}
				if b.gate.outstanding() != 1 {
					t.Errorf("%d permits spent, want that of the call", b.gate.outstanding())
				}
				if tt.state.Ended() {
					return
				}
				if err := b.deliver(t, same); err != nil || b.send.calls() != 2 {
					t.Errorf("the delivery after that made %d calls in all and ended with %v, want 2 and nil", b.send.calls(), err)
				}
			})
		})
	}
	t.Run("another message of that ID is not taken for sent", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, answers(nil))
			b.ledger.failing = 1 << 30
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			later(t, b.deliverIn(ctx, t, nil))
			// Another process settles the task; days later its ID is used again.
			b.ledger.failing, b.ledger.open = 0, time.Time{}
			time.Sleep(97 * time.Hour)
			if err := b.deliver(t, nil); err != nil {
				t.Fatal(err)
			}
			if b.send.calls() != 2 {
				t.Errorf("%d calls: the later message is recorded as accepted and was never sent", b.send.calls())
			}
		})
	})
	t.Run("an end that is not written is no end", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, answers(refusal(47003)))
			b.ledger.failing = 1 << 30
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			later(t, b.deliverIn(ctx, t, nil))
			b.ledger.failing = 0
			if err := b.deliver(t, nil); err != nil {
				t.Fatal(err)
			}
			if o := b.lastOutcome(t); o.State != ledger.Rejected || o.Errcode != 47003 {
				t.Errorf("recorded %+v", o)
			}
		})
	})
	t.Run("the record cannot be read", func(t *testing.T) {
		t.Parallel()
		b := setup(t, answers(nil))
		b.ledger.beginErr = errRedis
		if d := later(t, b.deliver(t, nil)); d < time.Second || b.send.calls() != 0 || b.gate.outstanding() != 0 {
			t.Errorf("back in %v, %d calls, %d permits lost", d, b.send.calls(), b.gate.outstanding())
		}
	})
}

// quo-05: only what surely did not reach WeChat gives its permit back.
func TestQuo05WhatSpendsAPermit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		err   error
		spent int
	}{
		{"accepted", nil, 1},
		{"43004", refusal(43004), 1},
		{"40001", refusal(40001), 1},
		{"45009", refusal(45009), 1},
		{"HTTP 502", transport(502, true, errors.New("x")), 1},
		{"HTTP 403", transport(403, false, errors.New("x")), 1},
		{"timeout after the write", transport(0, true, context.DeadlineExceeded), 1},
		{"no connection", transport(0, false, errors.New("x")), 0},
		{"no token", &wechat.TokenError{Err: errors.New("x")}, 0},
		{"refused, and no other token", &wechat.TokenError{Err: errors.New("x"), Called: true}, 1},
		{"token refused twice", &wechat.TokenRefusedError{Last: refusal(40001), Replayed: true}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, answers(tt.err))
			_ = b.deliver(t, nil)
			if got := b.gate.outstanding(); got != tt.spent {
				t.Errorf("%d permits spent, want %d", got, tt.spent)
			}
		})
	}
}

// A panic must not reach asynq, which stores its text.
func TestHandlePanic(t *testing.T) {
	t.Parallel()
	b := setup(t, &sender{script: []func(context.Context) (wechat.MessageID, error){
		func(context.Context) (wechat.MessageID, error) { panic("touser " + openid) },
	}})
	later(t, b.deliver(t, nil))
	if o := b.lastOutcome(t); !o.Attempt || !o.Ambiguous || strings.Contains(o.Reason, openid) {
		t.Errorf("recorded %+v", o)
	}
}

// The worker asks, however the client was configured.
func TestAReplayTakesAPermit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gate   func(*gate) // after the first permit
		denied bool
		taken  int
	}{
		"granted":           {func(*gate) {}, false, 2},
		"closed":            {func(g *gate) { g.closed = &ratelimit.ClosedError{Reason: ratelimit.ReasonQuota} }, true, 1},
		"its moment is far": {func(g *gate) { g.at = time.Minute }, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b *bundle
			var said error
			b = setup(t, &sender{script: []func(context.Context) (wechat.MessageID, error){func(ctx context.Context) (wechat.MessageID, error) {
				c.gate(b.gate)
				said = wechat.BeforeReplay(ctx)
				return 1, nil
			}}})
			if err := b.deliver(t, nil); err != nil {
				t.Fatal(err)
			}
			if errors.Is(said, worker.ErrNoPermit) != c.denied || b.gate.outstanding() != c.taken {
				t.Errorf("%v, %d permits taken, want %d", said, b.gate.outstanding(), c.taken)
			}
		})
	}
}
