package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account   = "wx0123456789abcdef"
	bulkQueue = account + ":bulk"

	// The canaries: none may appear on any page.
	openid   = "oCANARYx7Qk_4-pLmNb0TzYw8dEf"
	openid2  = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"
	phone    = "13812345678"
	nickname = "司马相如"
	token    = "88_CANARYtokenCANARYtokenCANARYtokenCANARYtokenCANARYtokenCANARYtokenCANARYtokenCANARY"
	userID   = "customer-990017"
	linkPath = "orders/private-7781"
	amount   = "4711.25"
)

func canaries() []string {
	return []string{openid, openid2, phone, nickname, token, userID, linkPath, amount, "138 1234 5678"}
}

// leaks names the canaries in text, JSON escapes undone.
func leaks(text string) []string {
	var found []string
	for _, c := range canaries() {
		escaped, _ := json.Marshal(c)
		if strings.Contains(text, c) || strings.Contains(text, strings.Trim(string(escaped), `"`)) {
			found = append(found, c)
		}
	}
	return found
}

func payload(tb testing.TB, id string) []byte {
	tb.Helper()
	body, err := json.Marshal(map[string]any{
		"touser": openid, "template_id": "TEMPLATE_ORDER_PAID_0001", "url": "https://shop.example.com/" + linkPath + "?t=" + phone,
		"miniprogram": map[string]string{"appid": "wxfedcba9876543210", "pagepath": "pages/" + linkPath},
		"data": map[string]any{
			"thing1": map[string]string{"value": nickname}, "phone_number2": map[string]string{"value": phone},
			"amount3": map[string]string{"value": amount},
		},
	})
	must(tb, err)
	data, err := job.Encode(job.Envelope{
		ID: id, Class: job.Bulk, To: openid, User: "", Template: "TEMPLATE_ORDER_PAID_0001",
		QueuedAt: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), Body: body,
	})
	must(tb, err)
	return data
}

// story is a Redis with tasks in all seven states of one queue.
type story struct {
	redis   *redistest.Server
	rdb     *redis.Client
	inspect *asynq.Inspector
}

func lastError() error {
	return errors.New(`send to ` + openid2 + ` (call 138 1234 5678 or ` + phone + `): POST /cgi-bin/message/template/send?access_token=` +
		token + `&x=1: {"errcode":40003,"errmsg":"invalid openid ` + openid2 + `"}`)
}

// states fills the queue by a real asynq server, so that every field is asynq's own.
func states(t *testing.T, rdb *redis.Client) *asynq.Inspector {
	t.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	inspect := asynq.NewInspectorFromRedisClient(rdb)
	put := func(id string, opts ...asynq.Option) {
		opts = append([]asynq.Option{asynq.Queue(bulkQueue), asynq.TaskID(id), asynq.MaxRetry(1 << 20)}, opts...)
		if _, err := client.Enqueue(asynq.NewTask(job.TaskType, payload(t, id)), opts...); err != nil {
			t.Fatal(err)
		}
	}
	release := make(chan struct{})
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Queues: map[string]int{bulkQueue: 1}, Concurrency: 8, LogLevel: asynq.FatalLevel,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	handler := asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		switch id := task.ResultWriter().TaskID(); {
		case strings.HasPrefix(id, "active"):
			<-release
			return nil
		case strings.HasPrefix(id, "retry"):
			return lastError()
		case strings.HasPrefix(id, "archived"):
			return errors.Join(lastError(), asynq.SkipRetry)
		default:
			_, err := task.ResultWriter().Write([]byte(`{"openid":"` + openid + `","note":"` + nickname + `"}`))
			return err
		}
	})
	put("active-1-paid")
	put("retry-" + openid)
	put("archived-1-paid")
	put("completed-1-paid", asynq.Retention(time.Hour))
	must(t, server.Start(handler))
	t.Cleanup(func() {
		close(release)
		server.Shutdown()
	})
	testutil.Until(t, "the tasks are in their states", func() bool {
		q, err := inspect.GetQueueInfo(bulkQueue)
		if err != nil || q.Active != 1 || q.Retry != 1 || q.Archived != 1 || q.Completed != 1 {
			return false
		}
		servers, err := inspect.Servers() // the heartbeat writes who works on what
		return err == nil && len(servers) == 1 && len(servers[0].ActiveWorkers) == 1
	})
	must(t, inspect.PauseQueue(bulkQueue))
	put("pending-1-paid")
	put("scheduled-1-paid", asynq.ProcessIn(time.Hour))
	put("aggregating-1-paid", asynq.Group("group-1"))
	return inspect
}

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{redis: redistest.Start(t)}
	s.rdb = s.redis.Client(t)
	s.inspect = states(t, s.rdb)
	return s
}

// bundle is a listener on a Redis.
type bundle struct {
	url     string
	handler *ops.Handler
	client  *http.Client
}

func serve(t *testing.T, rdb redis.UniversalClient, change func(*ops.Config)) *bundle {
	t.Helper()
	cfg := ops.Config{Redis: rdb, Addr: "127.0.0.1:9090", Accounts: []string{account}}
	if change != nil {
		change(&cfg)
	}
	handler, err := ops.New(cfg)
	must(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &bundle{url: server.URL, handler: handler, client: server.Client()}
}

type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; header is name, value, and so on.
func (b *bundle) ask(t *testing.T, method, path, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	must(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return reply{resp.StatusCode, resp.Header, string(text)}
}

func (b *bundle) get(t *testing.T, path string, header ...string) reply {
	t.Helper()
	return b.ask(t, http.MethodGet, path, "", header...)
}

// backlog is a Redis with pending tasks, without a server.
func backlog(t *testing.T, ids ...string) (*redis.Client, *asynq.Inspector) {
	t.Helper()
	rdb := redistest.Start(t).Client(t)
	client := asynq.NewClientFromRedisClient(rdb)
	for _, id := range ids {
		if _, err := client.Enqueue(asynq.NewTask(job.TaskType, payload(t, id)), asynq.Queue(bulkQueue), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
	}
	return rdb, asynq.NewInspectorFromRedisClient(rdb)
}

// fill adds n entries without data to a state, in scripts that end in time.
func fill(t *testing.T, rdb *redis.Client, name string, n int) {
	t.Helper()
	const script = `for i = ARGV[1], ARGV[2] do
	if ARGV[3] == "list" then redis.call("LPUSH", KEYS[1], "f" .. i) else redis.call("ZADD", KEYS[1], i, "f" .. i) end
	end return 1`
	const chunk = 50_000
	kind := "zset"
	if name == "pending" || name == "active" {
		kind = "list"
	}
	for i := 1; i <= n; i += chunk {
		if err := rdb.Eval(t.Context(), script, []string{"asynq:{" + bulkQueue + "}:" + name}, i, min(i+chunk-1, n), kind).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
