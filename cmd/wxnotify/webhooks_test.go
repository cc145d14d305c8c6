package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// A webhook gets what became of a message, from a worker that was killed after the
// message was accepted as well.
func TestWebhooksGetWhatBecameOfAMessage(t *testing.T) {
	t.Parallel()
	type request struct {
		header http.Header
		body   []byte
	}
	got := make(chan request, 100)
	shop := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Header, body}
	}))
	defer shop.Close()
	w := newWorld(t, redistest.Start(t).UserURL(t))
	w.env["WXNOTIFY_WEBHOOK_PRIVATE"] = "true"
	run := func(code int, args ...string) string {
		t.Helper()
		r := inProcess(t, w.env, args...)
		if r.code != code {
			t.Fatalf("%q: exit %d: %s%s", args, r.code, r.stdout, r.stderr)
		}
		return r.stdout + r.stderr
	}
	var added struct{ ID, Secret string }
	check(t, json.Unmarshal([]byte(run(0, "webhooks", "add", shop.URL, "--types", "message.*", "-o", "json")), &added))
	signer, err := standardwebhooks.NewWebhook(added.Secret)
	check(t, err)
	receive := func() string {
		t.Helper()
		r := testutil.Receive(t, "a webhook", got)
		check(t, signer.Verify(r.body, r.header))
		return string(r.body)
	}
	run(0, "webhooks", "test", added.ID)
	if body := receive(); !strings.Contains(body, "webhook.test") {
		t.Error(body)
	}

	run(0, sendArgs("hooked")...)
	run(0, "cancel", "hooked") // an end while no worker runs
	worker := start(t, w.env, "worker")
	if body := receive(); !strings.Contains(body, `"type":"message.cancelled"`) || !strings.Contains(body, `"id":"hooked"`) || strings.Contains(body, "oCommand000000000000000000001") {
		t.Error(body)
	}
	run(0, sendArgs("hooked-2")...)
	if body := receive(); !strings.Contains(body, `"type":"message.accepted"`) || !strings.Contains(body, `"id":"hooked-2"`) {
		t.Error(body)
	}
	worker.kill()

	if text := run(0, "webhooks", "list"); !strings.Contains(text, added.ID) || !strings.Contains(text, "200") || strings.Contains(text, "whsec_") {
		t.Error(text)
	}
	run(0, "webhooks", "rotate", added.ID)
	run(0, "webhooks", "recover", added.ID, "--since", "1h")
	run(2, "webhooks", "recover", added.ID, "--since", "yesterday")
	run(0, "webhooks", "enable", added.ID)
	run(0, "webhooks", "remove", added.ID)
	run(1, "webhooks", "remove", added.ID)
	inProcess(t, w.env, "webhooks", "list").has(t, 0, "no webhooks: add one")
	inProcess(t, w.env, "webhooks", "list", "--lang", "zh").has(t, 0, "没有 Webhook")
	run(2, "webhooks", "add", shop.URL, "--types", "message.sent")
	strict := maps.Clone(w.env)
	delete(strict, "WXNOTIFY_WEBHOOK_PRIVATE")
	if r := inProcess(t, strict, "webhooks", "add", shop.URL); r.code != 2 || !strings.Contains(r.stderr, "WXNOTIFY_WEBHOOK_PRIVATE") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}
