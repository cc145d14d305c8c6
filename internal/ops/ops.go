package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// Login is one admin.
type Login struct {
	Name string
	// Password is the password itself or its bcrypt hash ("$2a$…", as
	// `htpasswd -nB name` prints it). Prefer the hash: it may lie in a file.
	Password wechat.Secret
}

// Check is one condition of readiness.
type Check struct {
	Name string // shown to everybody: "redis", "token wx12…"
	// Run has two seconds; its error is shown to admins, masked.
	Run func(ctx context.Context) error
}

// AuditEvent is one change that somebody asked for, done or refused.
type AuditEvent struct {
	At     time.Time
	Who    string // the login, or "loopback" when none is needed
	Remote string // the address of the connection, without port
	Action string // asynqmon's verb: "pause", "run", "delete_all"…
	Queue  string
	Task   string // masked; empty when the action is not about one task
	Tasks  int    // of a batch; 0 otherwise
	Status int    // of the answer: below 300 is done
	Detail string // why it was refused; masked
}

// Config of the listener.
type Config struct {
	// Redis holds the queues. Required; New does not talk to it, and it stays open.
	Redis redis.UniversalClient
	// Addr is the address that will be listened on: it decides whether a login
	// is needed. Required.
	Addr string
	// Hosts are further names by which browsers reach the listener, with or
	// without port, such as a proxy's "ops.example.com". With a login, none
	// means any; without one only these and the loopback are answered.
	Hosts []string
	// Logins of the admins, by HTTP basic authentication. None is allowed on a
	// loopback address only.
	Logins []Login
	// ReadOnly refuses every change. Default false.
	ReadOnly bool
	// Registry is where the collector of the queues is registered, and what
	// /metrics shows. Default: a new one.
	Registry *prometheus.Registry
	// Checks of /readyz. None: always ready.
	Checks []Check
	// Accounts are the appids whose gates are shown and measured.
	Accounts []string
	// Gate reads an account's gate. nil: gates are neither shown nor measured.
	Gate func(ctx context.Context, account string) (ratelimit.State, error)
	// Gauges are read at each scrape, such as the token's age. nil: none.
	Gauges func(ctx context.Context) []Gauge
	// Mask is applied to whatever is shown, after the built-in one: for the
	// secrets that only the program knows. nil: none.
	Mask func(text string) string
	// OnManualHold is told before a queue is paused (or resumed) by an admin,
	// and once more with the opposite when that then failed. Its error refuses
	// the change. nil: nobody is told.
	OnManualHold func(ctx context.Context, queue string, paused bool, who string) error
	// Audit is told of every change, done or refused. nil: only the log is.
	Audit func(AuditEvent)
	// Logger, default: none.
	Logger *zap.Logger
}

// Handler serves the operators' pages. Safe for concurrent use.
type Handler struct {
	cfg     Config
	log     *zap.Logger
	mask    *masker
	login   *gatekeeper
	queues  *queueReader
	metrics *collector
	ready   *readiness
	monitor *monitor
	root    http.Handler
}

// New checks cfg and lists all its faults at once.
func New(cfg Config) (*Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("operators' listener: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	h := &Handler{cfg: cfg, log: cfg.Logger.Named("ops"), mask: newMasker(cfg.Mask)}
	h.login = newGatekeeper(cfg, h.log)
	h.queues = &queueReader{rdb: cfg.Redis}
	h.metrics = newCollector(cfg, h.queues)
	if err := cfg.Registry.Register(h.metrics); err != nil {
		return nil, fmt.Errorf("operators' listener: register the metrics of the queues: %w", err)
	}
	h.ready = newReadiness(cfg.Checks)
	var err error
	if h.monitor, err = newMonitor(h); err != nil {
		return nil, fmt.Errorf("operators' listener: %w", err)
	}
	h.root = h.routes()
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.root.ServeHTTP(w, r) }

func (h *Handler) routes() http.Handler {
	inside := http.NewServeMux()
	inside.HandleFunc("GET /{$}", h.index)
	inside.HandleFunc("GET /metrics", h.serveMetrics)
	inside.Handle(monitorRoot+"/", h.monitor)
	inside.Handle("GET "+monitorRoot, http.RedirectHandler(monitorRoot+"/", http.StatusMovedPermanently))

	outside := http.NewServeMux()
	outside.HandleFunc("GET /healthz", h.healthz)
	outside.HandleFunc("GET /readyz", h.readyz)
	outside.Handle("/", h.login.hosts(h.login.require(inside)))
	return secure(outside)
}

func (c Config) validate() error {
	var faults []error
	if c.Redis == nil {
		faults = append(faults, errors.New("config.Redis: is required"))
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		faults = append(faults, fmt.Errorf("config.Addr: %q is not host:port", c.Addr))
	} else if len(c.Logins) == 0 && !loopback(c.Addr) {
		faults = append(faults, fmt.Errorf("config.Addr: %s can be reached from other machines and there is no login: "+
			"set one (WXNOTIFY_OPS_LOGIN=user:password), or listen on 127.0.0.1", c.Addr))
	}
	faults = append(faults, loginFaults(c.Logins)...)
	for i, check := range c.Checks {
		if check.Name == "" || check.Run == nil {
			faults = append(faults, fmt.Errorf("config.Checks[%d]: Name and Run are required", i))
		}
	}
	for i, host := range c.Hosts {
		if host == "" || strings.ContainsAny(host, "/ ") {
			faults = append(faults, fmt.Errorf("config.Hosts[%d]: %q must be a name such as ops.example.com, without scheme and path", i, host))
		}
	}
	return errors.Join(faults...)
}

// loopback reports whether only this machine reaches addr (a host, or host:port).
func loopback(addr string) bool {
	host := addr
	if h, _, err := net.SplitHostPort(addr); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
