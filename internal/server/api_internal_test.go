package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// A webhook gets the events from when it was added, wherever sealed names have the stream.
func TestAWebhookOfTheHTTPAPIBeginsNowWhereNamesAreSealed(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	c, err := settings.Load("", nil, map[string]string{"appid": wechattest.AppID, "seal_keys": sealKey, "seal_name_keys": nameKey}, settings.Everything)
	check(t, err)
	acct, err := wiring.Open(rdb, c, &c.Accounts[0], nil)
	check(t, err)
	defer func() { _ = acct.Close() }()
	check(t, events.Publish(t.Context(), acct.Ledger, events.UserBound, events.Person{User: "patient-401"}))
	watch, err := newObserver(zap.NewNop())
	check(t, err)
	api, err := newAPI(rdb, c, []*wiring.Account{acct}, watch, nil)
	check(t, err)
	_, secret, err := acct.Keys.Create(t.Context(), apikey.Key{Name: "k", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Admin}})
	check(t, err)
	server := httptest.NewServer(api)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/webhooks", strings.NewReader(`{"url":"https://shop.example/hook"}`))
	check(t, err)
	request.Header.Set("Authorization", "Bearer "+secret)
	request.Header.Set("Content-Type", "application/json")
	answer, err := server.Client().Do(request)
	check(t, err)
	defer func() { _ = answer.Body.Close() }()
	var made struct {
		ID string `json:"id"`
	}
	check(t, json.NewDecoder(answer.Body).Decode(&made))
	at, err := rdb.HGet(t.Context(), "wxn:{"+acct.AppID+"}:webhook:"+made.ID, "at").Result()
	check(t, err)
	if latest, err := acct.Events().Latest(t.Context()); err != nil || at != latest || at == "0-0" {
		t.Errorf("it begins after %s, and the latest event is %s: %v", at, latest, err)
	}
}
