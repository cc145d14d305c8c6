package tokenstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// runEvery is how often Run reads Redis without a notice: one may be lost, and Redis
// may have lost the token.
const runEvery = time.Minute

// Run provides a token until ctx ends, then returns nil. It fetches the next token
// before the current one expires, so that no send waits, fetches again after a
// back-off, and follows the changes that other processes make. Every process runs
// it; one of them fetches. Token works without Run, but then a send waits at the end
// of each token's life.
func (s *Store) Run(ctx context.Context) error {
	if s.cfg.NeverFetch != nil {
		return fmt.Errorf("tokenstore: %w", s.cfg.NeverFetch)
	}
	subscription := s.rdb.Subscribe(ctx, s.channel())
	defer func() { _ = subscription.Close() }()
	notices := subscription.Channel(redis.WithChannelHealthCheckInterval(10 * time.Second))
	healthy := true
	for ctx.Err() == nil {
		pause, err := s.refresh(ctx)
		if err != nil && healthy && ctx.Err() == nil {
			s.tell(Event{Kind: EventFailed, Err: err, Remedy: remedyRedis})
		}
		healthy = err == nil
		if wait(ctx, pause, notices) {
			notices = nil // the Redis client was closed
		}
	}
	return nil
}

// refresh fetches a token if there is none, or if it was refused or is due for its
// refresh. It returns how long to wait before the next call.
func (s *Store) refresh(ctx context.Context) (time.Duration, error) {
	spread := rand.N(250 * time.Millisecond) // so that processes do not ask in step
	a, err := s.ask(ctx, modeDue, 0)
	if err != nil {
		return time.Second + spread, err
	}
	switch a.kind {
	case "token":
		return min(time.Until(a.due), runEvery) + spread, nil
	case "lease":
		// A failure has been recorded and reported; the next call learns the back-off.
		_, _ = s.fetchUnder(ctx, a.lease)
		return 0, nil
	}
	return min(a.left, runEvery) + spread, nil
}
