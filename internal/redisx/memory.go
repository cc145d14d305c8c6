package redisx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrFull is returned by [MemoryGuard.Allow]. At 100 % of maxmemory the workers
// would stop as well, since fetching a task writes.
var ErrFull = errors.New("redis is nearly full: raise maxmemory, or wait until the workers have drained the queues")

// FullAt is the share of maxmemory from which on new messages are refused.
const FullAt = 0.75

// MemoryGuard refuses writes that grow Redis while it is nearly full. It asks Redis
// at most once a second, and sooner when this process writes fast.
type MemoryGuard struct {
	rdb   redis.UniversalClient
	state atomic.Pointer[State] // as Redis told it last; nil: never
	room  atomic.Int64          // bytes that may be sent before the next look

	mu   sync.Mutex
	next time.Time
}

// NewMemoryGuard does not talk to Redis.
func NewMemoryGuard(rdb redis.UniversalClient) *MemoryGuard { return &MemoryGuard{rdb: rdb} }

// unlimited is the room of a Redis without maxmemory, and of one that does not tell.
const unlimited = math.MaxInt64

// Allow returns an error that wraps ErrFull while Redis uses 75 % of maxmemory or more.
// Without maxmemory it never refuses. It counts the messages that are about to be written,
// so that a fast caller does not fill Redis between two looks: each takes its payload and
// about 1 KB.
func (g *MemoryGuard) Allow(ctx context.Context, items, payload int) error {
	if g.mu.TryLock() {
		if now := time.Now(); now.After(g.next) || g.room.Load() < 0 {
			g.look(ctx)
			g.next = now.Add(time.Second)
		}
		g.mu.Unlock()
	}
	if s := g.state.Load(); s != nil && s.Full() {
		return fmt.Errorf("%w (%d of %d bytes used)", ErrFull, s.Used, s.Max)
	}
	if g.room.Load() != unlimited {
		g.room.Add(-int64(items*1024 + payload))
	}
	return nil
}

// look keeps what it knew when the server does not answer: the enqueue itself
// will say what is wrong. In a cluster the fullest primary counts.
func (g *MemoryGuard) look(ctx context.Context) {
	s, err := ReadState(ctx, g.rdb)
	if err == nil {
		g.state.Store(&s)
	}
	g.room.Store(unlimited)
	if s.Max > 0 {
		g.room.Store(max(s.Room()/2, 0)) // others may be filling Redis too
	}
}
