package redisx

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClosed is returned by a Group after Close.
var ErrClosed = errors.New("closed")

// Group lets concurrent callers share one call. The first caller opens a batch,
// which leaves as soon as fewer calls than allowed are running and the pause after
// the last shared call is over; callers that come before it leaves join it. Callers
// that come one after the other do not wait.
//
// A batch does not end with the context of one caller, since it carries others;
// what bounds it is the Redis client's own timeouts.
type Group[T, R any] struct {
	limit int
	pause time.Duration
	slots chan struct{}
	send  func(ctx context.Context, items []T) ([]R, error)
	lists sync.Pool // items of batches that have ended, for later ones

	mu      sync.Mutex
	next    time.Time    // when the next call may leave; zero: at once
	open    *batch[T, R] // takes items; nil: none does
	closed  bool
	running sync.WaitGroup
}

// batch is the items of one call.
type batch[T, R any] struct {
	items   []T
	results []R // by index
	err     error
	done    chan struct{}
}

// NewGroup makes a group of at most limit items a call and at most calls at once. The
// next call leaves pause after a shared one at the soonest, so that more callers
// share it; 0: no pause. send returns one result per item, in their order;
// its error is returned to all callers of the batch. The list of items is used again
// when send has returned: it neither keeps nor returns it.
func NewGroup[T, R any](limit, calls int, pause time.Duration, send func(ctx context.Context, items []T) ([]R, error)) *Group[T, R] {
	return &Group[T, R]{limit: limit, pause: pause, slots: make(chan struct{}, calls), send: send}
}

// Do sends one item. When ctx ends before the answer, the item is carried out all the
// same, and the error says so.
func (g *Group[T, R]) Do(ctx context.Context, item T) (result R, err error) {
	if err := ctx.Err(); err != nil {
		return result, err
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return result, ErrClosed
	}
	b := g.open
	if b == nil {
		items, _ := g.lists.Get().([]T)
		b = &batch[T, R]{items: items, done: make(chan struct{})}
		g.open = b
		g.running.Add(1)
		go g.run(context.WithoutCancel(ctx), b)
	}
	i := len(b.items)
	if b.items = append(b.items, item); len(b.items) >= g.limit {
		g.open = nil
	}
	g.mu.Unlock()
	select {
	case <-b.done:
	case <-ctx.Done():
		return result, fmt.Errorf("the answer of Redis is still awaited: %w", ctx.Err())
	}
	if b.err != nil {
		return result, b.err
	}
	return b.results[i], nil
}

// Close waits for the calls that are running; later ones get ErrClosed.
func (g *Group[T, R]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.running.Wait()
}

func (g *Group[T, R]) run(ctx context.Context, b *batch[T, R]) {
	defer g.running.Done()
	defer close(b.done)
	g.slots <- struct{}{}
	defer func() { <-g.slots }()
	g.mu.Lock()
	wait := time.Until(g.next)
	g.mu.Unlock()
	if wait > 0 {
		_ = Sleep(ctx, wait)
	}
	g.mu.Lock()
	if g.open == b {
		g.open = nil
	}
	if g.pause > 0 && len(b.items) > 1 {
		g.next = time.Now().Add(g.pause)
	}
	g.mu.Unlock()
	b.results, b.err = g.send(ctx, b.items)
	if b.err == nil && len(b.results) != len(b.items) {
		b.err = fmt.Errorf("%d results for %d items", len(b.results), len(b.items))
	}
	clear(b.items)
	g.lists.Put(b.items[:0]) //nolint:staticcheck // the allocation of a slice's header is one a batch
}
