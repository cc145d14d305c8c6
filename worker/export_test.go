package worker

import (
	"context"
	"time"

	"github.com/wxnotify/wxnotify/internal/queue"
)

// Handle is what the queue calls for a task of the i-th account.
func Handle(ctx context.Context, w *Worker, i int, t queue.Task) error {
	return w.accounts[i].handle(ctx, t)
}

// Supervise runs the i-th account's supervisor until ctx ends.
func Supervise(ctx context.Context, w *Worker, i int) { w.accounts[i].supervisor.run(ctx) }

// WatchedGate is the gate that the i-th account's fetch loop asks.
func WatchedGate(w *Worker, i int) queue.Gate { return w.accounts[i].gate }

// Records is what the worker needs of a ledger.
type Records = records

// With gives the account records other than a ledger.
func With(a Account, r Records) Account {
	a.records = r
	return a
}

// Breaker is the breaker alone.
type Breaker struct{ b breaker }

// Note counts a call.
func (b *Breaker) Note(bad bool, now time.Time) bool { return b.b.note(bad, now) }

// Backoff is the waits between attempts.
func Backoff() []time.Duration { return backoff() }

// Jitter adds to a wait.
func Jitter(d time.Duration) time.Duration { return jitter(d) }
