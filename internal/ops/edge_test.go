package ops_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// unreachable is a client of a Redis that does not run.
func unreachable(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Password: "pw-canary", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestFaultsOfRedisShowNoPassword(t *testing.T) {
	t.Parallel()
	down := serve(t, unreachable(t), nil)
	for path, status := range map[string]int{"/asynqmon/api/redis_info": http.StatusBadGateway, "/asynqmon/api/queues": http.StatusInternalServerError} {
		if r := down.get(t, path); r.status != status || strings.Contains(r.body, "pw-canary") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	rdb := redistest.Start(t).Client(t)
	fillUp := serve(t, rdb, nil)
	used := series(t, fillUp.get(t, "/metrics").body)["wxnotify_redis_memory_used_bytes"]
	must(t, rdb.ConfigSet(t.Context(), "maxmemory", fmt.Sprintf("%.0f", used*1.1)).Err())
	if r := serve(t, rdb, nil).get(t, "/readyz"); !strings.Contains(r.body, "memory: warning: Redis is over 75 % full") {
		t.Errorf("Redis is nearly full:\n%s", r.body)
	}
}

func TestMetricsOfCallbacksAndFollowers(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m, err := ops.NewMetrics(reg)
	must(t, err)
	m.ObserveCallback(account, "push", "subscribe", 3*time.Millisecond)
	m.ObserveCallback(account, "refused", "signature", 0)
	m.ObserveForward(account, "late", 6*time.Second)
	m.ObserveFollower(account, "enrolled", "oauth", 2)
	got := map[string]float64{}
	for name, v := range series(t, serve(t, unreachable(t), func(c *ops.Config) { c.Registry = reg }).get(t, "/metrics").body) {
		if strings.Contains(name, "callback") || strings.Contains(name, "forward") || strings.Contains(name, "enroll") {
			if !strings.Contains(name, "_bucket") && !strings.Contains(name, "_sum") {
				got[strings.ReplaceAll(name, `account="`+account+`"`, "A")] = v
			}
		}
	}
	want := map[string]float64{
		`wxnotify_callbacks_total{A,event="subscribe",result="push"}`: 1, `wxnotify_callbacks_total{A,event="signature",result="refused"}`: 1,
		`wxnotify_callback_seconds_count{A}`:       1, // a refused request has no duration
		`wxnotify_forwards_total{A,result="late"}`: 1, `wxnotify_forward_seconds_count{A}`: 1,
		`wxnotify_enroll_total{A,detail="oauth",kind="enrolled"}`: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A message to a user, with terms, and payloads that cannot be shown.
func TestPayloadTermsAreShownMasked(t *testing.T) {
	t.Parallel()
	data, err := job.Encode(job.Envelope{
		ID: "order-1", Class: job.Critical, User: userID, NotAfter: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC),
		Body: []byte(`{"url":"/` + linkPath + `","n":` + phone + `,"appid":"wx1","data":null,"ok":[true,"` + nickname + `"]}`),
	})
	must(t, err)
	var got map[string]any
	must(t, json.Unmarshal([]byte(ops.ShowPayload(job.TaskType, data)), &got))
	want := map[string]any{
		"envelope": map[string]any{"ID": "order-1", "Class": "critical", "User": "cust…17", "NotAfter": "2026-11-22T09:00:00Z"},
		"message":  map[string]any{"url": "…", "n": "…(11)", "appid": "wx1", "data": nil, "ok": []any{true, "…(4)"}},
		"bytes":    float64(len(data)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if shown := ops.ShowPayload(job.TaskType, []byte(`{"v":9,"to":"`+openid+`"}`+"\n{}")); !strings.HasPrefix(shown, "(written by a newer version 9, ") {
		t.Errorf("a newer version: %s", shown)
	}
	if shown, want := ops.ShowPayload(job.TaskType, []byte(`{"v":2,"key":"0a1b2c3d","h":"x"}`+"\n\x00"+openid)), "(the message is sealed with key 0a1b2c3d, "; !strings.HasPrefix(shown, want) || strings.Contains(shown, openid) {
		t.Errorf("a sealed message: %s", shown)
	}
	if shown := ops.ShowResult([]byte(openid)); !strings.HasPrefix(shown, "(unreadable, ") {
		t.Errorf("a result that is not JSON: %s", shown)
	}
}

// A text field that job.Envelope gets later must be masked too, unless it is known
// to be no personal data.
func TestEveryTermOfAnEnvelopeIsMasked(t *testing.T) {
	t.Parallel()
	// A key's ID is in logs, too; Trace is random; Fingerprint is a keyed hash.
	harmless := map[string]bool{"ID": true, "Class": true, "Template": true, "Key": true, "Trace": true, "Fingerprint": true}
	e := job.Envelope{ID: "order-1", Class: job.Bulk, Template: "T1", Body: []byte("{}")}
	for field, v := range reflect.ValueOf(&e).Elem().Fields() {
		if v.Kind() == reflect.String && !harmless[field.Name] {
			v.SetString(userID)
		}
	}
	shown := ops.ShowTerms(e)
	if found := leaks(fmt.Sprint(shown)); found != nil || shown["User"] != "cust…17" || shown["ID"] != "order-1" {
		t.Errorf("%v leaks %q", shown, found)
	}
	if _, ok := shown["Body"]; ok {
		t.Error("the body is shown unmasked")
	}
}

// One request lists at most 200 tasks, whatever size it asks for.
func TestPageSizeIsBounded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one goroutine: nothing for the race detector, and go test runs it whole")
	}
	var ids []string
	for i := range 210 {
		ids = append(ids, fmt.Sprintf("id-%03d", i))
	}
	rdb, _ := backlog(t, ids...)
	b := serve(t, rdb, nil)
	for size, want := range map[string]int{"1000000": 200, "0": 200, "-1": 200, "200": 200, "3": 3, "x": 20, "": 20} {
		var list struct {
			Tasks []json.RawMessage `json:"tasks"`
		}
		r := b.get(t, "/asynqmon/api/queues/"+bulkQueue+"/pending_tasks?page=1&size="+size)
		if err := json.Unmarshal([]byte(r.body), &list); err != nil || len(list.Tasks) != want {
			t.Errorf("size %q: %d tasks, %v, want %d", size, len(list.Tasks), err, want)
		}
	}
}

// A new version of asynqmon whose page has another form is refused at the start.
func TestUnknownFormOfAsynqmonsPageIsRefused(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"<html></html>": "no head", "<head><script src=x></script></head>": "no inline script",
	} {
		if err := ops.PreparePage(page); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", page, err, want)
		}
	}
}

// On a cluster the queues are in different slots; memory is that of a primary.
func TestPagesAndMetricsOfACluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.Cluster(t, "--maxmemory", "64mb")
	client := asynq.NewClientFromRedisClient(rdb)
	for _, class := range job.Classes() {
		if _, err := client.Enqueue(asynq.NewTask(job.TaskType, payload(t, "one")), asynq.Queue(queue.Name(account, class))); err != nil {
			t.Fatal(err)
		}
	}
	must(t, queue.NewInspector(rdb).Pause(t.Context(), account, job.Critical, "li", "stocktaking"))
	b := serve(t, rdb, nil)
	got := series(t, b.get(t, "/metrics").body)
	for name, want := range map[string]float64{
		`wxnotify_scrape_ok{part="queues"}`: 1, `wxnotify_scrape_ok{part="redis"}`: 1, "wxnotify_redis_memory_max_bytes": 64 << 20,
		`asynq_queue_size{queue="` + account + `:critical"}`: 1, `asynq_queue_size{queue="` + account + `:default"}`: 1,
		`asynq_queue_size{queue="` + bulkQueue + `"}`: 1, `asynq_queue_paused_total{queue="` + account + `:critical"}`: 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (present: %v), want %v", name, v, ok, want)
		}
	}
	for _, path := range []string{"/queues", "/redis_info", "/queues/" + bulkQueue + "/pending_tasks"} {
		if r := b.get(t, "/asynqmon/api"+path); r.status != http.StatusOK || leaks(r.body) != nil {
			t.Errorf("%s: %d %.200s", path, r.status, r.body)
		}
	}
}
