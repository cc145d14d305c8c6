package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/webhook"
)

func TestEventsGoOnFromACursor(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	masked := s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Read} })
	for _, id := range []string{"ev-1", "ev-2"} {
		want(t, s.call(t, "POST", "/v1/messages", secret, message(id)), http.StatusAccepted)
		want(t, s.call(t, "DELETE", "/v1/messages/"+id, secret, ""), http.StatusOK)
	}
	a := want(t, s.call(t, "GET", "/v1/events?limit=1", secret, ""), http.StatusOK)
	var e events.Event
	if err := json.Unmarshal(a.Body, &e); err != nil || e.MessageID != "ev-1" || e.Type != events.MessageCancelled {
		t.Fatalf("%s: %v", a.Body, err)
	}
	const openid = "oABCDEFGHIJKLMNOPQRSTUVWXYZ1"
	a = want(t, s.call(t, "GET", "/v1/events?after="+e.ID, secret, ""), http.StatusOK)
	if text := string(a.Body); strings.Count(text, "\n") != 1 || !strings.Contains(text, "ev-2") || !strings.Contains(text, openid) {
		t.Errorf("after the first: %s", a.Body)
	}
	if b := want(t, s.call(t, "GET", "/v1/events?after="+e.ID, masked, ""), http.StatusOK); strings.Contains(string(b.Body), openid) {
		t.Errorf("without read:openid: %s", b.Body)
	}
	cursor := a.Header.Get("Events-Cursor")
	a = want(t, s.call(t, "GET", "/v1/events?wait=1ms&after="+cursor, secret, ""), http.StatusOK)
	if len(a.Body) > 0 || a.Header.Get("Events-Cursor") != cursor {
		t.Errorf("after the last: %q, %q", a.Body, a.Header.Get("Events-Cursor"))
	}
	a = want(t, s.call(t, "GET", "/v1/events", s.key(t, other, nil), ""), http.StatusOK)
	if len(a.Body) > 0 {
		t.Errorf("another account's: %s", a.Body)
	}
	for _, query := range []string{"after=x", "types=message.sent", "limit=0", "limit=x", "wait=x", "since=1", "limit=2&limit=3", "limit=2;wait=1s", "types=%zz"} {
		if a := s.call(t, "GET", "/v1/events?"+query, secret, ""); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", query, a.Status)
		}
	}
}

func TestAWebhookIsMadeChangedAndRemoved(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	refused := want(t, s.call(t, "POST", "/v1/webhooks", secret, `{"url":"https://127.0.0.1:1/hook"}`), http.StatusBadRequest)
	if !strings.Contains(string(refused.Body), "url has a host that is not public") {
		t.Errorf("a private address: %s", refused.Body)
	}
	a := want(t, s.call(t, "POST", "/v1/webhooks", secret, `{"url":"https://shop.example/hook"}`), http.StatusCreated)
	id, _ := a.get(t, "id").(string)
	if text, _ := a.get(t, "secret").(string); !strings.HasPrefix(text, "whsec_") {
		t.Errorf("got %s", a.Body)
	}
	path := "/v1/webhooks/" + id
	a = want(t, s.call(t, "PATCH", path, secret, `{"events":["quota.*"],"keys":["shop"],"disabled":true}`), http.StatusOK)
	if a.get(t, "disabled_reason") == nil || !strings.Contains(string(a.Body), `"keys":["shop"]`) || strings.Contains(string(a.Body), "whsec_") {
		t.Errorf("got %s", a.Body)
	}
	want(t, s.call(t, "PATCH", path, secret, `{"disabled":false}`), http.StatusOK)
	refused = want(t, s.call(t, "PATCH", path, secret, `{"keys":["`+secret+`"]}`), http.StatusBadRequest)
	if text := string(refused.Body); !strings.Contains(text, `"/keys/0"`) || strings.Contains(text, secret) {
		t.Errorf("a secret in place of an ID: %s", refused.Body)
	}
	local := webhook.Webhook{URL: "https://127.0.0.1:1/hook"} // of the time when the setting allowed it
	local, err := webhook.NewStore(newAccount(t, s.rdb, appid).Ledger, true).Add(t.Context(), local)
	must(t, err)
	path = "/v1/webhooks/" + local.ID
	a = want(t, s.call(t, "POST", path+":test", secret, ""), http.StatusOK)
	if text, _ := a.get(t, "error").(string); !strings.Contains(text, "not public") {
		t.Errorf("a private address: %s", a.Body)
	}
	want(t, s.call(t, "POST", path+":rotate", secret, ""), http.StatusOK)
	want(t, s.call(t, "POST", path+":recover", secret, `{"since":"2026-11-26T08:00:00+08:00"}`), http.StatusOK)
	a = want(t, s.call(t, "GET", path, secret, ""), http.StatusOK)
	if list, _ := a.get(t, "attempts").([]any); len(list) != 1 {
		t.Errorf("got %s", a.Body)
	}
	if a := s.call(t, "GET", path, s.key(t, other, nil), ""); a.Status != http.StatusNotFound {
		t.Errorf("another account's: %d", a.Status)
	}
	narrow := s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Admin} })
	want(t, s.call(t, "PATCH", path, narrow, `{"openids":true}`), http.StatusForbidden)
	want(t, s.call(t, "GET", path, s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Read} }), ""), http.StatusForbidden)
	want(t, s.call(t, "DELETE", path, secret, ""), http.StatusOK)
	want(t, s.call(t, "DELETE", path, secret, ""), http.StatusNotFound)
}
