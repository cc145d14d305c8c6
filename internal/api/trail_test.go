package api_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

const patient = "patient-401-canary"

// auditedCalls are calls of the routes that change what an operator decides, with the
// action and the detail that the audit trail tells. The empty action: another place tells of it.
func auditedCalls() map[string]struct{ path, body, action, detail string } {
	return map[string]struct{ path, body, action, detail string }{
		"POST /v1/messages":          {"/v1/messages", message("order-1"), "", ""},
		"POST /v1/messages:validate": {"/v1/messages:validate", message("order-1"), "", ""},
		"DELETE /v1/messages/{id}":   {"/v1/messages/order-1", "", "", ""},
		"POST /v1/enroll-links":      {"/v1/enroll-links", `{"user":"` + patient + `"}`, "", ""},
		"POST /v1/users/{verb}":      {"/v1/users/" + patient + ":unbind", "", "", ""},
		"DELETE /v1/users/{user}":    {"/v1/users/" + patient, "", "erase", ""},
		"POST /v1/webhooks":          {"/v1/webhooks", `{"url":"https://shop.example/hook?key=canary-key"}`, "add webhook", "shop.example"},
		"PATCH /v1/webhooks/{id}":    {"/v1/webhooks/w-13812345678", `{"url":"https://other.example/canary-key"}`, "change webhook", "w-*********78 other.example"},
		"DELETE /v1/webhooks/{id}":   {"/v1/webhooks/w1", "", "remove webhook", "w1"},
		"POST /v1/webhooks/{verb}":   {"/v1/webhooks/w1:rotate", "", "rotate webhook", "w1"},
	}
}

// Each route that does not only read writes a line into the audit trail and the audit
// file, also where the call fails then.
func TestEveryCallThatChangesIsAudited(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	file, err := auditlog.Open(path, nil, "test")
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	s := standWith(t, rdb, func(c *api.Config) { c.Audit = file })
	key := s.key(t, appid, func(k *apikey.Key) { k.Name = "clinic" })
	records, err := ledger.New(rdb, appid, nil, ledger.Config{})
	must(t, err)
	t.Cleanup(func() { _ = records.Close() })
	table, lines := auditedCalls(), 0
	for _, pattern := range api.Patterns() {
		method, _, _ := strings.Cut(pattern, " ")
		row, known := table[pattern]
		if method == http.MethodGet || !known {
			if method != http.MethodGet {
				t.Errorf("%s: is not in the table", pattern)
			}
			continue
		}
		a := s.call(t, method, row.path, key, row.body)
		found, err := records.Audited(t.Context(), "", 100)
		must(t, err)
		if row.action == "" {
			if len(found) != lines {
				t.Errorf("%s: the trail has a line: %+v", pattern, found[0])
			}
			continue
		}
		if lines = len(found); found[0].Action != row.action || !strings.HasPrefix(found[0].Detail, row.detail) || !strings.HasPrefix(found[0].Actor, "API key ") || !strings.HasSuffix(found[0].Actor, " clinic") {
			if row.action != "erase" || len(found) < 2 || found[1].Action != row.action { // whose own line is the latest
				t.Errorf("%s: %d; the trail says %+v", pattern, a.Status, found[0])
			}
		}
	}
	text, err := os.ReadFile(path)
	must(t, err)
	if n := strings.Count(string(text), "\n"); n != 6 {
		t.Errorf("the file has %d lines, want opened and 5 changes:\n%s", n, text)
	}
	for _, canary := range []string{patient, "13812345678", "canary-key"} {
		if strings.Contains(string(text), canary) {
			t.Errorf("the file has %s:\n%s", canary, text)
		}
	}
}

// Who removes a webhook may paste its secret.
func TestSecretsInPlaceOfIDsAreNotInTheTrail(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	s := standOn(t, rdb)
	key := s.key(t, appid, nil)
	const signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for path, method := range map[string]string{"/v1/webhooks/" + signing: "DELETE", "/v1/webhooks/" + signing + ":rotate": "POST"} {
		want(t, s.call(t, method, path, key, ""), http.StatusNotFound)
	}
	records, err := ledger.New(rdb, appid, nil, ledger.Config{})
	must(t, err)
	t.Cleanup(func() { _ = records.Close() })
	found, err := records.Audited(t.Context(), "", 10)
	if err != nil || len(found) != 2 {
		t.Fatalf("the trail says %+v, %v", found, err)
	}
	for _, e := range found {
		if !strings.HasPrefix(e.Detail, "an ID that is not shown, of 38 bytes") {
			t.Errorf("%s: %s", e.Action, e.Detail)
		}
	}
}

// A user that a key unbinds is told in the trail of bindings, under the key.
func TestAnUnbindingNamesTheKey(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	s := standOn(t, rdb)
	roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: appid})
	must(t, err)
	if _, err := roster.Bind(t.Context(), enroll.Binding{User: patient, OpenID: "oTrail00000000000000000000001"}, nil); err != nil {
		t.Fatal(err)
	}
	want(t, s.call(t, "POST", "/v1/users/"+patient+":unbind", s.key(t, appid, nil), ""), http.StatusOK)
	records, err := ledger.New(rdb, appid, nil, ledger.Config{})
	must(t, err)
	t.Cleanup(func() { _ = records.Close() })
	found, err := records.Audited(t.Context(), "", 10)
	if err != nil || len(found) == 0 || found[0].Action != "unbound" || !strings.HasPrefix(found[0].Actor, "API key ") {
		t.Errorf("the trail says %+v, %v", found, err)
	}
}
