package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// Sender sends one message: *wechat.Client. The error is *wechat.Error,
// *wechat.TransportError, or that of its token source.
type Sender interface {
	SendTemplateBody(ctx context.Context, body []byte) (wechat.MessageID, error)
}

// Ledger keeps the messages' records: *ledger.Ledger.
type Ledger interface {
	Begin(ctx context.Context, e job.Envelope) (ledger.Start, error)
	Accepted(ctx context.Context, id string, a ledger.Acceptance) error
	Failed(ctx context.Context, id string, o ledger.Outcome) error
}

// Suppressor notes that an openid must not be written to for a while:
// *ledger.Ledger.
type Suppressor interface {
	Suppress(ctx context.Context, s ledger.Suppression) error
}

// QuotaReader asks WeChat for the day's quota: *wechat.Client.
type QuotaReader interface {
	Quota(ctx context.Context, path string) (wechat.Quota, error)
}

// Account is one WeChat account and what its messages pass through.
type Account struct {
	AppID  string // required
	Sender Sender // required
	Gate   Gate   // required; the worker runs it (Gate.Run) and stops it after the drain
	Ledger Ledger // required
	// Suppressor is told of recipients who cannot be written to. Nil: nobody is.
	Suppressor Suppressor
	// Quota answers how much of the day is left. Nil: the gate's own count is
	// all there is.
	Quota QuotaReader
	// Policy is how much is tried for one message. Zero: the default.
	Policy Policy
}

// Config of a worker.
type Config struct {
	Redis    redis.UniversalClient // required; stays open
	Accounts []Account             // at least one
	// Concurrency is sends in flight of each account in this process. Default 64.
	Concurrency int
	// Servers take tasks for each account. They share the fetches, which bring
	// several tasks each, so few do for any distance to Redis. Default 4.
	Servers int
	// TaskTimeout bounds the handling of one task, whole seconds. Default 30 s.
	TaskTimeout time.Duration
	// DrainTimeout bounds the stop; longer than a send. Default 15 s.
	DrainTimeout time.Duration
	// Logger gets a line for each message's end. Default: none.
	Logger *zap.Logger
	// OnEvent is called after each verdict, from many goroutines. It must not
	// block. Nil: nobody is told.
	OnEvent func(Event)
}

const (
	defaultConcurrency  = 64
	defaultServers      = 4
	defaultTaskTimeout  = 30 * time.Second
	defaultDrainTimeout = 15 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.Servers == 0 {
		c.Servers = defaultServers
	}
	if c.TaskTimeout == 0 {
		c.TaskTimeout = defaultTaskTimeout
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = defaultDrainTimeout
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

// Worker sends the messages of its accounts.
type Worker struct{ accounts []*account }

// account is what one account's deliveries share.
type account struct {
	appID      string
	sender     Sender
	gate       *watchedGate
	ledger     Ledger
	suppressor Suppressor
	policy     Policy
	log        *zap.Logger
	onEvent    func(Event)

	pauses     *pauser
	breaker    breaker
	alarm      alarm
	templates  quarantine
	unrecorded unrecorded
	supervisor *supervisor
	server     *broker.Server
}

// New checks cfg and names all faults at once. It does not talk to Redis.
func New(cfg Config) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w := &Worker{}
	hub := broker.NewHub(cfg.Redis)
	for _, a := range cfg.Accounts {
		acct, err := newAccount(cfg, a, hub)
		if err != nil {
			return nil, fmt.Errorf("worker: account %s: %w", a.AppID, err)
		}
		w.accounts = append(w.accounts, acct)
	}
	return w, nil
}

func newAccount(cfg Config, a Account, hub *broker.Hub) (*account, error) {
	log := cfg.Logger.With(zap.String("account", a.AppID))
	acct := &account{
		appID: a.AppID, sender: a.Sender, ledger: a.Ledger, suppressor: a.Suppressor,
		policy: a.Policy.withDefaults(), log: log, onEvent: cfg.OnEvent,
		pauses:     newPauser(a.Gate, log),
		supervisor: newSupervisor(a.Gate, a.Quota, log),
	}
	acct.gate = &watchedGate{Gate: a.Gate, log: log, unreconciled: acct.supervisor.kick}
	var err error
	acct.server, err = broker.NewServer(broker.ServerConfig{
		Redis: cfg.Redis, Account: a.AppID, Gate: acct.gate, Handler: acct.handle,
		Concurrency: cfg.Concurrency, Servers: cfg.Servers,
		TaskTimeout: cfg.TaskTimeout, DrainTimeout: cfg.DrainTimeout, Logger: log, Hub: hub,
	})
	if err != nil {
		return nil, err
	}
	return acct, nil
}

// Run sends until ctx ends, then drains: sends in flight finish within
// DrainTimeout, what is not finished goes back to its queue. It returns nil
// after a clean drain. Each account runs by itself: a closed or slow one takes
// no slot of another.
func (w *Worker) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range w.accounts {
		g.Go(func() error {
			if err := a.run(ctx); err != nil {
				return fmt.Errorf("worker: account %s: %w", a.appID, err)
			}
			return nil
		})
	}
	return g.Wait() //nolint:wrapcheck // wrapped above
}

// run keeps the gate and the supervisor alive until the drain is over: the
// last sends still return permits and close gates.
func (a *account) run(ctx context.Context) error {
	stop := alongside(context.WithoutCancel(ctx),
		func(ctx context.Context) { runGate(ctx, a.gate.Gate, a.log) },
		a.supervisor.run)
	defer stop()
	return a.server.Run(ctx)
}

func (c Config) validate() error {
	var faults []error
	need := func(ok bool, text string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("worker: "+text, args...))
		}
	}
	need(c.Redis != nil, "Redis is required")
	need(len(c.Accounts) > 0, "Accounts must name at least one account")
	need(c.Concurrency > 0, "Concurrency must be positive, got %d", c.Concurrency)
	need(c.Servers > 0, "Servers must be positive, got %d", c.Servers)
	need(c.TaskTimeout >= time.Second && c.TaskTimeout%time.Second == 0,
		"TaskTimeout must be whole seconds, got %s", c.TaskTimeout)
	seen := make(map[string]bool)
	for i, a := range c.Accounts {
		need(a.AppID != "", "Accounts[%d].AppID is required", i)
		need(!seen[a.AppID], "Accounts[%d].AppID %q is there twice", i, a.AppID)
		seen[a.AppID] = true
		need(a.Sender != nil, "Accounts[%d].Sender is required", i)
		need(a.Gate != nil, "Accounts[%d].Gate is required", i)
		need(a.Ledger != nil, "Accounts[%d].Ledger is required", i)
		p := a.Policy.withDefaults()
		need(p.SendTimeout > 0 && p.SendTimeout < c.TaskTimeout,
			"Accounts[%d].Policy.SendTimeout %s must be shorter than TaskTimeout %s", i, p.SendTimeout, c.TaskTimeout)
		need(p.SendTimeout < c.DrainTimeout,
			"Accounts[%d].Policy.SendTimeout %s must be shorter than DrainTimeout %s, or a stop cuts sends", i, p.SendTimeout, c.DrainTimeout)
		need(p.ReplayWindow > 0 && p.ReplayWindow <= maxReplayWindow,
			"Accounts[%d].Policy.ReplayWindow must be at most %s, got %s", i, maxReplayWindow, p.ReplayWindow)
	}
	return errors.Join(faults...)
}
