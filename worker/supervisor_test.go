package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/worker"
)

// quota answers with its fields, and counts.
type quota struct {
	mu    sync.Mutex
	says  wechat.Quota
	err   error
	asked []time.Time
}

func (q *quota) Quota(_ context.Context, path string) (wechat.Quota, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if path != wechat.SendPath {
		return wechat.Quota{}, errors.New("asked for " + path)
	}
	q.asked = append(q.asked, time.Now())
	return q.says, q.err
}

func (q *quota) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.asked)
}

// supervised is a worker whose supervisor runs until the bubble's test ends.
func supervised(t *testing.T, q *quota, send *sender) *bundle {
	t.Helper()
	b := setupWith(t, send, func(a *worker.Account) {
		if q != nil {
			a.Quota = q
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		worker.Supervise(ctx, b.w, 0)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return b
}

func TestQuo03Reconcile(t *testing.T) {
	t.Parallel()
	t.Run("at start and every ten minutes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: 900, Remain: 100}}
			b := supervised(t, q, answers(nil))
			synctest.Wait()
			if !slices.Equal(b.gate.told(), []int64{900}) {
				t.Fatalf("reconciled %v, want 900 at once", b.gate.told())
			}
			time.Sleep(time.Hour) // virtual
			if n := q.count(); n < 6 || n > 7 {
				t.Errorf("asked %d times in an hour, want every ten minutes", n)
			}
		})
	})
	t.Run("another process did so lately", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: 1, Remain: 999}}
			b := supervised(t, q, answers(nil))
			for range 10 {
				time.Sleep(5 * time.Minute) // virtual
				b.gate.mu.Lock()
				b.gate.state.Reconciled = time.Now()
				b.gate.mu.Unlock()
			}
			if q.count() != 1 {
				t.Errorf("asked %d times, want once at start", q.count())
			}
		})
	})
	t.Run("the gate's count is missing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: 1, Remain: 999}}
			b := supervised(t, q, answers(nil))
			time.Sleep(time.Minute) // virtual
			b.gate.shut(&ratelimit.ClosedError{Reason: ratelimit.ReasonUnreconciled})
			_, _ = worker.WatchedGate(b.w, 0).Take(t.Context(), ratelimit.General)
			synctest.Wait()
			if q.count() != 2 {
				t.Errorf("asked %d times, want again at once", q.count())
			}
			for range 100 { // the broker asks on and on
				_, _ = worker.WatchedGate(b.w, 0).Take(t.Context(), ratelimit.General)
				time.Sleep(100 * time.Millisecond) // virtual
			}
			if q.count() > 3 {
				t.Errorf("asked %d times in ten seconds", q.count())
			}
		})
	})
}

// WeChat cannot say: sending starts from what is known, at once after an
// answer, after a few tries otherwise.
func TestReconcileFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err   error
		after time.Duration
	}{
		"errcode":   {&wechat.Error{Op: "/cgi-bin/openapi/quota/get", Code: 76022}, 0},
		"transport": {&wechat.TransportError{Op: "/cgi-bin/openapi/quota/get", Err: errors.New("x")}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &quota{err: tt.err}
				b := supervised(t, q, answers(nil))
				synctest.Wait()
				if tt.after > 0 && len(b.gate.told()) != 0 {
					t.Fatal("gave up at the first failure")
				}
				time.Sleep(tt.after) // virtual
				synctest.Wait()
				if len(b.gate.told()) == 0 || b.gate.told()[0] != ratelimit.Unknown {
					t.Errorf("reconciled %v, want Unknown", b.gate.told())
				}
				time.Sleep(time.Hour) // virtual
				if n := q.count(); n < 50 || n > 70 {
					t.Errorf("asked %d times in an hour, want once a minute", n)
				}
			})
		})
	}
	t.Run("no reader", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := supervised(t, nil, answers(nil))
			synctest.Wait()
			if !slices.Equal(b.gate.told(), []int64{ratelimit.Unknown}) {
				t.Errorf("reconciled %v", b.gate.told())
			}
		})
	})
}

// quo-04: after 45009 WeChat is asked; what clearly remains is believed once,
// what is within its error is not, and not against a second refusal.
func TestQuo04WhatIsBelieved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		used int64
		want []int64 // what the gate is told: at start, after the first and the second 45009
	}{
		"clearly some left":  {500, []int64{500, 500, 1000}},
		"within WeChat's 1%": {990, []int64{990, 1000, 1000}},
		"used up":            {1000, []int64{1000, 1000, 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: tt.used, Remain: 1000 - tt.used}}
				b := supervised(t, q, answers(refusal(45009)))
				for range 2 {
					time.Sleep(30 * time.Second) // virtual
					later(t, b.deliver(t, nil))
				}
				time.Sleep(15 * time.Second) // virtual
				if !slices.Equal(b.gate.told(), tt.want) {
					t.Errorf("told %v, want %v", b.gate.told(), tt.want)
				}
			})
		})
	}
}
