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
		if err := rdb.Del(t.Context(), "asynq:{"+bulkQueue+"}:t:"+id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := inspect.GetQueueInfo(bulkQueue); err == nil {
		t.Fatal("asynq reads a queue with missing data: queue.MonitorClient can go")
	}
	b := serve(t, rdb, nil)
	for _, path := range []string{"/queues", "/queues/" + bulkQueue, "/queues/" + bulkQueue + "/pending_tasks", "/queues/" + bulkQueue + "/retry_tasks"} {
		if r := b.get(t, "/asynqmon/api"+path); r.status != http.StatusOK || !strings.Contains(r.body, `"pending":3`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if got := series(t, b.get(t, "/metrics").body)[`wxnotify_queue_entries_without_data{queue="`+bulkQueue+`"}`]; got != 2 {
		t.Errorf("entries without data: %v", got)
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
}

// wrapped is a client of a kind that asynqmon does not know.
type wrapped struct{ redis.UniversalClient }

func TestWrappedClientShowsRedis(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	for name, client := range map[string]redis.UniversalClient{"plain": rdb, "wrapped": wrapped{rdb}} {
		b := serve(t, client, nil)
		if r := b.get(t, "/asynqmon/api/redis_info"); r.status != http.StatusOK || !strings.Contains(r.body, `"redis_version"`) {
			t.Errorf("%s: %d %.200s", name, r.status, r.body)
		}
		if r := b.get(t, "/asynqmon/api/queues"); r.status != http.StatusOK || !strings.Contains(r.body, bulkQueue) {
			t.Errorf("%s: %d %.200s", name, r.status, r.body)
		}
	}
	b := serve(t, rdb, nil)
	if r := b.get(t, "/asynqmon/api/redis_info"); !strings.Contains(r.body, `"address":"`+rdb.Options().Addr+`"`) {
		t.Errorf("no address of Redis: %.200s", r.body)
	}
	for path, status := range map[string]int{
		"/asynqmon/api/metrics": http.StatusNotFound, "/asynqmon/api/nothing": http.StatusNotFound,
		"/asynqmon/api/queues/" + bulkQueue + "/tasks/none": http.StatusNotFound, "/nothing": http.StatusNotFound,
	} {
		if r := b.get(t, path); r.status != status {
			t.Errorf("%s: %d %.200s", path, r.status, r.body)
		}
	}
}
