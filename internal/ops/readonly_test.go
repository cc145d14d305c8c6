package ops_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

// stored is everything in Redis.
func stored(t *testing.T, rdb *redis.Client) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		all[key] = rdb.Dump(t.Context(), key).Val()
	}
	return all
}

// Every route of asynqmon v0.7.2 that changes something (see its handler.go) is
// refused, from our own pages and from others, and names the commands instead.
func TestQue09AsynqmonChangesNothing(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one", "two")
	b := serve(t, rdb, nil)
	q := "/queues/" + bulkQueue
	routes := []string{
		"DELETE " + q, "POST " + q + ":pause", "POST " + q + ":resume", "PUT " + q, "PATCH " + q + ":pause",
		"OPTIONS " + q, "TRACE " + q + ":pause", "QUERY " + q, "POST /nothing", "POST /../queues", "POST ",
	}
	for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed", "groups/g/aggregating"} {
		tasks := q + "/" + state + "_tasks"
		routes = append(routes, "DELETE "+tasks+"/one", "DELETE "+tasks+":delete_all", "POST "+tasks+":batch_delete",
			"POST "+tasks+"/one:run", "POST "+tasks+":run_all", "POST "+tasks+":batch_run",
			"POST "+tasks+"/one:archive", "POST "+tasks+":archive_all", "POST "+tasks+":batch_archive",
			"POST "+tasks+"/one:cancel", "POST "+tasks+":cancel_all", "POST "+tasks+":batch_cancel")
	}
	before := stored(t, rdb)
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		for _, origin := range []string{b.url, "https://evil.example"} {
			r := b.ask(t, method, "/asynqmon/api"+path, `{"task_ids":["one"]}`, "Origin", origin)
			if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s from %s: %d %s", route, origin, r.status, r.body)
			}
			for _, command := range []string{"wxnotify queues pause|resume", "wxnotify dead retry", "wxnotify cancel"} {
				if !strings.Contains(r.body, command) {
					t.Errorf("%s does not name %q: %s", route, command, r.body)
				}
			}
		}
	}
	if diff := cmp.Diff(before, stored(t, rdb)); diff != "" {
		t.Errorf("Redis changed:\n%s", diff)
	}
	if r := b.ask(t, http.MethodPost, "/asynqmon/", ""); r.status != http.StatusMethodNotAllowed {
		t.Errorf("POST to the page: %d", r.status)
	}
	for _, path := range []string{"/", "/metrics", "/asynqmon"} {
		if r := b.ask(t, http.MethodPost, path, ""); r.status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, r.status)
		}
	}
}

// A header that replaces the method does not lead past the refusal.
func TestMethodOverrideIsIgnored(t *testing.T) {
	t.Parallel()
	rdb, _ := backlog(t, "one")
	b := serve(t, rdb, nil)
	before := stored(t, rdb)
	for _, path := range []string{":pause", "/pending_tasks/one", "/pending_tasks:delete_all", "?_method=DELETE"} {
		if r := b.get(t, "/asynqmon/api/queues/"+bulkQueue+path, "X-HTTP-Method-Override", "DELETE", "X-Method-Override", "POST"); r.status == http.StatusNoContent {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if diff := cmp.Diff(before, stored(t, rdb)); diff != "" {
		t.Errorf("Redis changed:\n%s", diff)
	}
}
