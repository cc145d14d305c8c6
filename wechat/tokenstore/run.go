package tokenstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// How often Run looks when nothing tells it to: a notice may be lost, and Redis
// may have lost the token.
const runEvery = time.Minute

// Run keeps the fleet in a token until ctx ends, then returns nil: it refreshes
// ahead of expiry, so that no send waits, recovers after a back-off, and hears
// what other processes do. All processes run it; one of them fetches. Token
// works without it, but then a send waits at the end of each token's life.
func (s *Store) Run(ctx context.Context) error {
	notices := s.rdb.Subscribe(ctx, s.channel())
	defer func() { _ = notices.Close() }()
	heard := notices.Channel()
	healthy := true
	for ctx.Err() == nil {
		wait, err := s.tend(ctx)
		if err != nil && healthy && ctx.Err() == nil {
			s.tell(Event{Kind: EventFailed, Err: err, Remedy: remedyRedis})
		}
		healthy = err == nil
		if !rest(ctx, wait, heard) {
			heard = nil // closed with the client; the timer goes on
		}
	}
	return nil
}

// rest waits for d, a notice or the end; false says that notices have ended.
func rest(ctx context.Context, d time.Duration, heard <-chan *redis.Message) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case _, ok := <-heard:
		return ok
	}
	return true
}

// tend fetches the token if it is missing, refused or due, and says when to
// look again.
func (s *Store) tend(ctx context.Context) (time.Duration, error) {
	spread := rand.N(250 * time.Millisecond) // so that the fleet does not ask in step
	a, err := s.ask(ctx, modeDue, 0)
	if err != nil {
		return time.Second + spread, err
	}
	switch a.kind {
	case "token":
		return min(time.Until(a.due), runEvery) + spread, nil
	case "lease":
		// A failure is in the view, in Redis and told already; the next look
		// learns how long to wait.
		_, _ = s.lead(ctx, a.lease)
		return 0, nil
	}
	return min(a.left, runEvery) + spread, nil
}
