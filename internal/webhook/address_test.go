package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/webhook"
)

// No address of this machine or its networks is called, in whatever form it is written.
func TestPrivateAddressesAreNotCalled(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = ln.Close() }()
	called := make(chan struct{})
	go func() {
		if conn, err := ln.Accept(); err == nil {
			close(called)
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	_, rdb := redistest.Mini(t)
	store := webhook.NewStore(records(rdb), false)
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "0.0.0.0", "[::]", "169.254.169.254",
		"[::ffff:169.254.169.254]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[fe80::1%25lo]",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "2130706433", "0x7f000001", "017700000001", "127.1",
	} {
		a, err := webhook.Post(t.Context(), false, webhook.Webhook{URL: "http://" + host + ":" + port}, golden())
		if err == nil || a.Status != 0 {
			t.Errorf("%s was called: %+v", host, a)
		}
		var invalid *webhook.InvalidError
		if _, err := store.Add(t.Context(), webhook.Webhook{URL: "https://" + host + "/hook"}); !errors.As(err, &invalid) || invalid.Field != "url" {
			t.Errorf("%s is added: %v", host, err)
		}
	}
	select {
	case <-called:
		t.Error("a private address was called")
	default:
	}
	for _, address := range []string{
		"[::ffff:0:127.0.0.1]:443", "[64:ff9b:1::a00:1]:443", "[100::1]:443", "[3fff::1]:443", "[5f00::1]:443", "[2001:2::1]:443", "192.88.99.1:443",
		"198.18.0.1:443", "224.0.0.1:443", "255.255.255.255:443", "240.0.0.1:443", "[ff02::1]:443", "[2001:db8::1]:443", "[fec0::1]:443", "x", "",
	} {
		if webhook.CheckAddress(address) == nil {
			t.Errorf("%s is allowed", address)
		}
	}
	for _, address := range []string{"1.1.1.1:443", "101.226.103.106:443", "[2606:4700:4700::1111]:443", "[::ffff:1.1.1.1]:443"} {
		if err := webhook.CheckAddress(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	inside := newBusiness()
	secret := httptest.NewServer(inside)
	defer secret.Close()
	server := httptest.NewServer(http.RedirectHandler(secret.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	a, err := webhook.Post(t.Context(), true, webhook.Webhook{URL: server.URL + "?token=geheim"}, golden())
	if err == nil || a.Status != http.StatusTemporaryRedirect || len(inside.requests()) != 0 {
		t.Errorf("%+v %v", a, err)
	}
	server.Close()
	if a, _ = webhook.Post(t.Context(), true, webhook.Webhook{URL: server.URL + "?token=geheim"}, golden()); strings.Contains(a.Error, "geheim") || a.Error == "" {
		t.Errorf("the attempt shows the address: %+v", a)
	}
}

func TestStoreRefusesWhatCannotBeServed(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		store, _ := newService(rdb, false)
		for _, w := range []webhook.Webhook{
			{},
			{URL: "shop.example"},
			{URL: "http://shop.example"},
			{URL: "https://user:x@shop.example"},
			{URL: "ftp://shop.example"},
			{URL: "https://shop.example#x"},
			{URL: "https://:443/x"},
			{URL: "https://shop.example:0"},
			{URL: "https://shop.example:65536"},
			{URL: "https://" + strings.Repeat("a.", 127) + "example"},
			{URL: "https://shop.example/" + strings.Repeat("x", 2028)},
			{URL: "https://shop.example", Types: []string{"message.sent"}},
			{URL: "https://shop.example", Classes: []job.Class{"urgent"}},
			{URL: "https://shop.example", Keys: []string{""}},
			{URL: "https://shop.example", Keys: []string{"the shop"}},
			{URL: "https://shop.example", Keys: []string{"wxn_live_a_secret"}},
			{URL: "https://shop.example", Keys: slices.Repeat([]string{"k"}, 101)},
		} {
			if _, err := store.Add(t.Context(), w); err == nil {
				t.Errorf("%+v is taken", w)
			}
		}
		for range 20 {
			_, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example"})
			must(t, err)
		}
		if _, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example"}); err == nil {
			t.Error("more than 20 are taken")
		}
		list, err := store.List(t.Context())
		must(t, err)
		text, err := json.Marshal(list)
		if err != nil || bytes.Contains(text, []byte("whsec_")) || len(list) != 20 {
			t.Errorf("the list shows secrets: %s %v", text, err)
		}
		must(t, store.Remove(t.Context(), list[0].ID))
		if err := store.Remove(t.Context(), list[0].ID); !errors.Is(err, webhook.ErrNotFound) {
			t.Error(err)
		}
	})
}

// The setting may be taken back while there are webhooks that need it.
func TestAWebhookThatMayNotBeCalledAnyMoreCanBeDisabled(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	w, err := webhook.NewStore(records(rdb), true).Add(t.Context(), webhook.Webhook{URL: "http://10.0.0.1/hook"})
	must(t, err)
	store := webhook.NewStore(records(rdb), false)
	_, err = store.Update(t.Context(), w.ID, func(w *webhook.Webhook) { w.Disabled = time.Now() })
	must(t, err)
	var invalid *webhook.InvalidError
	if _, err := store.Update(t.Context(), w.ID, func(w *webhook.Webhook) { w.Disabled = time.Time{} }); !errors.As(err, &invalid) {
		t.Errorf("it is enabled: %v", err)
	}
	if _, err := store.Update(t.Context(), w.ID, func(w *webhook.Webhook) { w.URL = "https://[::1]/hook" }); !errors.As(err, &invalid) {
		t.Errorf("it is changed: %v", err)
	}
}
