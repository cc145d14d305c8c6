package ops

import (
	"context"
	"fmt"
	"time"
)

// shared keeps what was read, for all who ask within a time. Safe for concurrent use.
type shared[T any] struct {
	read         func(ctx context.Context) T
	fresh, limit time.Duration // how long it is kept, and how long it may take
	reading      chan struct{} // held by the caller that reads
	at           time.Time
	last         T
}

func share[T any](fresh, limit time.Duration, read func(ctx context.Context) T) *shared[T] {
	return &shared[T]{read: read, fresh: fresh, limit: limit, reading: make(chan struct{}, 1)}
}

// get reads, unless that was done a short time ago. The error is ctx's.
func (s *shared[T]) get(ctx context.Context) (last T, err error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return last, fmt.Errorf("wait for another request: %w", ctx.Err())
	}
	if s.at.IsZero() || time.Since(s.at) >= s.fresh {
		// Others get the same: it must not fail because this client left.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limit)
		defer cancel()
		s.last = s.read(ctx)
		s.at = time.Now()
	}
	return s.last, nil
}
