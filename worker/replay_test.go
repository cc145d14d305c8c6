package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestSnd06SameIDOnEveryAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(transport(0, true, errors.New("reset")), transport(502, true, errors.New("x")), nil))
	for range 2 {
		if d := later(t, b.deliver(t, nil)); d < time.Second {
			t.Errorf("put back for %v", d)
		}
		if o := b.lastOutcome(t); o.State != ledger.Retrying || !o.Ambiguous || !o.Attempt {
			t.Errorf("recorded %+v", o)
		}
	}
	if err := b.deliver(t, nil); err != nil {
		t.Fatal(err)
	}
	for _, sent := range b.send.bodies {
		if sent != body {
			t.Errorf("an attempt carried another body: %s", sent)
		}
	}
}

// Replays go on until the window closes; then the end is unknown, not dead.
func TestSnd07ReplaysUntilTheWindowCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answers(refusal(-1), nil))
		b.send.cycle = true // others get through: WeChat is not down
		start, mine := time.Now(), 0
		for {
			err := b.deliver(t, nil)
			mine++
			if err == nil {
				break
			}
			open := b.ledger.open
			if err := b.deliver(t, func(e *job.Envelope) { e.ID = "other" }); err != nil {
				t.Fatal(err)
			}
			b.ledger.open = open
			time.Sleep(later(t, err)) // virtual
		}
		if o := b.lastOutcome(t); o.State != ledger.Unknown || len(o.Payload) != 0 {
			t.Errorf("ended %s", o.State)
		}
		if took := time.Since(start); took < 6*time.Minute || took > 8*time.Minute || mine > 22 {
			t.Errorf("gave up after %v and %d calls, want near the end of the window", took, mine)
		}
	})
}

func TestSnd07ReplayWindow(t *testing.T) {
	t.Parallel()
	quarter := time.Now().Add(-15 * time.Minute)
	t.Run("at most once is not resent", func(t *testing.T) {
		t.Parallel()
		b := setup(t, answers(nil))
		b.ledger.start.OpenSince = quarter
		if err := b.deliver(t, nil); err != nil {
			t.Fatal(err)
		}
		if o := b.lastOutcome(t); o.State != ledger.Unknown || b.send.calls() != 0 || b.gate.outstanding() != 0 {
			t.Errorf("recorded %s after %d calls and %d permits", o.State, b.send.calls(), b.gate.outstanding())
		}
	})
	t.Run("at least once is resent and marked", func(t *testing.T) {
		t.Parallel()
		b := setup(t, answers(nil))
		b.ledger.start.OpenSince = quarter
		if err := b.deliver(t, func(e *job.Envelope) { e.AtLeastOnce = true }); err != nil {
			t.Fatal(err)
		}
		if b.send.calls() != 1 || !b.ledger.duplicate() || !b.lastEvent(t).PossibleDuplicate {
			t.Errorf("%d calls, marked %v", b.send.calls(), b.ledger.duplicate())
		}
	})
	t.Run("at least once ends where the process keeps dying on it", func(t *testing.T) {
		t.Parallel()
		for name, tt := range map[string]struct {
			open  time.Duration
			state ledger.State
			calls int
		}{
			"died within the first hour":    {59 * time.Minute, ledger.Sending, 1},
			"died after it":                 {61 * time.Minute, ledger.Sending, 0},
			"waited for the gate, 14 hours": {14 * time.Hour, ledger.Queued, 1},
			"failed, and is tried again":    {61 * time.Minute, ledger.Retrying, 1},
		} {
			b := setup(t, answers(nil))
			b.ledger.start.OpenSince, b.ledger.start.State = time.Now().Add(-tt.open), tt.state
			if err := b.deliver(t, func(e *job.Envelope) { e.AtLeastOnce = true }); err != nil {
				t.Fatal(err)
			}
			if b.send.calls() != tt.calls || b.gate.outstanding() != tt.calls {
				t.Errorf("%s: %d calls, %d permits; want %d", name, b.send.calls(), b.gate.outstanding(), tt.calls)
			}
			if tt.calls == 0 && b.lastOutcome(t).State != ledger.Unknown {
				t.Errorf("%s: ended as %s, want unknown", name, b.lastOutcome(t).State)
			}
		}
	})
	t.Run("inside the window it is resent", func(t *testing.T) {
		t.Parallel()
		b := setup(t, answers(nil))
		b.ledger.start.OpenSince = time.Now().Add(-7 * time.Minute)
		if err := b.deliver(t, nil); err != nil {
			t.Fatal(err)
		}
		if b.send.calls() != 1 || b.ledger.duplicate() {
			t.Errorf("%d calls, marked %v", b.send.calls(), b.ledger.duplicate())
		}
	})
}

// snd-11: each attempt has its own bound, below the task's.
func TestSnd11Timeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &sender{script: []func(context.Context) (wechat.MessageID, error){
			func(ctx context.Context) (wechat.MessageID, error) {
				<-ctx.Done()
				return 0, transport(0, true, ctx.Err())
			},
		}}
		b := setup(t, slow)
		start := time.Now()
		later(t, b.deliver(t, nil))
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v, want 10 s", took)
		}
		if o := b.lastOutcome(t); !o.Ambiguous || o.State != ledger.Retrying || !strings.Contains(o.Reason, "in time") {
			t.Errorf("recorded %+v", o)
		}
	})
}

// que-11: a stop that cuts a send costs no attempt and keeps it open.
func TestQue11StopCutsSend(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := setup(t, &sender{script: []func(context.Context) (wechat.MessageID, error){
		func(ctx context.Context) (wechat.MessageID, error) {
			cancel()
			<-ctx.Done()
			return 0, transport(0, true, ctx.Err())
		},
	}})
	if d := later(t, b.deliverIn(ctx, t, nil)); d != 0 {
		t.Errorf("put back for %v, want to the head at once", d)
	}
	if o := b.lastOutcome(t); o.State != ledger.Queued || o.Attempt || !o.Ambiguous {
		t.Errorf("recorded %+v", o)
	}
	if len(b.gate.pauses) != 0 {
		t.Errorf("a stop closed the gate: %+v", b.gate.pauses)
	}
}
