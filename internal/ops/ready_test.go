package ops_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// Who is not logged in learns neither appid nor cause.
func TestReadinessNamesAccountsToAdminsOnly(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, "--appendonly", "yes").Client(t)
	b := serve(t, rdb, func(c *ops.Config) {
		c.Addr = ":9090"
		c.Logins = []ops.Login{{Name: "li", Password: wechat.NewSecret("right")}}
		c.Checks = []ops.Check{
			{Name: "redis", Run: func(context.Context) error { return nil }},
			{Name: "token", Account: account, Run: func(context.Context) error { return nil }},
			{Name: "token", Account: "wxfedcba9876543210", Run: func(context.Context) error { return errors.New("cause " + openid) }},
			{Name: "token", Account: "wx3", Run: func(context.Context) error { return nil }},
		}
	})
	const rest = "clock: ok\npersistence: ok\neviction: ok\nmemory: ok\nnot ready\n"
	if r := b.get(t, "/readyz"); r.status != http.StatusServiceUnavailable || r.body != "redis: ok\ntoken: failed\n"+rest {
		t.Errorf("a stranger reads %d %q", r.status, r.body)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	req.SetBasicAuth("li", "right")
	want := "redis: ok\ntoken " + account + ": ok\ntoken wxfedcba9876543210: failed: cause oCAN…Ef\ntoken wx3: ok\n" + rest
	if r := b.get(t, "/readyz", "Authorization", req.Header.Get("Authorization")); r.body != want {
		t.Errorf("an admin reads %q", r.body)
	}
}

// offClock is a hook by which INFO answers as of a Redis whose clock is ahead.
func offClock(ahead time.Duration) redis.Hook {
	const field = "server_time_usec:"
	return infoHook(func(info string) string {
		before, rest, found := strings.Cut(info, field)
		now, after, _ := strings.Cut(rest, "\r\n")
		at, err := strconv.ParseInt(now, 10, 64)
		if !found || err != nil {
			return info
		}
		return before + field + strconv.FormatInt(at+ahead.Microseconds(), 10) + "\r\n" + after
	})
}

// A wrong clock, a Redis without persistence and one that evicts are told by /readyz.
// Only the clock, which stops the workers, fails.
func TestClockAndPersistenceAreTold(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		explanation string
		ahead       time.Duration
		config      [2]string
		status      int
		ready       string
	}{
		{
			"Redis' clock is ahead", 10 * time.Minute,
			[2]string{"appendonly", "yes"},
			http.StatusServiceUnavailable,
			"clock: failed: Clock of this machine is 10m0s behind Redis'",
		},
		{
			"Redis' clock is behind", -time.Minute,
			[2]string{"appendonly", "yes"},
			http.StatusServiceUnavailable,
			"clock: failed: Clock of this machine is 1m0s ahead of Redis'",
		},
		{"a small difference", 5 * time.Second, [2]string{"appendonly", "yes"}, http.StatusOK, "clock: ok"},
		{
			"no append-only file", 0,
			[2]string{"appendonly", "no"},
			http.StatusOK,
			"persistence: warning: Redis forgets queues",
		},
		{
			"eviction", 0,
			[2]string{"maxmemory-policy", "allkeys-lru"},
			http.StatusOK,
			"eviction: warning: Redis may evict data",
		},
	} {
		rdb := redistest.Start(t).Client(t)
		rdb.AddHook(offClock(row.ahead))
		must(t, rdb.ConfigSet(t.Context(), row.config[0], row.config[1]).Err())
		b := serve(t, rdb, nil)
		if r := b.get(t, "/readyz"); r.status != row.status || !strings.Contains(r.body, row.ready) {
			t.Errorf("%s: %d %s, want %q", row.explanation, r.status, r.body, row.ready)
		}
	}
}

// A write to disk that failed is told with Redis' own words.
func TestFailedWriteToDiskIsTold(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, "--appendonly", "yes").Client(t)
	rdb.AddHook(infoHook(func(info string) string {
		return strings.Replace(info, "rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err", 1)
	}))
	b := serve(t, rdb, nil)
	if r := b.get(t, "/readyz"); r.status != http.StatusOK || !strings.Contains(r.body, "persistence: warning: Redis could not write to its disk") ||
		!strings.Contains(r.body, "rdb_last_bgsave_status:err") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// infoHook changes what INFO answers.
type infoHook func(info string) string

func (infoHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (infoHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (change infoHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if text, ok := cmd.(*redis.StringCmd); ok && cmd.Name() == "info" {
			text.SetVal(change(text.Val()))
		}
		return err
	}
}

// A Redis that does not answer makes the state unknown, not good.
func TestReadinessOfAnUnreachableRedis(t *testing.T) {
	t.Parallel()
	b := serve(t, unreachable(t), func(c *ops.Config) {
		c.Checks = []ops.Check{{Name: "redis", Run: func(context.Context) error { return errors.New("down") }}}
	})
	if r := b.get(t, "/readyz"); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "clock: not known\npersistence: not known\n") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
