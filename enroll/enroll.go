package enroll

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/html/charset"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/wechat"
)

// OAuth asks WeChat who came back from its page: *wechat.OAuth.
type OAuth interface {
	Exchange(ctx context.Context, code wechat.Secret) (wechat.UserToken, error)
	Profile(ctx context.Context, t wechat.UserToken) (wechat.Profile, error)
}

// Platform asks WeChat about followers: *wechat.Client.
type Platform interface {
	UserInfo(ctx context.Context, openid string) (wechat.UserInfo, error)
	CreateQR(ctx context.Context, scene string, life time.Duration) (wechat.QRCode, error)
}

// Class is a message's class: "critical", "default" or "bulk".
type Class = job.Class

// Account is one account that followers enrol with and WeChat calls back for.
type Account struct {
	Roster *Roster // required; stays open
	// Name is shown to followers. Empty: none is.
	Name string
	// OAuth and Platform capture openids. Nil: no one can enrol.
	OAuth    OAuth
	Platform Platform
	// AuthorizeURL is WeChat's OAuth page. Default
	// https://open.weixin.qq.com/connect/oauth2/authorize.
	AuthorizeURL string
	// Callback checks what claims to come from WeChat. Nil: /callback/{appid}
	// answers 404.
	Callback *wechat.Callback
	// Forward gets every push that is not ours alone, and its passive reply goes
	// to the follower. Nil: no push is forwarded.
	Forward Forwarder
	// ReceiptMsgID makes Forward get the receipts of our messages, too, after they are
	// settled: with the msgid that this function returns for the message's ID in place
	// of WeChat's. A receipt that Forward does not take is tried again each minute, ten
	// times. Nil: receipts are not forwarded.
	ReceiptMsgID func(id string) wechat.MessageID
}

// Config of the service.
type Config struct {
	Accounts []Account // at least one
	// PublicURL is the base of the links that users open, with https and the
	// host under 网页授权域名 of the account. Required to enrol.
	PublicURL string
	// Key signs enrolment tickets and states: 32 bytes or more, the same as the
	// producer's. Required to enrol.
	Key wechat.Secret
	// PreviousKey keeps links valid that were made before Key was changed. Remove it
	// after 30 days, the longest life of a link. Do not set a key that leaked.
	// Default: none.
	PreviousKey wechat.Secret
	// ReturnURLs are the addresses that a follower may be sent to afterwards.
	// Default: none.
	ReturnURLs []string
	// VerifyFiles are served at the root, by name: see ReadVerifyFiles. Default: none.
	VerifyFiles map[string][]byte
	// TrustedProxies are the proxies whose X-Forwarded-For names the client. Default:
	// none; then all clients behind a proxy count as one.
	TrustedProxies []netip.Prefix
	// RequestsPerMinute bounds the requests of one client address to one process;
	// what WeChat signed is not counted. Default 1200; negative: no bound.
	RequestsPerMinute int
	// ConsumerID names this process in Redis. Default: one made up.
	ConsumerID string
	// Logger gets what operators need. Default: none.
	Logger *zap.Logger
	// OnEvent is told of each push and each enrolment, from many goroutines. It
	// must not block. Default: none.
	OnEvent func(Event)
	// OnChange is called for each binding, rebinding and unbinding, including those by
	// other processes and commands, but not for erasures. Run calls it, in one process at
	// a time and, per account, in the order of the changes. Each change is delivered at
	// least once: after an error, or the end of the process, the call is repeated, and
	// later changes wait. A call has 10 seconds, then its context ends. Undelivered
	// changes are kept for 7 days, at most 100 000 per account; changes from before the
	// first Run with this hook are not delivered. Default: none.
	OnChange func(context.Context, Change) error
}

// Service enrols followers and receives what WeChat pushes. Any number of
// processes may serve the same accounts.
type Service struct {
	cfg      Config
	log      *quietLog
	pages    *pages
	states   stateKey
	returns  map[mark]string
	accounts map[string]*account
	pictures pictures
	limits   *limits
}

// account is what the handlers of one account share.
type account struct {
	Account
	AppID string
	keys  keys
	// Nil: no one can enrol.
	tickets  *ticket.Sealer
	handOffs *ticket.HandOffStore
	base     string // PublicURL/enroll/{appid}
	inbox    *inbox // nil: no callback
	erasing  chan struct{}
	// receiptsFrom is when receipts are forwarded again after a failure, Unix ms.
	receiptsFrom atomic.Int64
}

// New checks cfg and names all faults at once. It does not talk to Redis.
func New(cfg Config) (*Service, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(Event) {}
	}
	p, err := newPages()
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	s := &Service{
		cfg: cfg, log: newQuietLog(cfg.Logger), pages: p,
		returns: map[mark]string{}, accounts: map[string]*account{}, limits: newLimits(cfg.TrustedProxies, cfg.RequestsPerMinute),
	}
	if cfg.enrols() {
		if s.states, err = ticket.Derive([]byte(cfg.Key.Reveal()), "state"); err != nil {
			return nil, fmt.Errorf("enroll: %w", err)
		}
	}
	for _, u := range cfg.ReturnURLs {
		s.returns[markOf(u)] = u
	}
	for _, a := range cfg.Accounts {
		acct, err := s.newAccount(a)
		if err != nil {
			return nil, fmt.Errorf("enroll: account %s: %w", a.Roster.account, err)
		}
		s.accounts[acct.AppID] = acct
	}
	return s, nil
}

func (s *Service) newAccount(a Account) (acct *account, err error) {
	r := a.Roster
	acct = &account{Account: a, AppID: r.account, keys: r.keys, erasing: make(chan struct{}, 1)}
	if s.cfg.enrols() && a.OAuth != nil && a.Platform != nil {
		key, previous := []byte(s.cfg.Key.Reveal()), []byte(s.cfg.PreviousKey.Reveal())
		acct.handOffs = ticket.NewHandOffStore(r.rdb, r.account, key, previous)
		if acct.tickets, err = ticket.NewSealer(key, r.account, previous); err != nil {
			return nil, err
		}
		acct.base = strings.TrimRight(s.cfg.PublicURL, "/") + "/enroll/" + r.account
	}
	if a.Callback != nil {
		acct.Callback = a.Callback.WithCharsetReader(charset.NewReaderLabel)
		acct.inbox = newInbox(r, s.cfg.ConsumerID)
	}
	return acct, nil
}

// Handler serves the public paths: /enroll/{appid}, /enroll/{appid}/callback,
// /callback/{appid}, /healthz and the files of Config.VerifyFiles. Put TLS in front
// of it. It bounds the requests of one client address.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /enroll/{appid}", s.withAccount(s.openLink))
	mux.HandleFunc("GET /enroll/{appid}/callback", s.withAccount(s.oauthCallback))
	mux.HandleFunc("POST /enroll/{appid}/callback", s.withAccount(s.postAnswer))
	mux.HandleFunc("GET /healthz", s.health)
	s.serveVerifyFiles(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.pages.show(w, r, page{Name: pageNotFound, Status: http.StatusNotFound})
	})
	return s.limited(mux) // and the callback addresses
}

// Run applies what the handlers received until ctx ends: receipts, follows,
// bindings by QR. It returns nil then. Each process that serves runs it too.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range s.accounts {
		if s.cfg.OnChange != nil {
			g.Go(func() error {
				s.deliverChanges(ctx, a)
				return nil
			})
		}
		if a.inbox == nil {
			continue
		}
		g.Go(func() error {
			a.inbox.run(ctx, s.log, func(ctx context.Context, e entry) error { return s.apply(ctx, a, e) })
			return nil
		})
		g.Go(func() error {
			s.sweep(ctx, a)
			return nil
		})
		g.Go(func() error {
			s.erasures(ctx, a)
			return nil
		})
	}
	return g.Wait() //nolint:wrapcheck // nothing fails
}

// health answers whether Redis does: without it nothing that comes is safe.
func (s *Service) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	for _, a := range s.accounts {
		if err := a.Roster.rdb.Ping(ctx).Err(); err != nil {
			answer(w, http.StatusServiceUnavailable, "Redis does not answer")
			return
		}
	}
	answer(w, http.StatusOK, "ok")
}

// enrols reports whether followers can enrol at all.
func (c Config) enrols() bool { return !c.Key.IsZero() && c.PublicURL != "" }

func (c Config) validate() error {
	var faults []error
	need := func(ok bool, text string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("enroll: "+text, args...))
		}
	}
	need(len(c.Accounts) > 0, "Config.Accounts must name at least one account")
	need(c.Key.IsZero() || len(c.Key.Reveal()) >= ticket.MinKey,
		"Config.Key is shorter than %d bytes; make one with `openssl rand -hex 32`", ticket.MinKey)
	need(c.PreviousKey.IsZero() || len(c.PreviousKey.Reveal()) >= ticket.MinKey, "Config.PreviousKey is shorter than %d bytes", ticket.MinKey)
	need(c.PublicURL == "" || absolute(c.PublicURL), "Config.PublicURL must be an http(s) address, such as https://notify.example.com")
	for i, u := range c.ReturnURLs {
		need(absolute(u), "Config.ReturnURLs[%d] must be an http(s) address", i)
	}
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		if need(a.Roster != nil, "Config.Accounts[%d].Roster is required", i); a.Roster != nil {
			need(!seen[a.Roster.account], "Config.Accounts[%d].Roster: account %q is there twice", i, a.Roster.account)
			seen[a.Roster.account] = true
		}
	}
	for name := range c.VerifyFiles {
		need(verifyName.MatchString(name), "Config.VerifyFiles[%q] is not a name such as MP_verify_abc123.txt", name)
	}
	return errors.Join(faults...)
}

func absolute(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// answer writes one plain line.
func answer(w http.ResponseWriter, status int, text string) {
	secure(w)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the caller may be gone
}

// secure sets what holds for every answer that is not a page.
func secure(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}
