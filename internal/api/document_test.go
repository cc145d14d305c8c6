package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/api"
)

func TestTheDocumentIsValid(t *testing.T) {
	t.Parallel()
	if err := load(t).Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheDocumentHasWhatTheServerServes(t *testing.T) {
	t.Parallel()
	var documented []string
	for path, item := range load(t).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	served := slices.Clone(api.Patterns())
	for i, p := range served {
		served[i] = strings.Replace(p, "/v1/users/{verb}", "/v1/users/{user}:unbind", 1)
		served[i] = strings.Replace(served[i], "/v1/webhooks/{verb}", "/v1/webhooks/{id}:test", 1)
	}
	served = append(served, "POST /v1/webhooks/{id}:rotate", "POST /v1/webhooks/{id}:recover") // of the same pattern
	slices.Sort(documented)
	slices.Sort(served)
	if got, want := strings.Join(documented, "\n"), strings.Join(served, "\n"); got != want {
		t.Errorf("documented:\n%s\n\nserved:\n%s", got, want)
	}
}

// Each example of the document is sent as it stands, to the operation that it
// belongs to, and succeeds.
func TestEveryExampleWorks(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	n := 0
	for path, item := range load(t).Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil {
				continue
			}
			content := op.RequestBody.Value.Content["application/json"]
			examples := map[string]any{"": content.Example}
			for name, e := range content.Examples {
				examples[name] = e.Value.Value
			}
			for name, example := range examples {
				if example == nil {
					continue
				}
				n++
				text, err := json.Marshal(example)
				must(t, err)
				if a := s.call(t, method, path, secret, string(text)); a.Status >= 300 {
					t.Errorf("%s %s, example %q: %d %s", method, path, name, a.Status, a.Body)
				}
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d examples were found", n)
	}
}

// A caller goes through every operation; each answer fits the document, which
// call checks.
func TestEveryOperationAnswersAsDocumented(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	for i, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/messages", body, 202},
		{"POST", "/v1/messages:validate", body, 200},
		{"GET", "/v1/messages", "", 200},
		{"GET", "/v1/messages/order-1", "", 200},
		{"GET", "/v1/messages/order-1?include=attempts", "", 200},
		{"DELETE", "/v1/messages/order-1", "", 200},
		{"POST", "/v1/enroll-links", `{"user":"patient-401","expires_in":"1h"}`, 201},
		{"POST", "/v1/enroll-links", `{"user":"patient-401","data":{"phone":"13800004567"}}`, 201},
		{"POST", "/v1/enroll-links", `{"user":"p 1"}`, 400},
		{"POST", "/v1/enroll-links", `{"user":"p","expires_in":"soon"}`, 400},
		{"POST", "/v1/enroll-links", `{"usr":"p"}`, 400},
		{"POST", "/v1/enroll-links", `{"user":7}`, 400},
		{"GET", "/v1/users/patient-401", "", 404},
		{"POST", "/v1/users/patient-401:unbind", "", 200},
		{"POST", "/v1/users/patient-401:bind", "", 404},
		{"DELETE", "/v1/users/patient-401", "", 200},
		{"GET", "/v1/accounts/" + appid, "", 200},
		{"GET", "/v1/templates", "", 200},
		{"GET", "/v1/events?types=message.*", "", 200},
		{"GET", "/v1/webhooks", "", 200},
		{"POST", "/v1/webhooks", `{"url":"https://shop.example/hook","events":["message.*"]}`, 201},
		{"POST", "/v1/webhooks", `{"url":"http://shop.example/hook"}`, 400},
		{"POST", "/v1/webhooks", `{"url":"https://shop.example/hook","events":["message.sent"]}`, 400},
		{"GET", "/v1/webhooks/wh_none", "", 404},
		{"PATCH", "/v1/webhooks/wh_none", `{"openids":true}`, 404},
		{"DELETE", "/v1/webhooks/wh_none", "", 404},
		{"POST", "/v1/webhooks/wh_none:test", "", 404},
		{"POST", "/v1/webhooks/wh_none:rotate", "", 404},
		{"POST", "/v1/webhooks/wh_none:recover", `{"since":"2026-12-01T08:00:00+08:00"}`, 404},
		{"POST", "/v1/webhooks/wh_none:recover", `{}`, 400},
		{"POST", "/v1/webhooks/wh_none:stop", "", 404},
		{"GET", "/openapi.json", "", 200},
		{"GET", "/docs", "", 200},
		{"GET", "/healthz", "", 200},
	} {
		if a := s.call(t, c.method, c.path, secret, c.body); a.Status != c.status {
			t.Errorf("%d. %s %s: %d, want %d: %s", i, c.method, c.path, a.Status, c.status, a.Body)
		}
	}
	for _, item := range load(t).Paths.Map() {
		for _, op := range item.Operations() {
			if _, called := s.seen.Load(op.OperationID); !called {
				t.Errorf("%s was not called", op.OperationID)
			}
		}
	}
}

func TestTheDocsPageListsEveryOperationWithoutScripts(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	page := string(want(t, s.call(t, http.MethodGet, "/docs", "", ""), http.StatusOK).Body)
	for path, item := range load(t).Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.Contains(page, fmt.Sprintf(`id="%s"`, op.OperationID)) || !strings.Contains(page, path) {
				t.Errorf("%s %s is missing", method, path)
			}
		}
	}
	for _, parameter := range []string{"id of an event, the header Events-Cursor", "a repeated call with the same key and body"} {
		if !strings.Contains(page, parameter) {
			t.Errorf("the parameter %q is missing", parameter)
		}
	}
	for _, bad := range []string{"<script", "http://", "https://cdn", "&lt;nil&gt;"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}
