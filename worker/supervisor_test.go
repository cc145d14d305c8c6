package worker_test

import (
	"context"
	"errors"
	"fmt"
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
			time.Sleep(3 * time.Second) // virtual: WeChat counts the calls under way
			synctest.Wait()
			if q.count() != 2 {
				t.Errorf("asked %d times, want again after three seconds", q.count())
			}
			for range 100 { // the fetch loop keeps asking
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

// quo-04: after 45009 WeChat is asked, once its count has the calls under way. What
// is believed of its answer is the gate's to decide, for all processes.
func TestQuo04AsksSoonAfterARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: 500, Remain: 500}}
		b := supervised(t, q, answers(refusal(45009)))
		for range 2 {
			time.Sleep(30 * time.Second) // virtual
			refusedAt := time.Now()
			later(t, b.deliver(t, nil))
			time.Sleep(15 * time.Second) // virtual
			if d := q.asked[q.count()-1].Sub(refusedAt); d != 3*time.Second {
				t.Errorf("asked %v after the refusal, want 3 s", d)
			}
		}
		if !slices.Equal(b.gate.told(), []int64{500, 500, 500}) {
			t.Errorf("told %v", b.gate.told())
		}
	})
}

// The refusal of a call whose permit is older than the closure proves nothing: the
// message waits, and nothing else happens.
func TestStaleRefusalDoesNotPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: 500, Remain: 500}}
		b := supervised(t, q, answers(refusal(45009)))
		b.gate.closeErr = fmt.Errorf("close: %w", ratelimit.ErrStale)
		synctest.Wait()
		if d := later(t, b.deliver(t, nil)); d != 0 {
			t.Errorf("put back for %v, want to the head of its queue", d)
		}
		time.Sleep(15 * time.Second) // virtual
		if e := b.lastEvent(t); e.Paused != "" || q.count() != 1 {
			t.Errorf("the event says paused for %q, and WeChat was asked %d times", e.Paused, q.count())
		}
	})
}

// An answer that was not used is asked for again, without a line in the log for
// the operator.
func TestStaleAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: 500, Remain: 500}}
		b := supervised(t, q, answers(nil))
		b.gate.failReconcile(ratelimit.ErrStale)
		time.Sleep(100 * time.Second) // virtual
		if q.count() != 2 {
			t.Errorf("asked %d times, want again after a minute", q.count())
		}
	})
}

// The gate is closed by its own count although WeChat has counted less: what was
// uncertain is known after a minute.
func TestAsksSoonerWhenTheGateCountsMore(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wechat, ours int64
		pauses       []ratelimit.PauseState
		want         int // questions in eight minutes
	}{
		"WeChat has room":          {900, 980, nil, 6},
		"within WeChat's 1 %":      {975, 980, nil, 1},
		"the gate is open":         {900, 979, nil, 1},
		"a pause closes it anyway": {900, 980, []ratelimit.PauseState{{}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &quota{says: wechat.Quota{DailyLimit: 1000, Used: tt.wechat}}
				b := supervised(t, q, answers(nil))
				b.gate.mu.Lock()
				b.gate.state.Cap, b.gate.state.Reserve, b.gate.state.Used, b.gate.state.Pauses = 1000, 20, tt.ours, tt.pauses
				b.gate.mu.Unlock()
				time.Sleep(8 * time.Minute) // virtual
				if n := q.count(); n < tt.want || n > tt.want+1 {
					t.Errorf("asked %d times in eight minutes, want %d", n, tt.want)
				}
			})
		})
	}
}
