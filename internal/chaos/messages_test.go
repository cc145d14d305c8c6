package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestEveryModeIsDrawnAtItsShare(t *testing.T) {
	t.Parallel()
	const n = 20_000
	count, ids, classes := map[enqueueMode]int{}, map[string]bool{}, map[producer.ClassName]int{}
	for _, c := range newCases(1, n) {
		count[c.mode]++
		ids[c.id] = true
		classes[c.class]++
		if c.wait < 2*time.Second || c.wait > 8*time.Second {
			t.Errorf("%s waits %s", c.id, c.wait)
		}
	}
	sum := 0
	for mode, share := range perThousand() {
		sum += share
		if got := count[enqueueMode(mode)] * 1000 / n; enqueueMode(mode) != plain && (got < share*3/4-1 || got > share*5/4+1) {
			t.Errorf("mode %d: %d of 1000 messages, want about %d", mode, got, share)
		}
	}
	if got := count[plain] * 1000 / n; got < 900-sum || got > 1100-sum {
		t.Errorf("%d of 1000 messages are plain, want about %d", got, 1000-sum)
	}
	if len(ids) != n || len(classes) != 3 {
		t.Errorf("%d IDs and %d classes for %d messages", len(ids), len(classes), n)
	}
}

func TestRepeatGivesUpAtAFinalAnswerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("connection reset")
		tests := []struct {
			name    string
			answers []error
			once    bool
			want    bool
			calls   int
		}{
			{"at once", []error{nil}, false, true, 1},
			{"after errors", []error{broken, context.DeadlineExceeded, nil}, false, true, 3},
			{"a caller that gives up", []error{broken, nil}, true, false, 1},
			{"the ID has another body", []error{broken, &producer.IDReusedError{}}, false, false, 2},
			{"the message is refused", []error{&wechat.InvalidError{}}, false, false, 1},
			{"too late to cancel", []error{fmt.Errorf("wrapped: %w", producer.ErrTooLate)}, false, false, 1},
			{"nothing to cancel", []error{producer.ErrNotFound}, false, false, 1},
		}
		for _, tt := range tests {
			var l load
			calls, start := 0, time.Now()
			got := l.repeat(t.Context(), tt.once, func(ctx context.Context) error {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != callTimeout {
					t.Errorf("%s: call %d has the deadline %v", tt.name, calls, deadline)
				}
				calls++
				return tt.answers[calls-1]
			})
			if got != tt.want || calls != tt.calls {
				t.Errorf("%s: %v after %d calls, want %v after %d", tt.name, got, calls, tt.want, tt.calls)
			}
			if waited := time.Since(start); waited != repeatAfter*time.Duration(tt.calls-1) {
				t.Errorf("%s: %d calls took %s", tt.name, calls, waited)
			}
		}
	})
}

func TestRepeatEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var l load
	if l.repeat(ctx, false, func(context.Context) error { cancel(); return errors.New("failed") }) || l.errors != 1 || l.lastErr == nil {
		t.Errorf("%d errors, the last %v", l.errors, l.lastErr)
	}
}

func TestMarkDurableTakesTheMessagesAnsweredInBetween(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var l load
	for i := range 4 {
		l.add(verdict.Message{ID: strconv.Itoa(i), Winners: []string{plainURL}})
		l.answered[i] = at.Add(time.Duration(i) * time.Second)
	}
	l.messages[2].Winners = nil // its Enqueue failed
	l.markDurable(at, at.Add(3*time.Second))
	var durable []string
	for _, m := range l.messages {
		if m.Durable {
			durable = append(durable, m.ID)
		}
	}
	if !slices.Equal(durable, []string{"1"}) {
		t.Errorf("%q are durable, want message 1: 0 and 3 were not answered in between, 2 has no ticket", durable)
	}
}

// inVirtualTime runs do with a load that enqueues into miniredis.
func inVirtualTime(t *testing.T, do func(t *testing.T, l *load, e *env)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		p, err := producer.New(rdb, producer.Config{Account: appID})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		e := &env{direct: rdb, asker: p, scenario: &scenario{}, show: func(...any) {}}
		e.load.queue = p
		do(t, &e.load, e)
	})
}

func TestEnqueueCaseKeepsWhatTheCallersWereTold(t *testing.T) {
	t.Parallel()
	state := map[enqueueMode]producer.State{
		plain: producer.Queued, scheduled: producer.Scheduled, later: producer.Scheduled, expiring: producer.Queued,
		cancelled: producer.Cancelled, cancelledNow: producer.Cancelled, withdrawn: producer.Cancelled,
		repeated: producer.Queued, conflicting: producer.Queued, abandoned: producer.Queued,
	}
	inVirtualTime(t, func(t *testing.T, l *load, e *env) {
		for mode := plain; mode <= abandoned; mode++ {
			c := enqueueCase{n: int(mode), id: fmt.Sprintf("m-%d", mode), class: producer.Bulk, mode: mode, wait: time.Minute}
			if mode == scheduled || mode == expiring {
				c.wait = time.Hour
			}
			cancel, start := l.enqueueCase(t.Context(), c), time.Now()
			cancel()
			if waited := time.Since(start); (waited == c.wait) != (mode == withdrawn) {
				t.Errorf("mode %d: it is cancelled after %s", mode, waited)
			}
			m := l.messages[mode]
			if m.ID != c.id || len(m.Winners) != 1 || !slices.Contains(c.urls(), m.Winners[0]) {
				t.Errorf("mode %d: %+v", mode, m)
			}
			if m.Cancelled != (state[mode] == producer.Cancelled) || m.Later != (mode == later || mode == cancelled) || m.NotAfter.IsZero() == (mode == expiring) {
				t.Errorf("mode %d: %+v", mode, m)
			}
		}
		must(t, e.readStates(t.Context()))
		for mode, m := range l.messages {
			if want := state[enqueueMode(mode)]; m.Status == nil || m.Status.State != want {
				t.Errorf("mode %d: %+v, want %s", mode, m.Status, want)
			}
		}
		if q, err := e.queues(t.Context()); err != nil || q.Pending != 5 || q.Scheduled != 2 || q.Active+q.Retry+q.Archived != 0 {
			t.Errorf("queues: %+v, %v; want 5 pending and 2 scheduled", q, err)
		}
	})
}

// What a cancellation changed may be lost although the message was durable.
func TestACancellationIsDurableOnItsOwn(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T, l *load, _ *env) {
		start := time.Now()
		cancel := l.enqueueCase(t.Context(), enqueueCase{id: "m", class: producer.Bulk, mode: withdrawn, wait: time.Minute})
		pause(t.Context(), time.Second)
		l.markDurable(start.Add(-1), time.Now())
		if !l.messages[0].Durable {
			t.Error("the message is not durable")
		}
		cancel()
		if l.messages[0].Durable {
			t.Error("the cancellation is durable before a barrier")
		}
		l.markDurable(start, time.Now().Add(1))
		if !l.messages[0].Durable {
			t.Error("the cancellation is not durable after a barrier")
		}
	})
}

func TestTheLoadIsSpreadAndLosesNoCase(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T, l *load, _ *env) {
		cases := newCases(3, 60)
		start := time.Now()
		l.run(t.Context(), cases, time.Minute)
		var ids []string
		for i, m := range l.messages {
			ids = append(ids, m.ID)
			if at := l.answered[i].Sub(start); at > time.Minute+8*time.Second {
				t.Errorf("%s was answered after %s", m.ID, at)
			}
		}
		if got := l.answered[30].Sub(start); got < 29*time.Second || got > 39*time.Second {
			t.Errorf("half of the messages were enqueued after %s, want half a minute", got)
		}
		for _, c := range cases {
			if !slices.Contains(ids, c.id) {
				t.Errorf("%s was not enqueued", c.id)
			}
		}
		if len(ids) != len(cases) || l.errors != 0 {
			t.Errorf("%d messages, %d errors, the last %v", len(ids), l.errors, l.lastErr)
		}
	})
}

func TestSettleWaitsForAllButWhatRedisLost(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T, l *load, e *env) {
		settled := func(want bool, after time.Duration, what string) {
			t.Helper()
			start := time.Now()
			if got := e.settle(t.Context(), time.Minute); got != want || time.Since(start).Truncate(time.Second) != after {
				t.Errorf("%s: %v after %s, want %v after %s", what, got, time.Since(start), want, after)
			}
		}
		l.enqueueCase(t.Context(), enqueueCase{id: "later", class: producer.Bulk, mode: later})
		l.enqueueCase(t.Context(), enqueueCase{id: "cancelled", class: producer.Bulk, mode: cancelledNow})()
		l.add(verdict.Message{ID: "given-up"})
		settled(true, 0, "all have ended, are scheduled, or were given up")
		if !l.messages[0].Waits() || !l.messages[1].Ended() || l.messages[2].Status != nil {
			t.Errorf("states: %+v", l.messages)
		}
		l.add(verdict.Message{ID: "lost", Winners: []string{plainURL}})
		settled(false, time.Minute, "a message with a ticket has no record")
		e.scenario.Loses = true
		settled(true, unchanged, "Redis may have lost it")
		l.messages[3].Durable = true
		settled(false, time.Minute, "a replica had it")
		l.messages = l.messages[:3]
		l.enqueueCase(t.Context(), enqueueCase{id: "pending", class: producer.Bulk})
		settled(false, time.Minute, "a task is pending")
	})
}
