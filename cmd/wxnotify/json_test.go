package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// TestJSONIsTheSameEverywhere: wherever there is data, with the contract's names.
func TestJSONIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
	records, err := ledger.New(server.Client(t), "wxa", nil, ledger.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = records.Close() })
	e := job.Envelope{
		ID: "doomed", Class: job.Bulk, To: "oCommand000000000000000000001", Template: "T1",
		QueuedAt: time.Now().Add(-time.Hour), Body: []byte(`{"touser":"oCommand000000000000000000001"}`),
	}
	if _, err := records.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil {
		t.Fatal(err)
	}
	if err := records.Failed(t.Context(), e.ID, 1, ledger.Outcome{State: ledger.Dead, Errcode: -1, Reason: "busy", Attempt: true}); err != nil {
		t.Fatal(err)
	}
	if r := inProcess(t, env, sendArgs("waits", "--not-before", "24h")...); r.code != 0 {
		t.Fatal(r.stderr)
	}
	inProcess(t, env, "suppress", "add", "oCommand000000000000000000009", "--reason", "asked-us", "--for", "1h")

	message := []string{"id", "account", "class", "state", "to", "template_id", "attempts", "possible_duplicate", "queued_at", "ended_at"}
	table := []struct {
		args   []string
		fields []string
	}{
		{[]string{"dead", "list"}, append(slices.Clone(message), "errcode", "reason", "remedy")},
		{[]string{"status", "doomed"}, append(slices.Clone(message), "errcode", "reason", "remedy")},
		{[]string{"cancel", "waits"}, append(slices.Clone(message), "not_before")},
		{[]string{"suppress", "list"}, []string{"openid", "reason", "until"}},
		{sendArgs("new"), []string{"id", "class", "state", "duplicate"}},
		{sendArgs("planned", "--dry-run"), []string{"id", "dry_run", "account", "class", "to", "template_id", "preview"}},
	}
	for _, row := range table {
		r := inProcess(t, env, append(row.args, "--output", "json")...)
		name := strings.Join(row.args, " ")
		var shown map[string]any
		if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil || r.code != 0 {
			t.Errorf("%s: exit %d, %v: %s%s", name, r.code, err, r.stdout, r.stderr)
			continue
		}
		for _, field := range row.fields {
			if _, ok := shown[field]; !ok {
				t.Errorf("%s has no %s: %s", name, field, r.stdout)
			}
		}
		for field := range shown {
			if strings.ToLower(field) != field {
				t.Errorf("%s: the field %s is not of the contract", name, field)
			}
		}
		if strings.Contains(r.stdout, "0000000000000000") {
			t.Errorf("%s shows an openid: %s", name, r.stdout)
		}
	}
	for _, act := range []string{"retry", "drop"} {
		for _, id := range []string{"new", "never-enqueued"} {
			inProcess(t, env, "dead", act, id).has(t, 1, id+": is not dead")
		}
	}
	inProcess(t, env, "dead", "drop", "doomed").has(t, 0)
	if r := inProcess(t, env, "dead", "retry", "doomed"); r.code != 1 || !strings.Contains(r.stderr, "dropped") {
		t.Errorf("retry of a letter without its payload: exit %d, %s", r.code, r.stderr)
	}
}

// TestQueuesNamesWhoPausedAClass: the operator and the reason, or another tool.
func TestQueuesNamesWhoPausedAClass(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
	rdb := server.Client(t)
	if r := inProcess(t, env, "queues", "pause", "bulk", "--reason", "stocktaking"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	rdb.Set(t.Context(), "asynq:{wxa:default}:paused", time.Now().Unix(), 0) // what asynq's own tools write
	if r := inProcess(t, env, "queues"); !strings.Contains(r.stdout, "(command line) since 20") || !strings.Contains(r.stdout, ": stocktaking") ||
		!strings.Contains(r.stdout, "by another tool; `wxnotify queues resume default` resumes it") {
		t.Errorf("queues:\n%s%s", r.stdout, r.stderr)
	}
	var shown struct {
		Queues []struct {
			Class          string         `json:"class"`
			Paused         bool           `json:"paused"`
			Pause          map[string]any `json:"pause"`
			ProcessedToday *int64         `json:"processed_today"`
		} `json:"queues"`
	}
	r := inProcess(t, env, "queues", "--output", "json")
	if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil || len(shown.Queues) != 3 {
		t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	critical, normal, bulk := shown.Queues[0], shown.Queues[1], shown.Queues[2]
	if critical.Paused || !normal.Paused || normal.Pause != nil || !bulk.Paused || bulk.Pause["reason"] != "stocktaking" || bulk.ProcessedToday == nil {
		t.Errorf("%+v", shown)
	}
	for _, class := range []string{"bulk", "default"} {
		if r := inProcess(t, env, "queues", "resume", class); r.code != 0 || !strings.Contains(r.stdout, class+": resumed") {
			t.Errorf("resume %s: exit %d %s%s", class, r.code, r.stdout, r.stderr)
		}
	}
	if r := inProcess(t, env, "queues"); strings.Contains(r.stdout, "another tool") || strings.Contains(r.stdout, "stocktaking") {
		t.Errorf("still paused:\n%s", r.stdout)
	}
}

// A program that asked for JSON reads JSON on stderr, too: whatever is wrong with the
// arguments, and where a list is empty.
func TestStderrIsJSONWhereAskedFor(t *testing.T) {
	t.Parallel()
	env := map[string]string{"WXNOTIFY_REDIS_URL": redistest.Start(t).URL(), "WXNOTIFY_APPID": "wxa"}
	for line, code := range map[string]int{
		"messages --errcode x -o json": exitUsage, "send --nope --output=json": exitUsage, "send --wait=soon -ojson": exitUsage, "dead -x --output json": exitUsage,
		"nosuch -o=json": exitUsage, "status -o json": exitUsage, "send -o json": exitUsage,
		"dead list -o json": exitDone, "suppress list -o json": exitDone, "messages -o json": exitDone, "enroll list -o json": exitDone,
		"audit -o json": exitDone, "webhooks list -o json": exitDone, "api keys list -o json": exitDone,
	} {
		r := inProcess(t, env, strings.Fields(line)...)
		r.has(t, code)
		for said := range strings.Lines(r.stderr) {
			if !json.Valid([]byte(said)) {
				t.Errorf("%s: stderr has %q", line, said)
			}
		}
	}
}
