package console

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// Account is what the console shows and acts on. All but Name, SealKeys and
// Templates are required.
type Account struct {
	AppID    string
	Name     string // shown beside the appid. Default: none
	Ledger   *ledger.Ledger
	Producer *producer.Producer
	Gate     *ratelimit.Gate
	Tokens   *tokenstore.Store
	Roster   *enroll.Roster
	Keys     *apikey.Store
	Webhooks *webhook.Store
	// SealKeys open the cards of messages that wait. Nil: a card that is sealed names its key.
	SealKeys *seal.Keyring
	// Templates asks WeChat for the account's templates, once an hour at most. Default:
	// the page says that this process does not ask.
	Templates *templates.Known
}

// Config of the console.
type Config struct {
	// Redis holds the queues. Required. New does not talk to it.
	Redis redis.UniversalClient
	// Accounts in the order in which they are shown. Required.
	Accounts []Account
	// Prefix is the path before /console/ under which a browser sees it, such as
	// "/wxnotify". Default: none.
	Prefix string
	// LinkKey signs links to a message's page that need no login, see ServeShared.
	// Processes that share it read each other's links. Default: there are no links.
	LinkKey wechat.Secret
	// TwoPersons has erasing a person and dropping all dead letters wait until a second
	// operator confirms them. Logins must have names. Default: they do not wait.
	TwoPersons bool
	// Audit gets a line for each change, in addition to the account's audit trail.
	// Default: none. Close does not close it.
	Audit *auditlog.Log
	// Logger, default: none.
	Logger *zap.Logger
}

// Role says what an operator may do. Each role includes those before it.
type Role int

// The roles.
const (
	View    Role = iota // overview and lists
	Support             // find messages and read their stories
	Operate             // pause, resume, cancel, retry, drop, lift
	Admin               // unbind, erase, API keys
)

// Operator makes a request.
type Operator struct {
	Name    string // of the login; empty: the listener has none
	Subject string // of the person at their issuer of logins, whatever their name is; empty: not known
	Address string // of the client
	Role    Role
	LogOut  bool            // a session can be ended
	Stop    <-chan struct{} // ends streams; nil: never
}

// is reports whether both are one person.
func (o Operator) is(p Operator) bool {
	return o.Name == p.Name || o.Subject != "" && o.Subject == p.Subject
}

// title names the operator in the audit trail.
func (o Operator) title() string {
	if o.Name == "" {
		return "console"
	}
	return o.Name + " (console)"
}

type operatorKey struct{}

// WithOperator returns r as made by o.
func WithOperator(r *http.Request, o Operator) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), operatorKey{}, o))
}

// operatorOf is who makes r. A request without one may do nothing but look.
func operatorOf(r *http.Request) Operator {
	o, _ := r.Context().Value(operatorKey{}).(Operator)
	return o
}

// Console serves the pages. Safe for concurrent use.
type Console struct {
	cfg    Config
	log    *zap.Logger
	trail  auditlog.Trail
	ids    *mask.IDs
	seals  *sealer
	links  *sealer // nil: there are none
	open   http.Handler
	queues *queue.Inspector
	pages  map[wechat.Lang]map[string]*template.Template
	live   *overviews
	around surroundings
	words  map[wechat.Lang]locale.Words
	// streams holds one entry for each live page.
	streams chan struct{}
	runs    *runs
	// approvals wait for a second person.
	approvals approvals
	root      http.Handler
}

//go:embed pages
var files embed.FS

// New checks cfg and names all its faults. It does not talk to Redis. Call Close at the
// end.
func New(cfg Config) (*Console, error) {
	var faults []error
	if cfg.Redis == nil {
		faults = append(faults, errors.New("config.Redis: is required"))
	}
	if len(cfg.Accounts) == 0 {
		faults = append(faults, errors.New("Config.Accounts: is required"))
	}
	for i, a := range cfg.Accounts {
		if a.AppID == "" || a.Ledger == nil || a.Producer == nil || a.Gate == nil || a.Tokens == nil || a.Roster == nil || a.Keys == nil || a.Webhooks == nil {
			faults = append(faults, fmt.Errorf("Config.Accounts[%d]: all fields but Name and Templates are required", i))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	log := cfg.Logger.Named("console")
	seals, err := newSealer()
	if err != nil {
		return nil, err
	}
	c := &Console{
		cfg: cfg, log: log, trail: auditlog.Trail{File: cfg.Audit, Logger: log}, ids: mask.NewIDs(), seals: seals, queues: queue.NewInspector(cfg.Redis), runs: &runs{}, words: wordsOf(), streams: make(chan struct{}, maxStreams),
	}
	if c.pages, err = parsePages(c.words); err != nil {
		return nil, err
	}
	if secret := cfg.LinkKey.Reveal(); secret != "" {
		if c.links, err = newLinkSealer(secret); err != nil {
			return nil, err
		}
	}
	c.live, c.open = newOverviews(c), c.openRoutes()
	c.root = c.routes()
	return c, nil
}

// Close stops what runs in the background and waits for it.
func (c *Console) Close() { c.runs.close() }

// ServeHTTP implements http.Handler, for paths that begin with /console/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.root.ServeHTTP(w, r) }

// maxForm bounds the body of a request.
const maxForm = 64 << 10

func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, role Role, h func(*request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, role, h) })
	}
	handle("GET /console/{$}", View, c.overview)
	handle("GET /console/live", View, c.stream)
	handle("POST /console/gate", Operate, c.actOnGate)
	handle("GET /console/messages", Support, c.messages)
	handle("POST /console/messages", Support, c.find)
	handle("GET /console/message", Support, c.message)
	if c.links != nil {
		handle("POST /console/share", Support, c.share)
		mux.Handle("GET /console/shared/", c.open)
	}
	handle("POST /console/act", Operate, c.act)
	handle("POST /console/act-all", Operate, c.actOnAll)
	handle("GET /console/dead", Support, c.deadLetters)
	handle("GET /console/suppressions", Support, c.suppressions)
	handle("POST /console/suppressions", Support, c.findSuppression)
	handle("POST /console/lift", Operate, c.lift)
	handle("GET /console/roster", Support, c.roster)
	handle("POST /console/roster", Support, c.findPerson)
	handle("POST /console/person", Admin, c.actOnPerson)
	handle("GET /console/templates", Support, c.templates)
	handle("GET /console/webhooks", Support, c.webhooks)
	handle("POST /console/webhooks", Operate, c.enableWebhook)
	handle("GET /console/keys", Admin, c.keys)
	handle("POST /console/keys", Admin, c.actOnKey)
	handle("GET /console/runs", View, c.listRuns)
	handle("POST /console/runs/stop", Operate, c.stopRun)
	if c.cfg.TwoPersons {
		handle("GET /console/approvals", Operate, c.listApprovals)
		handle("POST /console/approvals", Operate, c.answerApproval)
	}
	handle("GET /console/audit", Support, c.audit)
	mux.HandleFunc("GET /console/{file}", c.static)
	mux.HandleFunc("/console/", func(w http.ResponseWriter, r *http.Request) {
		c.serve(w, r, View, func(*request) error { return &faultError{status: http.StatusNotFound, text: "There is no such page."} })
	})
	return mux
}

// account is the one with this appid; nil when there is none.
func (c *Console) account(appid string) *Account {
	i := slices.IndexFunc(c.cfg.Accounts, func(a Account) bool { return a.AppID == appid })
	if i < 0 {
		return nil
	}
	return &c.cfg.Accounts[i]
}
