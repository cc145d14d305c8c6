package ops_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// backlog is a Redis with pending tasks, without a server.
func backlog(t *testing.T, ids ...string) (*redis.Client, *asynq.Inspector) {
	t.Helper()
	rdb := redistest.Start(t).Client(t)
	client := asynq.NewClientFromRedisClient(rdb)
	for _, id := range ids {
		if _, err := client.Enqueue(asynq.NewTask(job.TaskType, payload(t, id)), asynq.Queue(queue), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
	}
	return rdb, asynq.NewInspectorFromRedisClient(rdb)
}

func TestQue09CrossSiteChangeIsRefused(t *testing.T) {
	t.Parallel()
	rdb, inspect := backlog(t, "one")
	b := serve(t, rdb, func(c *ops.Config) { c.Hosts = []string{"ops.example.com"} })
	host := strings.TrimPrefix(b.url, "http://")
	table := []struct {
		explanation string
		header      []string
		status      int
	}{
		{"a form of another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"an old browser's form of another site", []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"a sandboxed frame", []string{"Origin", "null"}, http.StatusForbidden},
		{"another port of this machine", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, http.StatusForbidden},
		{"a referer of another site", []string{"Referer", "https://evil.example/" + host}, http.StatusForbidden},
		{"a name that begins like ours", []string{"Origin", b.url + ".evil.example"}, http.StatusForbidden},
		{"ours in the user part", []string{"Origin", "http://" + host + "@evil.example"}, http.StatusForbidden},
		{"nothing proves anything", nil, http.StatusForbidden},
		{"typed into the address bar", []string{"Sec-Fetch-Site", "none"}, http.StatusForbidden},
		{"the browser says ours, the origin does not", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"not http", []string{"Origin", "file://" + host}, http.StatusForbidden},
		{"our page, a new browser", []string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{"our page, an old browser", []string{"Origin", b.url}, http.StatusOK},
		{"our page, a very old browser", []string{"Referer", b.url + "/asynqmon/"}, http.StatusOK},
		{"our page through the proxy", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://ops.example.com"}, http.StatusOK},
		{"rebound name", []string{"Host", "evil.example", "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example"}, http.StatusMisdirectedRequest},
	}
	for _, row := range table {
		r := b.ask(t, http.MethodDelete, "/asynqmon/api/queues/"+queue+"/completed_tasks:delete_all", "", row.header...)
		if r.status != row.status {
			t.Errorf("%s: %d %s, want %d", row.explanation, r.status, r.body, row.status)
		}
		if r := b.ask(t, http.MethodDelete, "/asynqmon/api/queues/"+queue+"/pending_tasks:delete_all", "", row.header...); row.status != http.StatusOK && r.status != row.status {
			t.Errorf("%s, pending: %d", row.explanation, r.status)
		}
		if row.status == http.StatusForbidden {
			if q, err := inspect.GetQueueInfo(queue); err != nil || q.Pending != 1 {
				t.Fatalf("%s: the task is gone: %v", row.explanation, err)
			}
		}
	}
}

// Every route of asynqmon that changes something goes through the guard.
func TestQue09EveryChangeIsGuarded(t *testing.T) {
	t.Parallel()
	rdb, inspect := backlog(t, "one")
	b := serve(t, rdb, nil)
	readOnly := serve(t, rdb, func(c *ops.Config) { c.ReadOnly = true })
	var routes []string
	q := "/queues/" + queue
	for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed", "groups/g/aggregating"} {
		tasks := q + "/" + state + "_tasks"
		routes = append(routes, "DELETE "+tasks+"/one", "DELETE "+tasks+":delete_all", "POST "+tasks+":batch_delete",
			"POST "+tasks+"/one:run", "POST "+tasks+":run_all", "POST "+tasks+":batch_run",
			"POST "+tasks+"/one:archive", "POST "+tasks+":archive_all", "POST "+tasks+":batch_archive",
			"POST "+tasks+"/one:cancel", "POST "+tasks+":cancel_all", "POST "+tasks+":batch_cancel")
	}
	routes = append(routes, "DELETE "+q, "POST "+q+":pause", "POST "+q+":resume", "PUT "+q, "PATCH "+q+":pause", "OPTIONS "+q, "POST /nothing", "TRACE "+q+":pause")
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		body := `{"task_ids":["one"]}`
		if r := b.ask(t, method, "/asynqmon/api"+path, body, "Origin", "https://evil.example"); r.status != http.StatusForbidden {
			t.Errorf("%s from elsewhere: %d %s", route, r.status, r.body)
		}
		if r := readOnly.change(t, method, path, body); r.status != http.StatusMethodNotAllowed || !strings.Contains(r.body, "read-only") {
			t.Errorf("%s on a read-only listener: %d %s", route, r.status, r.body)
		}
	}
	if info, err := inspect.GetQueueInfo(queue); err != nil || info.Pending != 1 || info.Paused {
		t.Errorf("something changed: %+v %v", info, err)
	}
	if r := readOnly.get(t, "/asynqmon/api/queues"); r.status != http.StatusOK {
		t.Errorf("a read-only listener does not read: %d", r.status)
	}
	for _, route := range []string{"PUT " + q, "POST /nothing", "POST " + q, "DELETE " + q + ":pause", "POST " + q + "/pending_tasks/one", "POST " + q + "/pending_tasks/one:archive_all"} {
		method, path, _ := strings.Cut(route, " ")
		if r := b.change(t, method, path, ""); r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", route, r.status, r.body)
		}
	}
}

// fill makes entries without data: their number alone is what the guard looks at.
func fill(t *testing.T, rdb *redis.Client, name string, n int) {
	t.Helper()
	script := `for i = 1, ARGV[1] do if ARGV[2] == "list" then redis.call("LPUSH", KEYS[1], "f" .. i) else redis.call("ZADD", KEYS[1], i, "f" .. i) end end return 1`
	kind := "zset"
	if name == "pending" || name == "active" {
		kind = "list"
	}
	if err := rdb.Eval(t.Context(), script, []string{"asynq:{" + queue + "}:" + name}, n, kind).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestBulkActionsAreBounded(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	b := serve(t, rdb, nil)
	for name, n := range map[string]int{"pending": 10_000, "retry": 10_000, "scheduled": 10_001, "archived": 9_998, "completed": 10_000, "g:big": 10_001, "g:small": 2} {
		fill(t, rdb, name, n)
	}
	q := "/queues/" + queue
	list := func(n int) string { return `{"task_ids":["x"` + strings.Repeat(`,"x"`, n-1) + `]}` }
	table := []struct {
		explanation, method, path, body string
		status                          int
		says                            string
	}{
		{"archive all of pending", "POST", q + "/pending_tasks:archive_all", "", http.StatusForbidden, "archiving all"},
		{"archive all of scheduled", "POST", q + "/scheduled_tasks:archive_all", "", http.StatusForbidden, "archiving all"},
		{"archive all of retry", "POST", q + "/retry_tasks:archive_all", "", http.StatusForbidden, "archiving all"},
		{"archive all of a group", "POST", q + "/groups/small/aggregating_tasks:archive_all", "", http.StatusForbidden, "archiving all"},
		{"delete 10 001 pending", "DELETE", q + "/pending_tasks:delete_all", "", http.StatusForbidden, "10001 tasks at once"},
		{"run 10 001 scheduled", "POST", q + "/scheduled_tasks:run_all", "", http.StatusForbidden, "10001 tasks at once"},
		{"delete 10 001 of a group", "DELETE", q + "/groups/big/aggregating_tasks:delete_all", "", http.StatusForbidden, "10001 tasks at once"},
		{"run 2 of a group", "POST", q + "/groups/small/aggregating_tasks:run_all", "", http.StatusOK, `"scheduled"`},
		{"delete 10 000 completed", "DELETE", q + "/completed_tasks:delete_all", "", http.StatusOK, `"deleted":10000`},
		{"a batch of 10 001", "POST", q + "/pending_tasks:batch_delete", list(10_001), http.StatusForbidden, "10001 tasks at once"},
		{"a batch that is none", "POST", q + "/pending_tasks:batch_delete", "nonsense", http.StatusBadRequest, "task_ids"},
		{"a batch over 1 MB", "POST", q + "/pending_tasks:batch_delete", `{"task_ids":["` + strings.Repeat("x", 1_000_001) + `"]}`, http.StatusRequestEntityTooLarge, "longer"},
		{"archive one into a full archive", "POST", q + "/pending_tasks/one:archive", "", http.StatusForbidden, "9998 tasks are archived"},
		{"archive two into a full archive", "POST", q + "/pending_tasks:batch_archive", `{"task_ids":["one","two"]}`, http.StatusForbidden, "9998 tasks are archived"},
		{"an ID with a slash", "DELETE", q + "/pending_tasks/a%2Fb", "", http.StatusMethodNotAllowed, "no such action"},
	}
	for _, row := range table {
		r := b.change(t, row.method, row.path, row.body)
		if r.status != row.status || !strings.Contains(r.body, row.says) {
			t.Errorf("%s: %d %.300s, want %d and %q", row.explanation, r.status, r.body, row.status, row.says)
		}
		if e := b.lastAudit(); e.Status != row.status || e.Who != "loopback" {
			t.Errorf("%s: audit %+v", row.explanation, e)
		}
	}
}

func TestSingleActionsPass(t *testing.T) {
	t.Parallel()
	rdb, inspect := backlog(t, "one", "two", "three", "a?b#c")
	b := serve(t, rdb, nil)
	q := "/queues/" + queue
	for _, row := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", q + "/pending_tasks/one:archive", "", http.StatusNoContent},
		{"POST", q + "/archived_tasks/one:run", "", http.StatusNoContent},
		{"DELETE", q + "/pending_tasks/one", "", http.StatusNoContent},
		{"POST", q + "/pending_tasks:batch_archive", `{"task_ids":["two"]}`, http.StatusOK},
		{"POST", q + "/archived_tasks:batch_run", `{"task_ids":["two"]}`, http.StatusOK},
		{"POST", q + "/active_tasks:batch_cancel", `{"task_ids":["two"]}`, http.StatusOK},
		{"POST", q + "/active_tasks/two:cancel", "", http.StatusNoContent},
		{"POST", q + "/active_tasks:cancel_all", "", http.StatusNoContent},
		{"DELETE", q + "/pending_tasks/a%3Fb%23c", "", http.StatusNoContent},
		{"DELETE", q, "", http.StatusBadRequest}, // not empty, says asynq
	} {
		if r := b.change(t, row.method, row.path, row.body); r.status != row.status {
			t.Errorf("%s %s: %d %s, want %d", row.method, row.path, r.status, r.body, row.status)
		}
	}
	if info, err := inspect.GetQueueInfo(queue); err != nil || info.Pending != 2 || info.Archived != 0 {
		t.Errorf("left: %+v %v", info, err)
	}
}

func TestPauseByAnAdminIsAHold(t *testing.T) {
	t.Parallel()
	rdb, inspect := backlog(t, "one")
	b := serve(t, rdb, nil)
	q := "/queues/" + queue
	paused := func() bool {
		info, err := inspect.GetQueueInfo(queue)
		return err == nil && info.Paused
	}
	if r := b.change(t, http.MethodPost, q+":pause", ""); r.status != http.StatusNoContent || !paused() {
		t.Fatalf("pause: %d %s", r.status, r.body)
	}
	// Paused already, by the program perhaps: now an admin holds it.
	if r := b.change(t, http.MethodPost, q+":pause", ""); r.status != http.StatusNoContent || !paused() {
		t.Errorf("pause again: %d %s", r.status, r.body)
	}
	if r := b.change(t, http.MethodPost, q+":resume", ""); r.status != http.StatusNoContent || paused() {
		t.Errorf("resume: %d %s", r.status, r.body)
	}
	if r := b.change(t, http.MethodPost, q+":resume", ""); r.status != http.StatusNoContent {
		t.Errorf("resume again: %d %s", r.status, r.body)
	}
	want := []string{"pause " + queue + " by loopback", "pause " + queue + " by loopback", "resume " + queue + " by loopback", "resume " + queue + " by loopback"}
	if got := b.told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if r := b.change(t, http.MethodPost, "/queues/no-such-queue:pause", ""); r.status != http.StatusNotFound || len(b.told()) != 4 {
		t.Errorf("pause of nothing: %d %s", r.status, r.body)
	}
	if n, err := rdb.Exists(t.Context(), "asynq:{no-such-queue}:paused").Result(); err != nil || n != 0 {
		t.Error("a key was made for a queue that is none")
	}
}

func TestHoldThatCannotBeRecordedIsNotMade(t *testing.T) {
	t.Parallel()
	rdb, inspect := backlog(t, "one")
	b := serve(t, rdb, func(c *ops.Config) {
		c.OnManualHold = func(context.Context, string, bool, string) error { return errors.New("redis: down, " + openid) }
	})
	r := b.change(t, http.MethodPost, "/queues/"+queue+":pause", "")
	if r.status != http.StatusBadGateway || !strings.Contains(r.body, "could not be recorded") || leaks(r.body) != nil {
		t.Errorf("%d %s", r.status, r.body)
	}
	if info, err := inspect.GetQueueInfo(queue); err != nil || info.Paused {
		t.Errorf("paused all the same: %v", err)
	}
}

func TestHoldIsTakenBackWhenRedisFails(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	if err := rdb.SAdd(t.Context(), "asynq:queues", queue).Err(); err != nil {
		t.Fatal(err)
	}
	var told []bool
	b := serve(t, rdb, func(c *ops.Config) {
		c.OnManualHold = func(_ context.Context, _ string, paused bool, _ string) error {
			told = append(told, paused)
			server.Kill()
			return nil
		}
	})
	if r := b.change(t, http.MethodPost, "/queues/"+queue+":pause", ""); r.status != http.StatusInternalServerError {
		t.Errorf("%d %s", r.status, r.body)
	}
	if !slices.Equal(told, []bool{true, false}) {
		t.Errorf("told %v, want the hold and its end", told)
	}
}

func TestLogins(t *testing.T) {
	t.Parallel()
	hash, err := ops.HashPassword(wechat.NewSecret("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	rdb, _ := backlog(t, "one")
	b := serve(t, rdb, func(c *ops.Config) {
		c.Addr = "0.0.0.0:9090"
		c.Logins = []ops.Login{{Name: "li", Password: wechat.NewSecret(hash)}, {Name: "wang", Password: wechat.NewSecret("pa:ss 密码")}}
		c.Checks = []ops.Check{{Name: "redis", Run: func(context.Context) error { return lastError() }}}
	})
	login := func(name, password string) []string {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		req.SetBasicAuth(name, password)
		return []string{"Authorization", req.Header.Get("Authorization")}
	}
	table := []struct {
		explanation, path string
		header            []string
		status            int
	}{
		{"the process is asked by anybody", "/healthz", nil, http.StatusOK},
		{"readiness is asked by anybody", "/readyz", nil, http.StatusServiceUnavailable},
		{"the page by nobody", "/", nil, http.StatusUnauthorized},
		{"the numbers by nobody", "/metrics", nil, http.StatusUnauthorized},
		{"the queues by nobody", "/asynqmon/", nil, http.StatusUnauthorized},
		{"the queues' data by nobody", "/asynqmon/api/queues", nil, http.StatusUnauthorized},
		{"what does not exist by nobody", "/nothing", nil, http.StatusUnauthorized},
		{"a hash", "/", login("li", "correct horse"), http.StatusOK},
		{"a hash again, remembered", "/asynqmon/api/queues", login("li", "correct horse"), http.StatusOK},
		{"a password with a colon", "/metrics", login("wang", "pa:ss 密码"), http.StatusOK},
		{"the hash itself", "/", login("li", hash), http.StatusUnauthorized},
		{"another's password", "/", login("li", "pa:ss 密码"), http.StatusUnauthorized},
		{"an unknown name", "/", login("zhao", "correct horse"), http.StatusUnauthorized},
		{"no password", "/", login("wang", ""), http.StatusUnauthorized},
		{"not basic", "/", []string{"Authorization", "Bearer x"}, http.StatusUnauthorized},
	}
	for _, row := range table {
		r := b.get(t, row.path, row.header...)
		if r.status != row.status {
			t.Errorf("%s: %d %s, want %d", row.explanation, r.status, r.body, row.status)
		}
		if row.status == http.StatusUnauthorized && !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: no challenge", row.explanation)
		}
	}
	if body := b.get(t, "/readyz").body; body != "redis: failed\nnot ready\n" {
		t.Errorf("readiness tells anybody %q", body)
	}
	if body := b.get(t, "/readyz", login("wang", "pa:ss 密码")...).body; !strings.Contains(body, "40003") || leaks(body) != nil {
		t.Errorf("readiness tells an admin %q", body)
	}
	if r := b.get(t, "/", login("li", "wrong once more")...); r.status != http.StatusUnauthorized {
		t.Errorf("fifth failure: %d", r.status)
	}
	if r := b.get(t, "/", login("li", "guess")...); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
		t.Errorf("sixth failure: %d", r.status)
	}
	if r := b.get(t, "/", login("wang", "pa:ss 密码")...); r.status != http.StatusOK {
		t.Errorf("who is in already is locked out: %d", r.status)
	}
	r := b.change(t, http.MethodPost, "/queues/"+queue+":pause", "", login("wang", "pa:ss 密码")...)
	if e := b.lastAudit(); r.status != http.StatusNoContent || e.Who != "wang" || e.Remote != "127.0.0.1" {
		t.Errorf("audit: %d %+v", r.status, e)
	}
}

func TestNewRefusesAndListsAllFaults(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	good := []ops.Login{{Name: "li", Password: wechat.NewSecret("x")}}
	table := []struct {
		explanation string
		cfg         ops.Config
		says        []string
	}{
		{"everything missing", ops.Config{}, []string{"Redis: is required", "Addr: "}},
		{"all addresses, no login", ops.Config{Redis: rdb, Addr: ":9090"}, []string{"there is no login", "WXNOTIFY_OPS_LOGIN", "127.0.0.1"}},
		{"a public address, no login", ops.Config{Redis: rdb, Addr: "10.0.0.5:9090"}, []string{"there is no login"}},
		{"IPv6 of all addresses, no login", ops.Config{Redis: rdb, Addr: "[::]:9090"}, []string{"there is no login"}},
		{"bad logins", ops.Config{Redis: rdb, Addr: ":9090", Logins: []ops.Login{
			{Name: "a:b", Password: wechat.NewSecret("x")}, {Name: "c"}, {Name: "d", Password: wechat.NewSecret("$2a$CANARY")}, good[0], good[0],
		}}, []string{"has a colon", "c has no password", "bcrypt", "listed twice"}},
		{"bad hosts and checks", ops.Config{Redis: rdb, Addr: "127.0.0.1:1", Hosts: []string{"https://x/"}, Checks: []ops.Check{{}}}, []string{"Hosts[0]", "Checks[0]"}},
		{"loopback", ops.Config{Redis: rdb, Addr: "127.0.0.1:9090"}, nil},
		{"loopback of IPv6", ops.Config{Redis: rdb, Addr: "[::1]:9090"}, nil},
		{"loopback by name", ops.Config{Redis: rdb, Addr: "localhost:0"}, nil},
		{"all addresses with a login", ops.Config{Redis: rdb, Addr: ":9090", Logins: good}, nil},
	}
	for _, row := range table {
		_, err := ops.New(row.cfg)
		if (err == nil) != (row.says == nil) {
			t.Errorf("%s: %v", row.explanation, err)
		}
		for _, want := range row.says {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: %v lacks %q", row.explanation, err, want)
			}
		}
		if strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: the error shows a password", row.explanation)
		}
	}
}
