package ops_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ops"
)

func apiPaths() []string {
	paths := []string{
		"/queues", "/queues/" + bulkQueue, "/queue_stats", "/servers", "/scheduler_entries", "/redis_info",
		"/queues/" + bulkQueue + "/groups", "/queues/" + bulkQueue + "/groups/group-1/aggregating_tasks",
	}
	for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
		paths = append(paths, "/queues/"+bulkQueue+"/"+state+"_tasks", "/queues/"+bulkQueue+"/"+state+"_tasks?size=1000000&page=1")
	}
	for _, id := range []string{"active-1-paid", "archived-1-paid", "completed-1-paid", "pending-1-paid", "scheduled-1-paid", "aggregating-1-paid"} {
		paths = append(paths, "/queues/"+bulkQueue+"/tasks/"+id)
	}
	return paths
}

func TestQue10PagesAreMasked(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := serve(t, s.rdb, nil)
	var all strings.Builder
	for _, path := range apiPaths() {
		r := b.get(t, "/asynqmon/api"+path)
		if r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		if !json.Valid([]byte(r.body)) {
			t.Errorf("%s: not JSON: %.200s", path, r.body)
		}
		if found := leaks(r.body); found != nil {
			t.Errorf("%s leaks %q:\n%s", path, found, r.body)
		}
		all.WriteString(r.body)
	}
	everything := all.String()
	for _, path := range []string{
		"/asynqmon/", "/asynqmon/queues/" + bulkQueue, "/asynqmon/queues/" + bulkQueue + "/tasks/active-1-paid", "/metrics", "/readyz",
	} {
		r := b.get(t, path)
		if found := leaks(r.body); r.status != http.StatusOK || found != nil {
			t.Errorf("%s: %d, leaks %q", path, r.status, found)
		}
	}
	// The mask hides the person, not the message: an admin still sees what it is about.
	for _, want := range []string{"TEMPLATE_ORDER_PAID_0001", "wxfedcba9876543210", "thing1", "https://shop.example.com/…", "oCAN…Ef", "…(4)", "40003", "archived-1-paid"} {
		if !strings.Contains(everything, want) {
			t.Errorf("nothing shows %q", want)
		}
	}
}

// The page of a task whose ID is masked is not found: asynqmon must not be asked
// for another ID than the one that it lists.
func TestMaskedIDIsListedButHasNoPage(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := serve(t, s.rdb, nil)
	var list struct {
		Tasks []struct {
			ID string `json:"id"`
		} `json:"tasks"`
	}
	if err := json.Unmarshal([]byte(b.get(t, "/asynqmon/api/queues/"+bulkQueue+"/retry_tasks").body), &list); err != nil || len(list.Tasks) != 1 {
		t.Fatalf("retry tasks: %v %v", list, err)
	}
	shown := list.Tasks[0].ID
	if strings.Contains(shown, openid) || !strings.HasPrefix(shown, "retr…Ef~") {
		t.Fatalf("shown as %q", shown)
	}
	if r := b.get(t, "/asynqmon/api/queues/"+bulkQueue+"/tasks/"+shown); r.status != http.StatusNotFound || leaks(r.body) != nil {
		t.Errorf("task by its masked ID: %d %s", r.status, r.body)
	}
}

func TestPagesHaveStrictHeaders(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := serve(t, s.rdb, nil)
	for _, path := range []string{"/asynqmon/", "/asynqmon/queues/" + bulkQueue, "/asynqmon/api/queues", "/healthz", "/metrics", "/nothing"} {
		h := b.get(t, path).header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
	if page := b.get(t, "/asynqmon/").body; strings.Contains(page, "googleapis") || strings.Contains(page, "wxnotify-nonce") || !strings.Contains(page, "csp-nonce") {
		t.Error("asynqmon's page loads foreign fonts, or has no nonce")
	}
	for path, kind := range map[string]string{
		"/asynqmon/static/js/main.5adda2da.chunk.js": "application/javascript", "/asynqmon/favicon.ico": "image/",
	} {
		if r := b.get(t, path); r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %q", path, r.status, r.header.Get("Content-Type"))
		}
	}
}

func TestPayloadIsShownMasked(t *testing.T) {
	t.Parallel()
	whole := payload(t, "order-1")
	table := []struct {
		explanation, kind string
		data              []byte
		want              string
	}{
		{"nothing", job.TaskType, nil, "(empty)"},
		{"not an envelope", job.TaskType, []byte("\x00\xffgarbage " + openid), "(unreadable, 38 bytes)"},
		{"an envelope whose body is cut", job.TaskType, whole[:len(whole)-5], "(unreadable, "},
		{"another program's task", "email:send", []byte(openid), "(not a message of wxnotify, 28 bytes)"},
		{"ours", job.TaskType, whole, `"thing1":{"value":"…(4)"}`},
		{"ours", job.TaskType, whole, `"phone_number2":{"value":"…(11)"}`},
		{"ours", job.TaskType, whole, `"To":"oCAN…Ef"`},
	}
	for _, row := range table {
		got := ops.ShowPayload(row.kind, row.data)
		if !strings.HasPrefix(got, row.want) && !strings.Contains(got, row.want) {
			t.Errorf("%s: %s, want %s", row.explanation, got, row.want)
		}
		if found := leaks(got); found != nil {
			t.Errorf("%s: leaks %q", row.explanation, found)
		}
	}
	if got := ops.ShowResult([]byte(`{"openid":"` + openid + `","n":13812345678,"ok":true}`)); got != `{"n":"…(11)","ok":true,"openid":"oCAN…Ef"}` {
		t.Errorf("result: %s", got)
	}
}
