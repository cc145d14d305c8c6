// Package redistest starts Redis for tests: a real redis-server, a cluster, or
// miniredis, which also works in a testing/synctest bubble. It disables the log of
// go-redis: lost connections are part of the tests, and their errors are returned.
package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// Each runs body in parallel subtests, once for each kind of Redis: miniredis, a
// redis-server, and a cluster of one node. It is for what must behave the same on
// all of them, such as scripts. Time is real.
func Each(t *testing.T, body func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	for name, start := range map[string]func(testing.TB) redis.UniversalClient{
		"miniredis":    func(tb testing.TB) redis.UniversalClient { tb.Helper(); _, rdb := Mini(tb); return rdb },
		"redis-server": func(tb testing.TB) redis.UniversalClient { tb.Helper(); return Start(tb).Client(tb) },
		"cluster":      func(tb testing.TB) redis.UniversalClient { tb.Helper(); return Cluster(tb) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body(t, start(t))
		})
	}
}
