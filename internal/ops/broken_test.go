package ops_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// T7: the data of one task is gone, and asynqmon answers 500 for all queues.
func TestT7OneBrokenQueueDoesNotHideTheOthers(t *testing.T) {
	t.Parallel()
	rdb, inspect := backlog(t, "one", "two", "order-"+openid)
	client := asynq.NewClientFromRedisClient(rdb)
	if _, err := client.Enqueue(asynq.NewTask(job.TaskType, payload(t, "sound")), asynq.Queue(account+":critical")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"two", "order-" + openid} {
		if err := rdb.Del(t.Context(), "asynq:{"+queue+"}:t:"+id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := inspect.GetQueueInfo(queue); err == nil {
		t.Fatal("asynq no longer stumbles over missing data: the wrapper can go")
	}
	b := serve(t, rdb, nil)
	for _, path := range []string{"/queues", "/queues/" + queue, "/queues/" + queue + "/pending_tasks", "/queues/" + queue + "/retry_tasks"} {
		if r := b.get(t, "/asynqmon/api"+path); r.status != http.StatusOK || !strings.Contains(r.body, `"pending":3`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	page := b.get(t, "/").body
	for _, want := range []string{"broken", "LREM &#39;asynq:{" + queue + "}:pending&#39; 0 &#39;two&#39;", "noeviction", "LRANGE"} {
		if !strings.Contains(page, want) {
			t.Errorf("the index lacks %q", want)
		}
	}
	if leaks(page) != nil {
		t.Error("the index shows an openid in a command")
	}
	if got := series(t, b.get(t, "/metrics").body)[`wxnotify_queue_entries_without_data{queue="`+queue+`"}`]; got != 2 {
		t.Errorf("entries without data: %v", got)
	}
	// What the page advises mends it.
	if err := rdb.LRem(t.Context(), "asynq:{"+queue+"}:pending", 0, "two").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.LRem(t.Context(), "asynq:{"+queue+"}:pending", 0, "order-"+openid).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect.GetQueueInfo(queue); err != nil {
		t.Errorf("still broken: %v", err)
	}
}

// T6: archived entries whose hash is gone. asynqmon keeps answering.
func TestT6ArchivedEntriesWithoutData(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	fill(t, rdb, "archived", 5_001)
	b := serve(t, rdb, nil)
	if r := b.get(t, "/asynqmon/api/queues"); r.status != http.StatusOK || !strings.Contains(r.body, `"archived":5001`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	got := series(t, b.get(t, "/metrics").body)
	if got[`wxnotify_queue_archived_near_cap{queue="`+queue+`"}`] != 1 {
		t.Error("no word about the archive's cap (T4)")
	}
	if page := b.get(t, "/").body; !strings.Contains(page, "ZREM") || !strings.Contains(page, "10 000 archived") {
		t.Error("the index does not tell")
	}
}

// wrapped is a client of a kind that asynqmon does not know, as the program's is.
type wrapped struct{ redis.UniversalClient }

func TestWrappedClientShowsRedis(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	for name, client := range map[string]redis.UniversalClient{"plain": rdb, "wrapped": wrapped{rdb}} {
		b := serve(t, client, nil)
		if r := b.get(t, "/asynqmon/api/redis_info"); r.status != http.StatusOK || !strings.Contains(r.body, `"redis_version"`) {
			t.Errorf("%s: %d %.200s", name, r.status, r.body)
		}
		if r := b.get(t, "/asynqmon/api/queues"); r.status != http.StatusOK || !strings.Contains(r.body, queue) {
			t.Errorf("%s: %d %.200s", name, r.status, r.body)
		}
	}
	b := serve(t, rdb, nil)
	for path, status := range map[string]int{
		"/asynqmon/api/metrics": http.StatusNotFound, "/asynqmon/api/nothing": http.StatusNotFound,
		"/asynqmon/api/queues/" + queue + "/tasks/none": http.StatusNotFound, "/nothing": http.StatusNotFound,
	} {
		if r := b.get(t, path); r.status != status {
			t.Errorf("%s: %d %.200s", path, r.status, r.body)
		}
	}
}
