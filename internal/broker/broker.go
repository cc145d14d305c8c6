// Package broker is asynq, tamed. It alone knows asynq's keys.
//
// # In
//
// An [Enqueuer] puts tasks on queues with asynq's own scripts, many in one
// round trip. Concurrent callers share a pipeline.
//
// # Out
//
// A [Server] runs the asynq servers of one account. They are given a Redis
// client of ours, which lets a fetch pass only with a permit from the [Gate],
// chooses the class itself, sleeps while there is nothing to do and is woken by
// the Enqueuer, writes completions even when asynq's context is over, and puts
// deferred tasks back at the head of their queue.
//
// # Around
//
// A [Watchdog] takes back what a killed worker held and mends what asynq leaks.
// An [Inspector] counts, deletes, pauses and runs again. [Dial] connects and
// [Check] says what is wrong with a Redis.
package broker

import (
	"context"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// Queue names the asynq queue of an account and class: "<appid>:critical".
func Queue(account string, class job.Class) string { return account + ":" + string(class) }

// Item is one task to enqueue.
type Item struct {
	Account   string
	Class     job.Class
	ID        string
	Payload   []byte
	ProcessAt time.Time // zero: now
}

// Result of one item.
type Result struct {
	Duplicate bool // a task of this ID is in the queue already
	Err       error
}

// Gate is asked before each fetch.
type Gate interface {
	Take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error)
	Return(p ratelimit.Permit)
	Changed() <-chan struct{}
}

// Task is a fetched task. Permit is spent by the handler or returned.
type Task struct {
	ID, Queue string
	Payload   []byte
	Permit    *ratelimit.Permit // nil when the fetch was not recognised and took none
}

// Handler handles a task. nil completes it; a *Later puts it back; a *Dead
// archives it; any other error is retried in 5 s.
// The error's text is stored by asynq: no secret, no openid.
type Handler func(ctx context.Context, t Task) error

// Later puts a task back without counting a failure.
type Later struct {
	After time.Duration // zero: to the head of its queue at once
	Cause error         // its text is stored by asynq: no secret, no openid
}

func (l *Later) Error() string {
	if l.Cause == nil {
		return "put back"
	}
	return l.Cause.Error()
}

// Unwrap returns the cause.
func (l *Later) Unwrap() error { return l.Cause }
