package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/gateway"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/wechat"
)

// apiLimits are for the API listener. A call may have 8 MB, and a call for events may
// wait for them, so that its times are longer than those of the public listener.
func apiLimits() limits {
	return limits{read: 60 * time.Second, write: 90 * time.Second, grace: 20 * time.Second, drain: true}
}

// newAPI builds the handler of the API listener of these accounts: the API, and with
// gateway on, WeChat's own paths.
func newAPI(rdb redis.UniversalClient, c *settings.Config, accounts []*wiring.Account, watch *observer, audit *auditlog.Log) (http.Handler, error) {
	keys, err := apikey.NewKeyring(rdb, c.AppIDs(), c.API.Keys.Reveal())
	if err != nil {
		return nil, usage.Errorf("%s: %w", c.Label("api_keys"), err)
	}
	client := clientaddr.Proxies(c.Public.TrustedProxies).Network
	cfg := api.Config{
		Redis: rdb, Keys: keys, PublicURL: c.Public.URL, EnrollKey: c.Public.EnrollKey, ReturnURLs: c.Public.ReturnURLs, ClientIP: client, Logger: watch.log, Audit: audit,
		OnCall: func(call api.Call) { watch.metrics.ObserveAPI(call.Route, call.Status, call.Took) },
	}
	through := gateway.Config{Keys: keys, ClientIP: client, Logger: watch.log, OnCall: watch.passed}
	for _, a := range accounts {
		cfg.Accounts = append(cfg.Accounts, api.Account{
			AppID: a.AppID, Producer: a.Producer, Gate: a.Gate, Ledger: a.Ledger, Roster: a.Roster,
			Webhooks: a.Webhooks, Events: a.Events(), Templates: a.Templates,
		})
		if c.API.Gateway {
			upstream, err := gatewayAccount(a)
			if err != nil {
				return nil, usage.Errorf("account %s: %w", a.AppID, err)
			}
			through.Accounts = append(through.Accounts, upstream)
		}
	}
	handler, err := api.New(cfg)
	if err != nil {
		return nil, err
	}
	if !c.API.Gateway {
		return oneRequest(handler), nil
	}
	g, err := gateway.New(through)
	if err != nil {
		return nil, err
	}
	return oneRequest(beside(handler, g)), nil
}

// oneRequest ends the connection after a request whose body comes in chunks: Go takes a
// Content-Length beside them, and a proxy in front may take the length for the body's,
// and what follows for a request of its own.
func oneRequest(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

func gatewayAccount(a *wiring.Account) (gateway.Account, error) {
	transport, err := wechat.NewTransport(a.Proxy)
	if err != nil {
		return gateway.Account{}, err
	}
	return gateway.Account{
		AppID: a.AppID, AppSecret: a.AppSecret, BaseURL: a.BaseURL, Producer: a.Producer, Tokens: a.Tokens, Gate: a.Gate, Transport: transport,
	}, nil
}

// beside serves WeChat's own paths by g and all others by h. No mux decides, since one
// redirects a path that is not clean, with the token in its query.
func beside(h, g http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, tree := range gateway.Paths() {
			if strings.HasPrefix(r.URL.Path, tree) {
				g.ServeHTTP(w, r)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}
