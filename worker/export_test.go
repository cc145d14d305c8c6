package worker

import (
	"context"
	"time"

	"github.com/wxnotify/wxnotify/internal/broker"
)

// Handle is what the broker calls for a task of the i-th account.
func Handle(ctx context.Context, w *Worker, i int, t broker.Task) error {
	return w.accounts[i].handle(ctx, t)
}

// Supervise runs the i-th account's supervisor until ctx ends.
func Supervise(ctx context.Context, w *Worker, i int) { w.accounts[i].supervisor.run(ctx) }

// WatchedGate is the gate that the i-th account's broker asks.
func WatchedGate(w *Worker, i int) broker.Gate { return w.accounts[i].gate } //nolint:ireturn // what the broker sees

// Breaker is the breaker alone.
type Breaker struct{ b breaker }

// Note counts a call.
func (b *Breaker) Note(bad bool, now time.Time) bool { return b.b.note(bad, now) }

// Backoff is the waits between attempts.
func Backoff() []time.Duration { return backoff() }

// Jitter adds to a wait.
func Jitter(d time.Duration) time.Duration { return jitter(d) }
