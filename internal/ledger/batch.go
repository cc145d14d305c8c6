package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("ledger is closed")

const (
	// batchTrips may be under way at once. Two keep Redis busy while an answer
	// travels; more would make the batches smaller, not the wait shorter.
	batchTrips = 2
	// batchSize bounds the commands of one trip, so that no caller waits for a
	// very long answer.
	batchSize = 512
)

// op is one command of a trip; exactly one of script and plain is set.
type op struct {
	script script
	keys   []string
	args   []any
	plain  redis.Cmder
	cmd    *redis.Cmd // the script's answer
}

func (o *op) err() error {
	if o.plain != nil {
		return o.plain.Err() //nolint:wrapcheck // the verb names itself
	}
	return o.cmd.Err() //nolint:wrapcheck // the verb names itself
}

// turn is what one caller waits for.
type turn struct {
	ctx  context.Context //nolint:containedctx // of the waiting caller, for its values and hooks
	ops  []*op
	done chan struct{}
}

// batch gathers the commands of concurrent callers into shared pipelines: what
// comes while a trip is under way rides with the next. It holds no goroutine
// while nothing is asked.
type batch struct {
	rdb redis.UniversalClient

	mu      sync.Mutex
	waiting []*turn
	trips   int
	closed  bool
	idle    sync.WaitGroup
}

// do runs ops in one trip with others'. When ctx ends first, what has not left
// yet never will; what has left is carried out, and the error says so.
func (b *batch) do(ctx context.Context, ops ...*op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &turn{ctx: ctx, ops: ops, done: make(chan struct{})}
	if err := b.join(t); err != nil { //nolint:contextcheck // a trip carries many callers
		return err
	}
	select {
	case <-t.done:
		return firstError(ops)
	case <-ctx.Done():
		if b.leave(t) {
			return ctx.Err()
		}
		return fmt.Errorf("the answer of Redis is still awaited: %w", ctx.Err())
	}
}

func firstError(ops []*op) error {
	for _, o := range ops {
		if err := o.err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

func (b *batch) join(t *turn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.waiting = append(b.waiting, t)
	if b.trips < batchTrips {
		b.trips++
		b.idle.Add(1)
		go b.travel()
	}
	return nil
}

// leave takes t back if it has not left yet.
func (b *batch) leave(t *turn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == t {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// take cuts the next batch, or ends this traveller.
func (b *batch) take() []*turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.trips--
		return nil
	}
	size, n := 0, 0
	for n < len(b.waiting) && (n == 0 || size+len(b.waiting[n].ops) <= batchSize) {
		size += len(b.waiting[n].ops)
		n++
	}
	turns := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	return turns
}

func (b *batch) travel() {
	defer b.idle.Done()
	for turns := b.take(); turns != nil; turns = b.take() {
		b.trip(turns)
		for _, t := range turns {
			close(t.done)
		}
	}
}

// trip executes the turns' commands; each has its answer or error afterwards.
// The trip does not end with one caller's context: others ride along. What
// bounds it is the client's own timeouts.
func (b *batch) trip(turns []*turn) {
	ctx := context.WithoutCancel(turns[0].ctx)
	var ops []*op
	for _, t := range turns {
		ops = append(ops, t.ops...)
	}
	b.exec(ctx, ops, false)
	var unknown []*op
	for _, o := range ops {
		if o.plain == nil && redis.HasErrorPrefix(o.cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, o) // a new primary, or SCRIPT FLUSH
		}
	}
	if len(unknown) > 0 {
		b.exec(ctx, unknown, true)
	}
}

func (b *batch) exec(ctx context.Context, ops []*op, whole bool) {
	pipe := b.rdb.Pipeline()
	for _, o := range ops {
		if o.plain != nil {
			_ = pipe.Process(ctx, o.plain) // queues it
			continue
		}
		o.cmd = o.script.call(ctx, whole, o.keys, o.args)
		_ = pipe.Process(ctx, o.cmd)
	}
	_, _ = pipe.Exec(ctx) // every command carries its own error
}

func (b *batch) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.idle.Wait() // what has joined is still carried out
}
