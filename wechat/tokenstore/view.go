package tokenstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// view is what this process last saw in Redis. It is never changed, only
// replaced.
type view struct {
	token   wechat.Token // zero: none seen
	due     time.Time    // when Run fetches the next one
	checked time.Time    // when Redis was last read
	down    *UnavailableError
}

func (s *Store) usable(v *view, now time.Time) bool {
	return v.token.Generation > s.refused.Load() && now.Before(v.token.ExpiresAt)
}

// refuse notes that generation and all before it are not to be used.
func (s *Store) refuse(generation int64) {
	for {
		was := s.refused.Load()
		if was >= generation || s.refused.CompareAndSwap(was, generation) {
			return
		}
	}
}

// see replaces the view by what Redis said at moment at. An older token never
// replaces a newer one, whatever a Redis that failed over may say.
func (s *Store) see(at time.Time, token wechat.Token, due time.Time, down *UnavailableError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := *s.view.Load()
	if token.Generation > v.token.Generation {
		v.token, v.due = token, due
	}
	v.checked, v.down = at, down
	s.view.Store(&v)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// peekBeside reads Redis in the background; a failure changes nothing, the
// token in hand stays good until its expiry.
func (s *Store) peekBeside(ctx context.Context) {
	if !s.peeking.CompareAndSwap(false, true) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer s.peeking.Store(false)
		if err := s.peek(ctx); err != nil {
			v := s.view.Load()
			s.see(time.Now(), v.token, v.due, v.down) // ask again after Reread, not at once
		}
	}()
}

// peek reads Redis and fetches nothing.
func (s *Store) peek(ctx context.Context) error {
	_, err := s.ask(ctx, modePeek, 0)
	return err
}

// poll is how long to wait for another process before looking again: 20 ms at
// first, half a second in the end, spread so that processes do not look in step.
func poll(n int) time.Duration {
	d := min(20*time.Millisecond<<min(n, 5), 500*time.Millisecond)
	return d/2 + rand.N(d)
}

// pause waits for a change or for d.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
