package worker_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// What concerns the account closes its gate: until when, with a probe or not.
func TestPauses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		reason ratelimit.Reason
		after  time.Duration // zero: the gate's own clock decides
		probe  bool
	}{
		{"45009", refusal(45009), ratelimit.ReasonRefused, time.Hour, true},
		{"45011", refusal(45011), ratelimit.ReasonMinute, 0, false},
		{"48004", refusal(48004), ratelimit.ReasonAccount, time.Minute, true},
		{
			"no token, 89501", &wechat.TokenError{Err: &wechat.Error{Op: "/cgi-bin/token", Code: 89501}},
			ratelimit.ReasonToken, 10 * time.Minute, true,
		},
		{
			"no token, 89506", &wechat.TokenError{Err: &wechat.Error{Op: "/cgi-bin/token", Code: 89506}},
			ratelimit.ReasonToken, 24 * time.Hour, true,
		},
		{
			"no token for a while", &wechat.TokenError{Err: &tokenstore.UnavailableError{
				Cause: errors.New("x"), RetryAt: time.Date(2000, 1, 1, 0, 7, 0, 0, time.UTC),
			}},
			ratelimit.ReasonToken, 7 * time.Minute, true,
		},
		{
			"no token, WeChat is asked again soon", &wechat.TokenError{Err: &tokenstore.UnavailableError{
				Cause: &wechat.Error{Op: "/cgi-bin/stable_token", Code: 40125}, RetryAt: time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC),
			}},
			ratelimit.ReasonToken, 2 * time.Second, true,
		},
		{
			"token refused twice", &wechat.TokenRefusedError{Last: refusal(40001), Replayed: true},
			ratelimit.ReasonToken, 2 * time.Second, true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answers(tt.err))
				if d := later(t, b.deliver(t, nil)); d != 0 {
					t.Errorf("put back for %v, want to the head: the gate keeps it", d)
				}
				if len(b.gate.pauses) != 1 {
					t.Fatalf("%d pauses, want 1", len(b.gate.pauses))
				}
				p := b.gate.pauses[0]
				var after time.Duration
				if !p.Until.IsZero() {
					after = time.Until(p.Until)
				}
				if p.Reason != tt.reason || after != tt.after || p.Probe != tt.probe || p.Detail == "" {
					t.Errorf("paused %+v for %v", p, after)
				}
				if o := b.lastOutcome(t); o.State != ledger.Queued || o.Attempt {
					t.Errorf("recorded %+v, want a deferral", o)
				}
				if e := b.lastEvent(t); e.Paused != tt.reason {
					t.Errorf("the event says paused for %q", e.Paused)
				}
			})
		})
	}
}

// Without a closed gate the head of the queue would be sent in a loop.
func TestPauseFailsWithRedis(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(refusal(45009)))
	b.gate.closeErr = errRedis
	if d := later(t, b.deliver(t, nil)); d < 5*time.Second {
		t.Errorf("put back for %v", d)
	}
	b.gate.closeErr = nil
	later(t, b.deliver(t, nil))
	if len(b.gate.pauses) != 1 {
		t.Errorf("%d pauses after Redis came back, want 1", len(b.gate.pauses))
	}
}

func TestSuppressions(t *testing.T) {
	t.Parallel()
	for code, want := range map[wechat.Code]ledger.Suppression{
		43004: {OpenID: openid, Reason: "require-subscribe", Until: time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)},
		43101: {OpenID: openid, Template: "T1", Reason: "recipient-refused-template", Until: time.Date(2000, 1, 15, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(strconv.Itoa(int(code)), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answers(refusal(code)))
				if err := b.deliver(t, nil); err != nil {
					t.Fatal(err)
				}
				for i := range b.supp.list {
					b.supp.list[i].Until = b.supp.list[i].Until.UTC()
				}
				if diff := compare([]ledger.Suppression{want}, b.supp.list); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestSnd13OneHitDoesNotSuppress(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(refusal(wechat.CodeInvalidOpenID)))
	if err := b.deliver(t, nil); err != nil {
		t.Fatal(err)
	}
	if len(b.supp.list) != 0 || len(b.gate.pauses) != 0 {
		t.Errorf("suppressed %v, paused %v after one 40003", b.supp.list, b.gate.pauses)
	}
}

// The same answer for many different recipients in a row is the account's.
func TestAlarm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code  wechat.Code
		limit int
		probe bool
	}{
		{50002, 3, true}, {wechat.CodeInvalidOpenID, 50, false}, {123456, 20, true},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(int(tt.code)), func(t *testing.T) {
			t.Parallel()
			b := setup(t, answers(refusal(tt.code)))
			to := func(who int) func(*job.Envelope) {
				return func(e *job.Envelope) { e.ID, e.To = fmt.Sprint("m", who), fmt.Sprint("o", who) }
			}
			for range 2 * tt.limit {
				_ = b.deliver(t, to(0))
			}
			if len(b.gate.pauses) != 0 {
				t.Fatal("one recipient alone made an alarm")
			}
			for who := 1; who < tt.limit-1; who++ {
				_ = b.deliver(t, to(who))
			}
			if len(b.gate.pauses) != 0 {
				t.Fatalf("an alarm after %d recipients", tt.limit-1)
			}
			_ = b.deliver(t, to(tt.limit))
			if len(b.gate.pauses) != 1 {
				t.Fatalf("no alarm after %d recipients", tt.limit)
			}
			if p := b.gate.pauses[0]; p.Reason != ratelimit.ReasonAccount || p.Probe != tt.probe {
				t.Errorf("paused %+v", p)
			}
		})
	}
	t.Run("a success in between", func(t *testing.T) {
		t.Parallel()
		b := setup(t, answers(refusal(50002), refusal(50002), nil, refusal(50002), refusal(50002), nil))
		for who := range 6 {
			_ = b.deliver(t, func(e *job.Envelope) { e.ID, e.To = fmt.Sprint("m", who), fmt.Sprint("o", who) })
		}
		if len(b.gate.pauses) != 0 {
			t.Error("an alarm although messages were accepted")
		}
	})
}

// templated is a platform that refuses template T1 and takes the others.
func templated(t *testing.T, code wechat.Code) *bundle {
	t.Helper()
	return setup(t, answers(refusal(code)))
}

func TestSnd12TemplateRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := templated(t, wechat.CodeInvalidTemplate)
		wait := later(t, b.deliver(t, nil))
		if wait < time.Minute || wait > 90*time.Second {
			t.Errorf("tried again after %v, want about a minute", wait)
		}
		time.Sleep(wait) // virtual
		if err := b.deliver(t, nil); err != nil {
			t.Fatalf("the second refusal is the answer, got %v", err)
		}
		if o := b.lastOutcome(t); o.State != ledger.Rejected || o.Errcode != wechat.CodeInvalidTemplate || b.send.calls() != 2 {
			t.Errorf("recorded %+v after %d calls", o, b.send.calls())
		}
	})
}

// tpl-07: ten thousand messages of a deleted template cost a handful of calls,
// those of other templates go on, and all of them end.
func TestTpl07DeletedTemplate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 500
		b := templated(t, wechat.CodeInvalidTemplate)
		due := make(map[int]time.Time)
		for i := range messages {
			due[i] = time.Now()
		}
		ended, start := 0, time.Now()
		for len(due) > 0 && time.Since(start) < 24*time.Hour {
			for i, at := range due {
				if time.Now().Before(at) {
					continue
				}
				err := b.deliver(t, func(e *job.Envelope) { e.ID = fmt.Sprint("m", i) })
				if err == nil {
					delete(due, i)
					ended++
					continue
				}
				due[i] = time.Now().Add(later(t, err))
			}
			time.Sleep(time.Second) // virtual
		}
		if ended != messages {
			t.Errorf("%d of %d ended within a day", ended, messages)
		}
		if took := time.Since(start); took < 2*time.Hour {
			t.Errorf("all were given up after %v: WeChat's flaps last ten minutes", took)
		}
		if b.send.calls() > 12 {
			t.Errorf("%d calls for a template that is gone", b.send.calls())
		}
	})
}

func TestTemplateComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answers(refusal(wechat.CodeInvalidTemplate), nil))
		later(t, b.deliver(t, nil))
		other := func(e *job.Envelope) { e.ID = "m2" }
		if d := later(t, b.deliver(t, other)); d < 50*time.Second || b.ledger.began != 1 {
			t.Errorf("another message of the template waits %v, begun %d times", d, b.ledger.began)
		}
		if err := b.deliver(t, func(e *job.Envelope) { e.ID, e.Template = "m3", "T2" }); err != nil {
			t.Errorf("another template: %v", err)
		}
		time.Sleep(time.Minute) // virtual
		for range 3 {
			if err := b.deliver(t, other); err != nil {
				t.Errorf("after the minute: %v", err)
			}
		}
	})
}

// A held message does not sleep past its end.
func TestTemplateHoldRespectsNotAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := templated(t, wechat.CodeInvalidTemplate)
		soon := time.Now().Add(20 * time.Second)
		if d := later(t, b.deliver(t, func(e *job.Envelope) { e.NotAfter = soon })); d != 20*time.Second {
			t.Errorf("its own retry: %v, want 20 s", d)
		}
		if d := later(t, b.deliver(t, func(e *job.Envelope) { e.ID, e.NotAfter = "m2", soon })); d != 20*time.Second {
			t.Errorf("another message: %v, want 20 s", d)
		}
		time.Sleep(20 * time.Second) // virtual
		if err := b.deliver(t, func(e *job.Envelope) { e.ID, e.NotAfter = "m2", soon }); err != nil || b.lastOutcome(t).State != ledger.Expired {
			t.Errorf("then: %v, %v", err, b.lastOutcome(t).State)
		}
	})
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	t.Run("half of twenty calls", func(t *testing.T) {
		t.Parallel()
		var b worker.Breaker
		for i := range 19 {
			if b.Note(i%2 == 0, now) {
				t.Fatalf("open after %d calls", i+1)
			}
		}
		if !b.Note(true, now) {
			t.Error("not open after 20 calls of which half failed")
		}
	})
	t.Run("a third is borne", func(t *testing.T) {
		t.Parallel()
		var b worker.Breaker
		for i := range 1000 {
			if b.Note(i%3 == 0, now.Add(time.Duration(i)*time.Millisecond)) {
				t.Fatalf("open after %d calls", i+1)
			}
		}
	})
	t.Run("the window slides", func(t *testing.T) {
		t.Parallel()
		var b worker.Breaker
		for i := range 100 {
			if b.Note(i%10 == 0, now.Add(time.Duration(i)*3*time.Second/10)) {
				t.Fatal("open")
			}
		}
		open := false
		for i := range 20 {
			open = b.Note(true, now.Add(65*time.Second+time.Duration(i)*time.Millisecond))
		}
		if !open {
			t.Error("the successes of a minute ago keep it closed")
		}
	})
	t.Run("few messages", func(t *testing.T) {
		t.Parallel()
		var b worker.Breaker
		at := now
		for i, seconds := range []int{0, 1, 2, 4, 8} {
			at = at.Add(time.Duration(seconds) * time.Second)
			if open := b.Note(true, at); open != (i == 4) {
				t.Errorf("attempt %d: open %v", i+1, open)
			}
		}
		if b.Note(false, at) || b.Note(true, at) {
			t.Error("open after a success")
		}
	})
}

// que-06: a lone message in an outage closes the gate before its attempts are
// used up, and costs none from then on.
func TestQue06LoneMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answers(transport(503, true, errors.New("x"))))
		for range 5 {
			time.Sleep(later(t, b.deliver(t, nil))) // virtual
		}
		if len(b.gate.pauses) != 1 || b.gate.pauses[0].Reason != ratelimit.ReasonBreaker {
			t.Fatalf("pauses %+v, want the breaker's", b.gate.pauses)
		}
		if o := b.lastOutcome(t); o.State != ledger.Queued || o.Attempt {
			t.Errorf("recorded %+v, want a deferral", o)
		}
	})
}

// The probe of another process has opened the gate: what this process saw before does not
// close it again with the next answer.
func TestTroubleThatAnotherProcessEndedIsForgotten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer error
		calls  int // until the gate is closed
	}{
		"outage":                          {transport(503, true, errors.New("x")), 5},
		"one errcode for many recipients": {refusal(wechat.CodeUserLimited), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answers(test.answer))
				deliver := func(n int) error {
					return b.deliver(t, func(e *job.Envelope) { e.To = fmt.Sprintf("%s%02d", openid[:26], n) })
				}
				for n := range test.calls {
					var back *queue.Later
					if errors.As(deliver(n), &back) {
						time.Sleep(back.After) // virtual
					}
				}
				if len(b.gate.pauses) != 1 {
					t.Fatalf("%d pauses: the test tests nothing", len(b.gate.pauses))
				}
				b.gate.shut(&ratelimit.ClosedError{Reason: b.gate.pauses[0].Reason})
				if err := deliver(7); err == nil {
					t.Fatal("a closed gate granted a permit")
				}
				b.gate.shut(nil)
				_ = deliver(8)
				if len(b.gate.pauses) != 1 {
					t.Errorf("closed again after one answer: %+v", b.gate.pauses[1])
				}
			})
		})
	}
}
