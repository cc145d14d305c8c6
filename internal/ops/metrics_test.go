package ops_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// series reads name{labels} value lines.
func series(t *testing.T, body string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndex(line, " ")
		v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out[line[:i]] = v
	}
	return out
}

func TestMetricsAgreeWithAsynq(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	got := series(t, serve(t, s.rdb, nil).get(t, "/metrics").body)
	info, err := s.inspect.GetQueueInfo(bulkQueue)
	must(t, err)
	q := `{queue="` + bulkQueue + `"}`
	want := map[string]float64{
		"asynq_queue_size" + q:             float64(info.Size - info.Aggregating),
		"asynq_queue_paused_total" + q:     1,
		"asynq_tasks_processed_total" + q:  float64(info.ProcessedTotal),
		"asynq_tasks_failed_total" + q:     float64(info.FailedTotal),
		"wxnotify_queue_readable" + q:      1,
		`wxnotify_scrape_ok{part="redis"}`: 1,
	}
	for state, n := range map[string]int{
		"active": info.Active, "pending": info.Pending, "scheduled": info.Scheduled, "retry": info.Retry, "archived": info.Archived, "completed": info.Completed,
	} {
		want[`asynq_tasks_enqueued_total{queue="`+bulkQueue+`",state="`+state+`"}`] = float64(n)
		if n != 1 {
			t.Errorf("asynq counts %d %s", n, state)
		}
	}
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v (present: %v), want %v", name, g, ok, v)
		}
	}
	latency := got["asynq_queue_latency_seconds"+q]
	if latency <= 0 || latency > info.Latency.Seconds()+1 {
		t.Errorf("latency %v, asynq says %v", latency, info.Latency)
	}
}

// spy counts commands and round trips.
type spy struct {
	mu       sync.Mutex
	commands []string
	trips    int
}

func (s *spy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.saw(cmd)
		return next(ctx, cmd)
	}
}

func (s *spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.saw(cmds...)
		return next(ctx, cmds)
	}
}

// saw leaves out what a new connection says by way of greeting.
func (s *spy) saw(cmds ...redis.Cmder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := false
	for _, c := range cmds {
		if name := c.Name(); name != "hello" && name != "client" {
			s.commands, asked = append(s.commands, name), true
		}
	}
	if asked {
		s.trips++
	}
}

func TestQue07ScrapeIsCheap(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	measure := func() (commands, trips int) {
		s := &spy{}
		scraped := redis.NewClient(rdb.Options())
		defer func() { _ = scraped.Close() }()
		scraped.AddHook(s)
		b := serve(t, scraped, nil)
		for range 20 { // within freshFor all but the first are free
			if r := b.get(t, "/metrics"); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		return len(s.commands), s.trips
	}
	before, _ := measure()
	fill(t, rdb, "pending", 1_000_000)
	for _, name := range []string{"scheduled", "retry", "archived", "completed"} {
		fill(t, rdb, name, 100_000)
	}
	groups := `for i = 1, 20000 do redis.call("SADD", KEYS[1], "g" .. i); redis.call("ZADD", KEYS[2] .. i, i, "x") end`
	if err := rdb.Eval(t.Context(), groups, []string{"asynq:{" + bulkQueue + "}:groups", "asynq:{" + bulkQueue + "}:g:g"}).Err(); err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	for _, kv := range [][]any{{"slowlog-log-slower-than", "5000"}} { // µs: half of what the case allows to be added
		must(t, rdb.ConfigSet(t.Context(), kv[0].(string), kv[1].(string)).Err())
	}
	must(t, rdb.Do(t.Context(), "SLOWLOG", "RESET").Err())
	after, trips := measure()
	// The names, the queue's script and pause record, the sample of its tasks, the memory,
	// the registry of the account's workers.
	if bound := 6; after > bound || trips > 5 {
		t.Errorf("a scrape of a million tasks and 20 000 groups costs %d commands in %d trips (%d before), want at most %d in 5", after, trips, before, bound)
	}
	if n, err := rdb.Do(t.Context(), "SLOWLOG", "LEN").Int(); err != nil || n != 0 {
		slow, _ := rdb.SlowLogGet(t.Context(), 10).Result()
		t.Errorf("%d commands took over 5 ms: %v %v", n, slow, err)
	}
	t.Logf("one scrape: %d commands in %d trips, whatever is in the queue", after, trips)
}

func TestQue07OneBadQueueDoesNotDropTheScrape(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	bad := account + ":critical"
	must(t, rdb.SAdd(t.Context(), "asynq:queues", bad, "not-utf8-\xff").Err())
	if err := rdb.Set(t.Context(), "asynq:{"+bad+"}:pending", "not a list", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b := serve(t, rdb, func(c *ops.Config) {
		c.Gate = func(context.Context, string) (ratelimit.State, error) {
			return ratelimit.State{}, errors.New("gate down " + openid)
		}
	})
	r := b.get(t, "/metrics")
	got := series(t, r.body)
	for name, want := range map[string]float64{
		`asynq_queue_size{queue="` + bulkQueue + `"}`:            1,
		`wxnotify_queue_readable{queue="` + bulkQueue + `"}`:     1,
		`wxnotify_queue_readable{queue="` + bad + `"}`:           0,
		`wxnotify_scrape_ok{part="queues"}`:                      1,
		`wxnotify_scrape_ok{part="gate ` + account + `"}`:        0,
		`asynq_tasks_processed_total{queue="` + bulkQueue + `"}`: 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (present: %v), want %v", name, v, ok, want)
		}
	}
}

func TestMetricsOfTheGate(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	b := serve(t, rdb, func(c *ops.Config) { c.Gate = closedGate })
	got := series(t, b.get(t, "/metrics").body)
	a := `account="` + account + `"`
	for name, want := range map[string]float64{
		"wxnotify_quota_used{" + a + "}": 98000, "wxnotify_quota_cap{" + a + "}": 100000, "wxnotify_quota_left{" + a + "}": 2000,
		"wxnotify_quota_reserve{" + a + "}": 2000, "wxnotify_rate_limit{" + a + "}": 50,
		"wxnotify_gate_closed{" + a + `,reason="quota"}`: 1, "wxnotify_gate_closed{" + a + `,reason="manual"}`: 0,
		"wxnotify_gate_reopens_timestamp_seconds{" + a + `,reason="quota"}`: float64(time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC).Unix()),
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (present: %v), want %v", name, v, ok, want)
		}
	}
}

func TestMetricsOfTheProgram(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	reg := prometheus.NewRegistry()
	m, err := ops.NewMetrics(reg)
	must(t, err)
	if _, err := ops.NewMetrics(reg); err == nil {
		t.Error("registered twice without a word")
	}
	for _, code := range []string{ops.SentOK, "40003", "-1", ops.SentUnknown, ops.SentNowhere, openid, "invalid openid " + openid} {
		m.ObserveSend(account, job.Bulk, code, 40*time.Millisecond, "")
	}
	for _, class := range []job.Class{job.Bulk, openid} {
		m.ObserveAge(account, class, 40*time.Millisecond, "")
	}
	m.ObserveGateWait(account, 5*time.Millisecond)
	m.ObserveEnd(account, job.Bulk, ledger.Rejected, 43004)
	m.ObserveEnd(account, job.Bulk, "odd", 987654)
	expires := time.Unix(1_800_000_000, 0)
	m.ObserveTokenFetch(account, "due", expires, 30*time.Millisecond)
	m.ObserveTokenFetch(account, "refused", time.Time{}, time.Second)
	r := serve(t, rdb, func(c *ops.Config) { c.Registry = reg }).get(t, "/metrics")
	got := map[string]float64{}
	for name, v := range series(t, r.body) {
		if strings.HasPrefix(name, "wxnotify_sends") || strings.HasPrefix(name, "wxnotify_m") || strings.HasPrefix(name, "wxnotify_l") ||
			strings.HasPrefix(name, "wxnotify_token_fetches") || strings.HasPrefix(name, "wxnotify_token_expires") || strings.HasSuffix(name, `le="0.05"}`) {
			got[strings.ReplaceAll(name, `account="`+account+`"`, "A")] = v
		}
	}
	want := map[string]float64{
		`wxnotify_sends_total{A,class="bulk",errcode="0"}`: 1, `wxnotify_sends_total{A,class="bulk",errcode="40003"}`: 1,
		`wxnotify_sends_total{A,class="bulk",errcode="-1"}`: 1, `wxnotify_sends_total{A,class="bulk",errcode="unknown"}`: 1,
		`wxnotify_sends_total{A,class="bulk",errcode="not-sent"}`: 1, `wxnotify_sends_total{A,class="bulk",errcode="other"}`: 2,
		`wxnotify_queue_age_seconds_bucket{A,class="bulk",le="0.05"}`: 1, `wxnotify_gate_wait_seconds_bucket{A,le="0.05"}`: 1,
		`wxnotify_token_fetch_seconds_bucket{A,le="0.05"}`:       1,
		`wxnotify_send_seconds_bucket{A,class="bulk",le="0.05"}`: 7, `wxnotify_messages_ended_total{A,class="bulk",errcode="43004",state="rejected"}`: 1,
		`wxnotify_messages_ended_total{A,class="bulk",errcode="other",state="other"}`: 1,
		`wxnotify_token_fetches_total{A,cause="due",result="ok"}`:                     1,
		`wxnotify_token_fetches_total{A,cause="refused",result="failed"}`:             1, `wxnotify_token_expires_timestamp_seconds{A}`: 1_800_000_000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if leaks(r.body) != nil {
		t.Error("a metric names a person")
	}
}

// A Redis that does not answer costs a scrape two seconds, not the scrape.
func TestScrapeOfASilentRedis(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	rdb := redis.NewClient(&redis.Options{Addr: ln.Addr().String(), ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	b := serve(t, rdb, func(c *ops.Config) {
		c.Checks = []ops.Check{
			{Name: "redis", Run: func(ctx context.Context) error { return rdb.Ping(ctx).Err() }},
			{Name: "deaf", Run: func(context.Context) error { <-t.Context().Done(); return nil }},
		}
	})
	start := time.Now()
	got := series(t, b.get(t, "/metrics").body)
	if got[`wxnotify_scrape_ok{part="queues"}`] != 0 || len(got) == 0 || time.Since(start) > time.Minute {
		t.Errorf("%v after %s", got, time.Since(start))
	}
	if r := b.get(t, "/readyz"); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "deaf: failed: no answer in 2s") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := b.get(t, "/healthz"); r.status != http.StatusOK || r.body != "ok\n" {
		t.Errorf("healthz: %d %q", r.status, r.body)
	}
}

func TestReadyzRemembersForASecond(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	var mu sync.Mutex
	asked := 0
	b := serve(t, rdb, func(c *ops.Config) {
		c.Checks = []ops.Check{{Name: "redis", Run: func(context.Context) error { mu.Lock(); asked++; mu.Unlock(); return nil }}}
	})
	start := time.Now()
	for range 50 {
		if r := b.get(t, "/readyz"); r.status != http.StatusOK || !strings.HasPrefix(r.body, "redis: ok\nclock: ok\n") {
			t.Fatalf("%d %q", r.status, r.body)
		}
	}
	if most := int(time.Since(start)/time.Second) + 1; asked > most {
		t.Errorf("asked %d times in %s", asked, time.Since(start))
	}
}

// Redis' own bounds, read from a real server.
func TestMetricsOfRedisMemory(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, "--maxmemory", "64mb").Client(t)
	must(t, rdb.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	b := serve(t, rdb, nil)
	got := series(t, b.get(t, "/metrics").body)
	if got["wxnotify_redis_memory_max_bytes"] != 64<<20 || got["wxnotify_redis_memory_used_bytes"] == 0 {
		t.Errorf("%v", got)
	}
}

func ExampleMetrics() {
	reg := prometheus.NewRegistry()
	m, err := ops.NewMetrics(reg)
	if err != nil {
		fmt.Println(err)
		return
	}
	m.ObserveSend("wx0123456789abcdef", job.Critical, ops.SentOK, 52*time.Millisecond, "")
	families, err := reg.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range families {
		fmt.Println(f.GetName())
	}
	// Output:
	// wxnotify_config_last_reload_successful
	// wxnotify_send_seconds
	// wxnotify_sends_total
}
