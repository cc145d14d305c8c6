package redistest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestEachRunsAScriptOnEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		set := redis.NewScript(`redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])`)
		if got, err := set.Run(t.Context(), rdb, []string{"{a}:key"}, "value").Text(); err != nil || got != "value" {
			t.Errorf("script returned %q, %v", got, err)
		}
	})
}

func TestMiniExpiresKeysInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		rdb.Set(t.Context(), "key", "value", time.Hour)
		time.Sleep(59 * time.Minute) // virtual
		if got := rdb.Exists(t.Context(), "key").Val(); got != 1 {
			t.Error("the key expired early")
		}
		time.Sleep(2 * time.Minute) // virtual
		if got := rdb.Exists(t.Context(), "key").Val(); got != 0 {
			t.Error("the key outlived its TTL")
		}
	})
}

// Without a write buffer the client and the server block each other.
func TestMiniAnswersALongPipeline(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	commands, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for range 10_000 {
			p.Set(t.Context(), "key", "value", 0)
		}
		return nil
	})
	if err != nil || len(commands) != 10_000 {
		t.Errorf("%d replies, %v", len(commands), err)
	}
}

func TestServerKeepsItsDataOnlyWithAOF(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want int64
	}{"memory": {nil, 0}, "append-only file": {redistest.AOF(), 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, c.args...)
			if err := s.Client(t).Set(t.Context(), "key", "value", 0).Err(); err != nil {
				t.Fatal(err)
			}
			s.Restart(t)
			if got := s.Client(t).Exists(t.Context(), "key").Val(); got != c.want {
				t.Errorf("after a restart %d keys, want %d", got, c.want)
			}
		})
	}
}
