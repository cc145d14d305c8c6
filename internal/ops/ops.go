package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// Login is one admin.
type Login struct {
	Name string
	// Password is the password itself or its bcrypt hash ("$2a$…", as
	// `htpasswd -nB name` prints it). Prefer the hash: it may be stored in a file.
	Password wechat.Secret
}

// Check is one condition of readiness.
type Check struct {
	Name    string // one word, shown without a login: "redis", "token"
	Account string // the appid that it is about, shown to admins only. Default: none
	// Run is cancelled after two seconds. Its error is shown to admins, masked.
	Run func(ctx context.Context) error
}

// title is the name that admins see.
func (c Check) title() string { return strings.TrimSpace(c.Name + " " + c.Account) }

// Config of the listener.
type Config struct {
	// Redis holds the queues. Required. New does not talk to it, and never closes it.
	Redis redis.UniversalClient
	// Addr is the listen address, host:port. It decides whether a login is
	// required. Required.
	Addr string
	// Hosts are further names by which browsers reach the listener, with or
	// without port, such as a proxy's "ops.example.com". Default: any name with a
	// login, the loopback only without one.
	Hosts []string
	// Prefix is the path under which a proxy serves the listener, such as "/wxnotify":
	// links begin with it. Requests may come with it or without it, as the proxy
	// passes them on. Default: none.
	Prefix string
	// TrustedProxies are the networks of proxies whose X-Forwarded-For tells the
	// client's address, by which failed logins are counted. Default: none; the
	// address is that of the connection.
	TrustedProxies []netip.Prefix
	// Logins of the admins, by HTTP basic authentication. Default: none, which is
	// allowed on a loopback address only.
	Logins []Login
	// OIDC logs operators in, too. Default: passwords only.
	OIDC *OIDC
	// Registry is what /metrics shows beside the queues. Default: an empty one.
	Registry *prometheus.Registry
	// Exemplars lets /metrics answer in the form of OpenMetrics, the only one that has
	// exemplars, to whom asks for it. Default: the text form alone.
	Exemplars bool
	// Checks of /readyz, beside those of Redis' clock and persistence. Default: none.
	Checks []Check
	// Accounts are the appids whose gates and workers are measured.
	Accounts []string
	// Gate reads an account's gate. Default: gates are not measured.
	Gate func(ctx context.Context, account string) (ratelimit.State, error)
	// Console serves the paths below /console/, for operators who are logged in. Default: there
	// is none.
	Console func(w http.ResponseWriter, r *http.Request, who Operator)
	// Shared serves the pages of the console that need no login: those below
	// /console/shared/, and their style sheet and icon. Default: there are none.
	Shared http.HandlerFunc
	// Logger, default: none.
	Logger *zap.Logger
}

// Handler serves the operators' pages. Safe for concurrent use.
type Handler struct {
	cfg     Config
	log     *zap.Logger
	auth    *authenticator
	metrics *collector
	ready   *shared[readyResult]
	root    http.Handler
}

// New checks cfg and returns all its faults in one error.
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
	h := &Handler{cfg: cfg, log: cfg.Logger.Named("ops")}
	h.auth = newAuthenticator(cfg, h.log)
	if cfg.OIDC != nil {
		h.auth.oidc = newOIDCLogins(*cfg.OIDC, cfg.Prefix, h.auth, h.log)
	}
	inspector := queue.NewInspector(cfg.Redis)
	h.metrics = newCollector(cfg, inspector)
	own := prometheus.NewRegistry() // of this handler: another one of the same Registry may follow it
	own.MustRegister(h.metrics)
	h.metrics.serve = promhttp.HandlerFor(prometheus.Gatherers{cfg.Registry, own}, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, EnableOpenMetrics: cfg.Exemplars,
	})
	h.ready = share(readyFor, checkTimeout, h.runChecks)
	monitor, err := newMonitor(cfg.Redis, inspector, newMasker(), cfg.Prefix)
	if err != nil {
		return nil, fmt.Errorf("operators' listener: %w", err)
	}
	h.root = h.routes(monitor)
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.root.ServeHTTP(w, r) }

func (h *Handler) routes(monitor http.Handler) http.Handler {
	private := http.NewServeMux()
	private.HandleFunc("GET /metrics", h.serveMetrics)
	private.Handle(monitorRoot+"/", monitor)
	home := monitorRoot
	if h.cfg.Console != nil {
		home = consoleRoot
		private.Handle(consoleRoot+"/", h.console())
		private.Handle("GET "+consoleRoot, http.RedirectHandler(h.cfg.Prefix+consoleRoot+"/", http.StatusFound))
	}
	private.Handle("GET /{$}", http.RedirectHandler(h.cfg.Prefix+home+"/", http.StatusFound))
	private.Handle("GET "+monitorRoot, http.RedirectHandler(h.cfg.Prefix+monitorRoot+"/", http.StatusFound))

	public := http.NewServeMux()
	public.HandleFunc("GET /healthz", h.healthz)
	public.HandleFunc("GET /readyz", h.readyz)
	if h.auth.oidc != nil {
		h.auth.oidc.routes(public, h.auth, h.protect)
		private.Handle("GET "+oidcPassword, http.RedirectHandler(h.cfg.Prefix+consoleRoot+"/", http.StatusFound))
	}
	if h.cfg.Shared != nil {
		for _, path := range []string{"/shared/{link}", "/style.css", "/icon.svg"} {
			public.Handle("GET "+consoleRoot+path, h.auth.checkHost(h.cfg.Shared))
		}
	}
	public.Handle("/", h.auth.checkHost(h.auth.requireLogin(private)))
	return withSecurityHeaders(h.withoutPrefix(public))
}

// prefixPattern admits what needs no escaping in a link.
var prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

// withoutPrefix removes the prefix where the proxy did not. Below it the paths are the
// same, the open ones too.
func (h *Handler) withoutPrefix(next http.Handler) http.Handler {
	if h.cfg.Prefix == "" {
		return next
	}
	stripped := http.StripPrefix(h.cfg.Prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == h.cfg.Prefix:
			http.Redirect(w, r, h.cfg.Prefix+"/", http.StatusFound)
		case strings.Contains(r.URL.Path, "//") || strings.Contains(r.URL.Path, "/."):
			writeText(w, http.StatusNotFound, "Not found.") // http.ServeMux would redirect out of the prefix
		case strings.HasPrefix(r.URL.EscapedPath(), h.cfg.Prefix+"/"): // not %2f, behind which ServeMux would redirect, too
			stripped.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (c Config) validate() error {
	var faults []error
	if c.Redis == nil {
		faults = append(faults, errors.New("config.Redis: is required"))
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		faults = append(faults, fmt.Errorf("config.Addr: %q is not host:port", c.Addr))
	} else if len(c.Logins) == 0 && c.OIDC == nil && !clientaddr.Loopback(c.Addr) {
		faults = append(faults, fmt.Errorf("config.Addr: %s can be reached from other machines and there is no login: "+
			"set one (WXNOTIFY_OPS_LOGIN=user:password), or listen on 127.0.0.1", c.Addr))
	}
	faults = append(faults, validateLogins(c.Logins)...)
	if err := c.OIDC.validate(c.Prefix); err != nil {
		faults = append(faults, err)
	}
	for i, check := range c.Checks {
		if check.Name == "" || check.Run == nil {
			faults = append(faults, fmt.Errorf("config.Checks[%d]: Name and Run are required", i))
		} else if strings.ContainsFunc(check.Name, func(r rune) bool { return r < 'a' || r > 'z' }) {
			faults = append(faults, fmt.Errorf("config.Checks[%d]: Name %q is shown to strangers: use one word of lower-case letters; an appid goes into Account", i, check.Name))
		}
	}
	if c.Prefix != "" && !prefixPattern.MatchString(c.Prefix) {
		faults = append(faults, fmt.Errorf("config.Prefix: %q must be a path such as /wxnotify, without a slash at its end", c.Prefix))
	}
	for i, host := range c.Hosts {
		if host == "" || strings.ContainsAny(host, "/ ") {
			faults = append(faults, fmt.Errorf("config.Hosts[%d]: %q must be a name such as ops.example.com, without scheme and path", i, host))
		}
	}
	return errors.Join(faults...)
}
