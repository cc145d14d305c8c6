package queue

import (
	"context"
	"sync"
	"time"
)

// Bounds makes contexts that end after a time. Callers share them, because a timer and a
// cancellation for each caller cost a fiftieth of a send. The zero value is ready.
type Bounds struct {
	mu            sync.Mutex
	parent, bound context.Context //nolint:containedctx // what it is for
	renewAt       time.Time
}

// Of returns a child of parent that ends between least and least+spread from now. It is
// shared by the callers of one parent, so none may cancel it.
func (b *Bounds) Of(parent context.Context, least, spread time.Duration) context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); parent != b.parent || now.After(b.renewAt) {
		ctx, cancel := context.WithTimeout(parent, least+spread)
		context.AfterFunc(ctx, cancel)
		b.parent, b.bound, b.renewAt = parent, ctx, now.Add(spread)
	}
	return b.bound
}
