// Package queue is asynq with a gate before it. It alone knows asynq's keys.
//
// # In
//
// [PutLua] is the half of an enqueue that writes tasks; the producer joins it with
// the ledger's half, so that record and task are written by one script. [Put]
// writes single tasks.
//
// # Out
//
// [Serve] runs the asynq server of one account. asynq's dequeue is answered by a loop
// that takes permits from the [Gate] and fetches as many tasks as there are free slots in
// one trip. asynq's server, handlers, retries and inspection are its own. See fetch.go and
// client.go.
//
// # Around
//
// The server puts back what killed workers held, moves due tasks, and stops while this
// machine's clock is wrong (tend.go). An [Inspector] counts, deletes and pauses.
package queue

import (
	"cmp"
	"context"
	"embed"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is lua/name.lua.
func script(name string) *redisx.Script { return redisx.NewScript(redisx.Lua(luaFiles, name)) }

// Gate grants the permits that the fetch loop spends: *ratelimit.Gate.
type Gate interface {
	Take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error)
	Return(p ratelimit.Permit)
	Changed() <-chan struct{}
}

// Task is a fetched task.
type Task struct {
	ID, Queue string
	Payload   []byte
	Permit    ratelimit.Permit // spent by the handler, or returned to the gate
	// Delivery is the number of this fetch: it grows with each fetch of the queue.
	// It tells the writes of an earlier delivery of the same task, which may come
	// late, from those of this one. It is no time.
	Delivery int64
	// Redelivered reports that the task was handed to a handler before.
	Redelivered bool

	inFlight *inFlight
	delivery *delivery
}

// FreeSlot has another task fetched in the place of this one, whose handler has only to
// record what it did. A server has at most 128 such handlers.
func (t Task) FreeSlot() {
	if t.inFlight != nil { // a test calls the handler otherwise
		t.inFlight.freeSlot(t.delivery)
	}
}

// Handler handles a task. nil completes it; a *Later puts it back; any other error
// puts it back in 5 s. The error's text is stored by asynq: no secret, no openid.
type Handler func(ctx context.Context, t Task) error

// Later puts a task back without counting a failure. It wraps no error, in which asynq
// would look for its own.
type Later struct {
	After  time.Duration // zero: to the head of its queue at once
	Reason string        // stored by asynq: no secret, no openid
}

func (l *Later) Error() string { return cmp.Or(l.Reason, "message requeued") }

// TierOf is the share of the quota that a class may use.
func TierOf(class job.Class) ratelimit.Tier {
	if class == job.Critical {
		return ratelimit.Reserved
	}
	return ratelimit.General
}
