// Package api is the HTTP API: messages, enrolment links, users, accounts. Its
// contract is docs/api.md and openapi.json, which it serves. Any client in any
// language uses it with an API key; see package apikey.
package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// Limits of one request.
const (
	// MaxBody is what a body may have. 1 000 messages of 16 KB each would be more:
	// such a call is to be cut in two.
	MaxBody = 8 << 20
	// MaxMessages is how many messages one call may have.
	MaxMessages = 1000
	// maxWait is how long one call runs, beside those that wait for events.
	maxWait = 30 * time.Second
)

// Account is what the API uses of one account. All but Templates is required.
type Account struct {
	AppID    string
	Producer *producer.Producer
	Roster   *enroll.Roster
	Gate     *ratelimit.Gate
	Ledger   *ledger.Ledger
	Webhooks *webhook.Store
	Events   *events.Reader
	// Templates has what WeChat says of the account's templates. Nil: nothing is known.
	Templates *templates.Known
}

// Config of the API.
type Config struct {
	Redis    redis.UniversalClient
	Accounts []Account
	Keys     *apikey.Keyring
	// PublicURL and EnrollKey make enrolment links. Empty: there are none.
	PublicURL string
	EnrollKey wechat.Secret
	// ReturnURLs are the addresses to which a link may lead afterwards. None: those that
	// another process serves enrolment with, which refuses others when the link is opened.
	ReturnURLs []string
	// ClientIP returns the address of the caller, for the log and the bound of
	// failed keys. Nil: the connection's.
	ClientIP func(*http.Request) string
	// Audit gets a line for each change, in addition to the account's audit trail.
	// Default: none.
	Audit *auditlog.Log
	// OnCall is told of each call that was answered. Nil: nothing is.
	OnCall func(Call)
	Logger *zap.Logger
}

// Call is one call that was answered.
type Call struct {
	Route  string // its pattern, such as "GET /v1/messages/{id}"; other: no operation
	Status int    // of the answer
	Took   time.Duration
}

// server answers the requests.
type server struct {
	cfg      Config
	accounts map[string]*Account
	keys     *apikey.Keyring
	log      *zap.Logger
}

// New checks cfg and returns the handler of the API listener. It does not talk
// to Redis.
func New(cfg Config) (http.Handler, error) {
	if cfg.Redis == nil || cfg.Keys == nil || len(cfg.Accounts) == 0 {
		return nil, errors.New("api: a Redis client, a keyring and an account are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.OnCall == nil {
		cfg.OnCall = func(Call) {}
	}
	if cfg.ClientIP == nil {
		cfg.ClientIP = clientaddr.Proxies{}.Network
	}
	s := &server{
		cfg: cfg, accounts: map[string]*Account{}, keys: cfg.Keys, log: cfg.Logger,
	}
	for i := range cfg.Accounts {
		a := &cfg.Accounts[i]
		for part, missing := range map[string]bool{
			"Producer": a.Producer == nil, "Roster": a.Roster == nil, "Gate": a.Gate == nil,
			"Ledger": a.Ledger == nil, "Webhooks": a.Webhooks == nil, "Events": a.Events == nil,
		} {
			if missing {
				return nil, fmt.Errorf("api: account %s: %s is required", a.AppID, part)
			}
		}
		s.accounts[a.AppID] = a
	}
	return s.handler()
}

// route is one operation: its pattern, what a key needs for it, and what it does.
type route struct {
	pattern string
	scope   apikey.Scope // empty: no key
	do      func(*call) error
	action  string // in the audit trail; see entry
}

// takesQuery reports whether do reads the query. Without, each parameter is refused.
func (r route) takesQuery() bool {
	return slices.Contains([]string{"GET /v1/messages", "GET /v1/messages/{id}", "GET /v1/events"}, r.pattern)
}

func (s *server) routes() []route {
	return []route{
		{"POST /v1/messages", apikey.Send, s.postMessages, notAudited}, // the record tells
		{"POST /v1/messages:validate", apikey.Send, s.validateMessage, notAudited},
		{"GET /v1/messages", apikey.Read, s.listMessages, ""},
		{"GET /v1/messages/{id}", apikey.Read, s.getMessage, ""},
		{"DELETE /v1/messages/{id}", apikey.Send, s.deleteMessage, notAudited}, // as above
		{"POST /v1/enroll-links", apikey.Enroll, s.postEnrollLink, notAudited},
		{"GET /v1/users/{user}", apikey.Read, s.getUser, ""},
		{"POST /v1/users/{verb}", apikey.Enroll, s.postUser, notAudited}, // the trail of bindings tells
		{"DELETE /v1/users/{user}", apikey.Erase, s.deleteUser, "erase"},
		{"GET /v1/accounts/{appid}", apikey.Read, s.getAccount, ""},
		{"GET /v1/templates", apikey.Read, s.getTemplates, ""},
		{"GET /v1/events", apikey.Read, s.getEvents, ""},
		{"GET /v1/webhooks", apikey.Admin, s.getWebhooks, ""},
		{"POST /v1/webhooks", apikey.Admin, s.postWebhook, notAudited},
		{"GET /v1/webhooks/{id}", apikey.Admin, s.getWebhook, ""},
		{"PATCH /v1/webhooks/{id}", apikey.Admin, s.patchWebhook, notAudited},
		{"DELETE /v1/webhooks/{id}", apikey.Admin, s.deleteWebhook, "remove webhook"},
		{"POST /v1/webhooks/{verb}", apikey.Admin, s.postWebhookVerb, "webhook"},
		{"GET /openapi.json", "", s.getDocument, ""},
		{"GET /docs", "", s.getDocs, ""},
		{"GET /healthz", "", s.getHealth, ""},
	}
}

func (s *server) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.serve(r))
	}
	mux.Handle("/", s.serve(route{pattern: "other", do: func(c *call) error { return s.noSuchPath(mux, c) }}))
	return mux, nil
}

// noSuchPath answers what no pattern matches: an unknown path, or a method that
// a known path does not have.
func (s *server) noSuchPath(mux *http.ServeMux, c *call) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		other := c.r.Clone(c.r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return problemf(http.StatusNotFound, codeNotFound, "there is no %s; see /docs", c.r.URL.Path)
	}
	for _, m := range allowed {
		c.w.Header().Add("Allow", m)
	}
	return problemf(http.StatusMethodNotAllowed, codeMethod, "%s does not take %s", c.r.URL.Path, c.r.Method)
}

// ofAccount refuses a request that names another account than that of the key.
func (c *call) ofAccount(name string) error {
	if name != "" && name != c.key.Account {
		return problemf(http.StatusForbidden, codeAccount, "the key belongs to the account %s", c.key.Account)
	}
	return nil
}

func (s *server) getHealth(c *call) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), time.Second)
	defer cancel()
	if err := s.cfg.Redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return c.answer(http.StatusOK, map[string]string{"status": "ok"})
}
