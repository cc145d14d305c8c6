package ops_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// TestAccountsWithoutWorkerAreTold on the page and in the metrics: configured ones, and
// those that have only a queue, as after a typing error in the appid.
func TestAccountsWithoutWorkerAreTold(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one") // of account
	const other = "wxother"
	look := func(query string) string {
		b := serve(t, rdb, func(c *ops.Config) { c.Accounts = []string{other} })
		return b.get(t, "/"+query).body + b.get(t, "/metrics").body
	}
	has := func(page string, want ...string) {
		t.Helper()
		for _, one := range want {
			if !strings.Contains(page, one) {
				t.Errorf("%q is not in:\n%s", one, page)
			}
		}
	}
	page := look("?lang=en")
	has(page, "<strong>"+account+"</strong> has had no worker in the last 90 days", "<strong>"+other+"</strong> has had no worker", "<pre>wxnotify worker</pre>",
		`wxnotify_workers{account="`+account+`",state="sending"} 0`)
	if strings.Contains(page, "wxnotify_worker_last_seen_timestamp_seconds") {
		t.Error("a time at which nothing was seen")
	}
	has(look("?lang=zh"), "最近 90 天没有 worker")

	stopped := heartbeat.NewReporter(rdb, account, heartbeat.Worker{ID: "w0", Host: "host-0", Started: time.Now()})
	beat(t, stopped, nil)
	if err := stopped.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	benched := heartbeat.NewReporter(rdb, other, heartbeat.Worker{ID: "w1", Host: "host-1", Version: "v1.2.3", Started: time.Now()})
	beat(t, benched, &heartbeat.Suspension{Since: time.Now(), Errcode: 40164, Address: "203.0.113.7"})
	has(look("?lang=en"), account+"</strong> has no worker since 20", other+"</strong> has suspended workers only", "<pre>203.0.113.7</pre>",
		"host-1", "v1.2.3", "WeChat refuses its address 203.0.113.7 (errcode 40164) since 20",
		`wxnotify_workers{account="`+other+`",state="suspended"} 1`, `wxnotify_worker_last_seen_timestamp_seconds{account="`+account+`"} 1.`)

	for _, appid := range []string{account, other} {
		beat(t, heartbeat.NewReporter(rdb, appid, heartbeat.Worker{ID: "w2", Host: "host-2", Started: time.Now()}), nil)
	}
	page = look("?lang=en")
	has(page, "host-2", `wxnotify_workers{account="`+other+`",state="sending"} 1`)
	if strings.Contains(page, "no worker") || strings.Contains(page, "suspended workers only") {
		t.Errorf("told although a worker sends:\n%s", page)
	}
}

// TestForeignQueuesWithoutMessagesAreNoProblem: an account that was given up keeps empty
// queues.
func TestForeignQueuesWithoutMessagesAreNoProblem(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	if err := rdb.SAdd(t.Context(), "asynq:queues", "wxold:bulk", "of another program").Err(); err != nil {
		t.Fatal(err)
	}
	if page := serve(t, rdb, func(c *ops.Config) { c.Accounts = nil }).get(t, "/?lang=en").body; strings.Contains(page, "no worker") {
		t.Errorf("told:\n%s", page)
	}
}

func beat(t *testing.T, r *heartbeat.Reporter, s *heartbeat.Suspension) {
	t.Helper()
	if _, err := r.Beat(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}
