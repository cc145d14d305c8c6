package api_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
)

// A webhook that gets whole openids is not pointed elsewhere by a key that may not read them.
func TestAWebhookWithOpenIDsIsMovedByWhoMayReadThem(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	whole := s.key(t, appid, nil)
	narrow := s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Admin} })
	a := want(t, s.call(t, "POST", "/v1/webhooks", whole, `{"url":"https://shop.example/hook","openids":true}`), http.StatusCreated)
	id, _ := a.get(t, "id").(string)
	path := "/v1/webhooks/" + id
	if a := want(t, s.call(t, "PATCH", path, narrow, `{"url":"https://thief.example/"}`), http.StatusForbidden); a.code(t) != "scope-missing" {
		t.Errorf("%s", a.Body)
	}
	a = want(t, s.call(t, "GET", path, narrow, ""), http.StatusOK)
	if !strings.Contains(string(a.Body), "https://shop.example/hook") {
		t.Errorf("%s", a.Body)
	}
	for _, allowed := range []string{`{"url":"https://shop.example/hook"}`, `{"disabled":true}`, `{"openids":false}`, `{"url":"https://shop.example/other"}`} {
		want(t, s.call(t, "PATCH", path, narrow, allowed), http.StatusOK)
	}
}

// A key that is revoked while its call waits for events gets none.
func TestARevokedKeyGetsNoEventsThatItWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		sender := s.key(t, appid, nil)
		secret := s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Read} })
		waiting := make(chan answer, 1)
		go func() { waiting <- s.call(t, "GET", "/v1/events?after=now&wait=20s", secret, "") }()
		time.Sleep(time.Second) // virtual
		must(t, apikey.NewStore(s.rdb, appid).Revoke(t.Context(), strings.Split(secret, "_")[2]))
		time.Sleep(time.Second) // virtual
		want(t, s.call(t, "POST", "/v1/messages", sender, message("ev-1")), http.StatusAccepted)
		want(t, s.call(t, "DELETE", "/v1/messages/ev-1", sender, ""), http.StatusOK)
		want(t, <-waiting, http.StatusUnauthorized)
	})
}
