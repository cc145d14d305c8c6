package redistest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestStrictClientRefusesWhatIsNotDeclaredOrDocumented(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Strict(t)
	keys := []string{"wxn:{a}:one", "wxn:{a}:two"}
	for text, refused := range map[string]string{
		"redis.call('TIME') redis.call('PUBLISH', 'wxn:c', 'x') return redis.call('DEL', KEYS[1], KEYS[2])": "",
		"return redis.call('SET', KEYS[1], 'x')":                                                            "",
		"return redis.call('SET', KEYS[1] .. 'x', 'x')":                                                     "undeclared key wxn:{a}:onex",
		"return redis.call('del', KEYS[1], ARGV[1])":                                                        "undeclared key wxn:{a}:arg",
		"return redis.pcall('MEMORY', 'USAGE', ARGV[1])":                                                    "undeclared key wxn:{a}:arg",
		"local k = KEYS[1] return redis.call('RPOPLPUSH', k, 'z')":                                          "undeclared key z",
		"\nreturn redis.call('GET', ARGV[1]) -- asynq":                                                      "",
		"return redis.call('FLUSHALL')":                                                                     "undeclared",
		"return redis.call('ZRANGESTORE', KEYS[1], KEYS[2], 0, -1)":                                         "run",
		"return redis.call('PUBLISH', 'other', 'x')":                                                        "channel",
		"local r = redis return r.call('GET', KEYS[2] .. 'x') or '-'":                                       "undeclared key wxn:{a}:twox",
	} {
		err := redis.NewScript(text).Run(t.Context(), rdb, keys, "wxn:{a}:arg").Err()
		if refused == "" && err != nil && !errors.Is(err, redis.Nil) || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
			t.Errorf("%s: error = %v, want %q", text, err, refused)
		}
	}
	if err := rdb.Set(t.Context(), "another", "x", 0).Err(); err == nil {
		t.Error("a key beyond wxn: and asynq: was written")
	}
	if err := rdb.FlushAll(t.Context()).Err(); err == nil {
		t.Error("FLUSHALL was allowed")
	}
}
