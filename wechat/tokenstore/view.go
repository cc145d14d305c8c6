package tokenstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// view is what this process knows of Redis. A view is never modified, only replaced.
type view struct {
	token   wechat.Token      // zero: none
	refused int64             // the generation that was refused last; 0: none
	checked time.Time         // when Redis was last read
	down    *UnavailableError // why there is no token; nil if there is one
}

func (v *view) usable(now time.Time) bool { return now.Before(v.token.ExpiresAt) }

// refuse drops the token and remembers that generation was refused.
func (s *Store) refuse(generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := *s.view.Load()
	v.token, v.refused = wechat.Token{}, generation
	s.view.Store(&v)
}

// update replaces the view with what Redis answered at the time at. A token that
// works is not replaced by one of a lower generation: a failover may have lost the
// newest token. When it expires or is refused, any other one replaces it: Redis may
// have lost its data and given out lower generations since.
func (s *Store) update(at time.Time, token wechat.Token, down *UnavailableError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := *s.view.Load()
	if token.Generation != v.refused && (token.Generation > v.token.Generation || !v.usable(at)) {
		v.token = token
	}
	v.checked, v.down = at, down
	s.view.Store(&v)
	close(s.changed)
	s.changed = make(chan struct{})
}

// changes returns a channel that is closed at the next change of the view.
func (s *Store) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// peekInBackground reads Redis without delaying the caller. If that fails, the
// token in memory stays in use until it expires.
func (s *Store) peekInBackground(ctx context.Context) {
	if !s.peeking.CompareAndSwap(false, true) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer s.peeking.Store(false)
		if err := s.peek(ctx); err != nil {
			v := s.view.Load()
			s.update(time.Now(), v.token, v.down) // the next read is due after Reread, not at once
		}
	}()
}

// peek reads Redis and fetches nothing.
func (s *Store) peek(ctx context.Context) error {
	_, err := s.ask(ctx, modePeek, 0)
	return err
}

// pollDelay is how long to wait for another process before the n-th question: 20 ms
// at first, up to 500 ms, with ±50 % so that processes do not ask in step.
func pollDelay(n int) time.Duration {
	d := min(20*time.Millisecond<<min(n, 5), 500*time.Millisecond)
	return d/2 + rand.N(d)
}

// wait returns after d, when ctx ends, or when wake delivers or is closed, which
// it reports.
func wait[T any](ctx context.Context, d time.Duration, wake <-chan T) (closed bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case _, open := <-wake:
		return !open
	}
	return false
}
