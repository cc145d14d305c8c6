package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

// The wait for a permit goes from the first question to the permit's slot; the time in
// which no permit was wanted is left out.
func TestGateWaitCountsClosuresAndSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answers(nil))
		g := worker.WatchedGate(b.w, 0)
		ask := func(tier ratelimit.Tier) {
			_, err := g.Take(t.Context(), tier)
			_ = err // a closed gate is a part of the test
		}
		closed := &ratelimit.ClosedError{Reason: ratelimit.ReasonQuota}
		ask(ratelimit.General) // open: 0
		b.gate.at = 500 * time.Millisecond
		ask(ratelimit.General) // its slot comes: 0.5 s
		b.gate.shut(closed)
		for range 3 { // as the loop does: each second
			ask(ratelimit.General)
			time.Sleep(time.Second) // virtual
		}
		b.gate.shut(nil)
		ask(ratelimit.Reserved) // the other tier did not wait: 0.5 s
		ask(ratelimit.General)  // 3.5 s
		b.gate.shut(closed)
		ask(ratelimit.General)
		time.Sleep(time.Hour) // virtual; the queue is empty, nothing is asked
		b.gate.shut(nil)
		b.gate.at = 0
		ask(ratelimit.General) // 0
		want := []time.Duration{0, 500 * time.Millisecond, 500 * time.Millisecond, 3500 * time.Millisecond, 0}
		if diff := compare(want, b.waits); diff != "" {
			t.Error(diff)
		}
	})
}

// A message's age when WeChat is called starts with its not-before.
func TestAgeStartsWithNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answers(nil))
		err := b.deliver(t, func(e *job.Envelope) {
			e.QueuedAt, e.NotBefore = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
		})
		if err != nil || len(b.events) != 1 || b.events[0].Age != time.Minute {
			t.Errorf("%v, events %+v; want an age of a minute", err, b.events)
		}
	})
}

// A real gate with a rate makes messages wait, and the waits are told.
func TestGateWaitOfARate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{rate: 1})
		p.enqueue(appid, job.Default, ids("m", 5)...)
		p.start()
		p.drained(time.Second, time.Minute)
		var longest time.Duration
		for _, wait := range p.waited() {
			longest = max(longest, wait)
		}
		if longest < 900*time.Millisecond || longest > 2*time.Second {
			t.Errorf("the longest wait is %s, want about a second", longest)
		}
	})
}
