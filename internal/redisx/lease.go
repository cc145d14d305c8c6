package redisx

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lease lets one process of a fleet do what must not be done by two. It is lost when it
// is not held again within its life, such as after a crash.
type Lease struct {
	Key, Owner string
	life       time.Duration
}

// NewLease does not talk to Redis.
func NewLease(key string, life time.Duration) Lease {
	return Lease{Key: key, Owner: strconv.FormatUint(rand.Uint64(), 16), life: life}
}

// leaseScript returns 1 for the process that holds the lease, and prolongs it.
var leaseScript = NewScript(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

// Hold takes or prolongs the lease, and reports whether it is held.
func (l Lease) Hold(ctx context.Context, rdb redis.UniversalClient) (bool, error) {
	held, err := leaseScript.Run(ctx, rdb, []string{l.Key}, l.Owner, l.life.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("hold a lease: %w", err)
	}
	return held == 1, nil
}
