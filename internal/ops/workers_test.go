package ops_test

import (
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/ops"
)

// TestAccountsWithoutWorkerAreMeasured: configured ones, and those that have only a
// queue, as after a typing error in the appid.
func TestAccountsWithoutWorkerAreMeasured(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one") // of account
	const other = "wxother"
	measure := func() map[string]float64 {
		return series(t, serve(t, rdb, func(c *ops.Config) { c.Accounts = []string{other} }).get(t, "/metrics").body)
	}
	got := measure()
	for _, appid := range []string{account, other} {
		if n, told := got[`wxnotify_workers{account="`+appid+`",state="sending"}`]; !told || n != 0 {
			t.Errorf("%s without a worker: %v, told: %t", appid, n, told)
		}
	}
	if _, told := got[`wxnotify_worker_last_seen_timestamp_seconds{account="`+account+`"}`]; told {
		t.Error("a time at which nothing was seen")
	}
	stopped := heartbeat.NewReporter(rdb, account, heartbeat.Worker{ID: "w0", Host: "host-0", Started: time.Now()})
	beat(t, stopped, nil)
	must(t, stopped.Leave(t.Context()))
	beat(t, heartbeat.NewReporter(rdb, other, heartbeat.Worker{ID: "w1", Host: "host-1", Started: time.Now()}),
		&heartbeat.Suspension{Since: time.Now(), Errcode: 40164, Address: "203.0.113.7"})
	got = measure()
	if got[`wxnotify_workers{account="`+other+`",state="suspended"}`] != 1 || got[`wxnotify_worker_last_seen_timestamp_seconds{account="`+account+`"}`] < 1e9 {
		t.Errorf("one stopped and one suspended: %v", got)
	}
	beat(t, heartbeat.NewReporter(rdb, other, heartbeat.Worker{ID: "w2", Host: "host-2", Started: time.Now()}), nil)
	if n := measure()[`wxnotify_workers{account="`+other+`",state="sending"}`]; n != 1 {
		t.Errorf("one that sends: %v", n)
	}
}

func beat(t *testing.T, r *heartbeat.Reporter, s *heartbeat.Suspension) {
	t.Helper()
	if _, err := r.Beat(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}
