package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// Sender sends one message: *wechat.Client. The error is *wechat.Error,
// *wechat.TransportError, or that of its token source.
type Sender interface {
	SendTemplateBody(ctx context.Context, body []byte) (wechat.MessageID, error)
}

// records keeps the messages' records: *ledger.Ledger.
type records interface {
	Begin(ctx context.Context, e job.Envelope, d ledger.Delivery) (ledger.Start, error)
	Undo(ctx context.Context, id string, delivery int64) error
	Accepted(ctx context.Context, id string, delivery int64, a ledger.Acceptance) (ledger.Recorded, error)
	Failed(ctx context.Context, id string, delivery int64, o ledger.Outcome) error
	Suppress(ctx context.Context, s ledger.Suppression) error
}

// QuotaReader asks WeChat for the day's quota: *wechat.Client.
type QuotaReader interface {
	Quota(ctx context.Context, path string) (wechat.Quota, error)
}

// Class is a message's class: "critical", "default" or "bulk".
type Class = job.Class

// State is where a message is on its way, such as "accepted".
type State = ledger.State

// Account is one WeChat account and what its messages pass through.
type Account struct {
	AppID  string // required
	Sender Sender // required
	Gate   Gate   // required; the worker runs it (Gate.Run) and stops it after the drain
	// Quota answers how much of the day is left. Nil: the gate's own count is
	// all there is.
	Quota QuotaReader
	// Keep is how long the record of a message is kept after its end. Default 72 h.
	Keep time.Duration
	// Resend names the classes whose messages are sent again when the receipt says
	// that WeChat could not deliver them. Nil: critical alone; empty: none.
	Resend []Class
	// Policy is how much is tried for one message. Zero: the default.
	Policy Policy

	records records // of tests; nil: a ledger in Config.Redis
}

// Config of a worker.
type Config struct {
	Redis    redis.UniversalClient // required; stays open
	Accounts []Account             // at least one
	// Concurrency is sends in flight of each account in this process, at most 1000.
	// Default 64.
	Concurrency int
	// TaskTimeout bounds the handling of one task, give or take a second; whole seconds, at
	// most 50. Default 30 s.
	TaskTimeout time.Duration
	// DrainTimeout bounds the stop; longer than a send. Default 15 s.
	DrainTimeout time.Duration
	// Logger gets a line for each message's end. Default: none.
	Logger *zap.Logger
	// Version of the program, which the registry of workers shows. Default: none.
	Version string
	// SealKeys open the messages that producers sealed: the keys of all of them, each of 64
	// hexadecimal digits, with commas or line breaks between them. A message whose key is
	// missing waits, see [Worker.Check]; one in clear is sent all the same. Default: none.
	SealKeys wechat.Secret
	// SealNameKeys are those of producer.Config.SealNameKeys. Default: none.
	SealNameKeys wechat.Secret
	// OnEvent is called after each verdict, from many goroutines. It must not
	// block. Default: none.
	OnEvent func(Event)
	// OnGateWait is called for each permit, with the time from when the account wanted it
	// for a waiting message until its slot, closures of the gate included. It must not
	// block. Default: none.
	OnGateWait func(account string, wait time.Duration)
}

const (
	defaultConcurrency  = 64
	defaultTaskTimeout  = 30 * time.Second
	defaultDrainTimeout = 15 * time.Second
)

func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.TaskTimeout, c.DrainTimeout = cmp.Or(c.TaskTimeout, defaultTaskTimeout), cmp.Or(c.DrainTimeout, defaultDrainTimeout)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

// Worker sends the messages of its accounts.
type Worker struct {
	accounts []*account
	ran      atomic.Bool
}

// account is what one account's deliveries share.
type account struct {
	appID   string
	name    string // of this process in the story of a message: host and process number
	redis   redis.UniversalClient
	sender  Sender
	gate    *watchedGate
	ledger  *ledger.Ledger // nil in tests that bring records of their own
	records records
	policy  Policy
	log     *zap.Logger
	onEvent func(Event)

	breaker    breaker
	streak     sameCodeStreak
	templates  templateBreaker
	unwritten  unwritten
	missing    missingKey
	codec      job.Codec
	bounds     queue.Bounds // of calls
	supervisor *supervisor
	presence   *presence
	tasks      queue.ServerConfig
}

// New checks cfg and names all faults at once. It does not talk to Redis.
func New(cfg Config) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w := &Worker{}
	self := identity(cfg)
	for _, a := range cfg.Accounts {
		acct, err := newAccount(cfg, a, self)
		if err != nil {
			return nil, fmt.Errorf("worker: account %s: %w", a.AppID, err)
		}
		w.accounts = append(w.accounts, acct)
	}
	return w, nil
}

func newAccount(cfg Config, a Account, self heartbeat.Worker) (*account, error) {
	keys, sealed, err := seal.Read(cfg.SealKeys.Reveal(), cfg.SealNameKeys.Reveal(), a.AppID)
	if err != nil {
		return nil, err
	}
	log := cfg.Logger.With(zap.String("account", a.AppID))
	acct := &account{
		appID: a.AppID, name: processName(self), redis: cfg.Redis, sender: a.Sender, records: a.records,
		policy: a.Policy.withDefaults(), log: log, onEvent: cfg.OnEvent,
		presence: newPresence(cfg.Redis, a, self, log), codec: job.NewCodec(a.AppID, keys),
	}
	acct.supervisor = newSupervisor(a.Gate, a.Quota, acct.presence, log)
	acct.presence.resumed, acct.presence.held = acct.supervisor.askSoon, acct.held
	acct.gate = &watchedGate{Gate: a.Gate, log: log, presence: acct.presence, unreconciled: acct.supervisor.askSoon, reopened: acct.forgetTrouble}
	if cfg.OnGateWait != nil {
		acct.gate.onWait = func(wait time.Duration) { cfg.OnGateWait(a.AppID, wait) }
	}
	if acct.records == nil {
		acct.ledger, err = ledger.New(cfg.Redis, a.AppID, sealed, ledger.Config{Keep: a.Keep, Resend: a.Resend})
		if err != nil {
			return nil, err
		}
		acct.records = acct.ledger
	}
	acct.tasks = queue.ServerConfig{
		Redis: cfg.Redis, Account: a.AppID, Gate: acct.gate, Handler: acct.handle,
		Concurrency: cfg.Concurrency, TaskTimeout: cfg.TaskTimeout, DrainTimeout: cfg.DrainTimeout, Logger: cfg.Logger,
	}
	return acct, nil
}

// Run sends until ctx ends, then drains: sends in flight finish within
// DrainTimeout, what is not finished goes back to its queue. It returns nil
// after a clean drain. Accounts do not share slots: a closed or slow one takes
// no slot of another. A Worker runs once: a second call returns an error.
func (w *Worker) Run(ctx context.Context) error {
	if w.ran.Swap(true) {
		return errors.New("worker: run: this worker has run before: make a new one")
	}
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

// Check returns nil while this worker sends messages of the account, or the error that
// says why it does not: WeChat refuses the address from which it calls, or messages wait
// that are sealed with a key that Config.SealKeys lacks. The account's gate is not asked.
func (w *Worker) Check(appID string) error {
	for _, a := range w.accounts {
		if a.appID == appID {
			return a.check()
		}
	}
	return fmt.Errorf("worker: no account %s", appID)
}

// run keeps the gate and the supervisor running until the drain is over: the
// last sends still return permits and close gates.
func (a *account) run(ctx context.Context) error {
	background := []func(context.Context){
		func(ctx context.Context) { runGate(ctx, a.gate.Gate, a.log) },
		a.supervisor.run,
		a.presence.run,
	}
	if a.ledger != nil && redisx.IsCluster(a.redis) {
		background = append(background, a.sweepOrphans)
	}
	stop := alongside(context.WithoutCancel(ctx), background...)
	defer stop()
	err := queue.Serve(ctx, a.tasks)
	if a.ledger != nil {
		err = errors.Join(err, a.ledger.Close())
	}
	return err
}

const (
	orphanEvery = 30 * time.Second
	// orphanAge leaves a producer's Enqueue time to finish.
	orphanAge = time.Minute
)

// sweepOrphans looks for records whose producer was cut off before it put the task,
// which only a cluster can have.
func (a *account) sweepOrphans(ctx context.Context) {
	tasks := queue.NewInspector(a.redis)
	for redisx.Sleep(ctx, jitter(orphanEvery)) == nil {
		orphans, err := a.ledger.Orphans(ctx, time.Now().Add(-orphanAge))
		for _, o := range orphans {
			if err != nil {
				break
			}
			var task *queue.Waiting
			if task, err = tasks.Task(ctx, a.appID, o.Class, o.ID); err != nil {
				break
			}
			var deleted bool
			deleted, err = a.ledger.Resolve(ctx, o, task != nil)
			if deleted {
				a.log.Warn("an interrupted enqueue left a record without a task: deleted", zap.String("id", o.ID))
			}
		}
		if err != nil && ctx.Err() == nil {
			a.log.Warn("cannot look for records without a task, trying again", zap.Error(err))
		}
	}
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
	need(c.Concurrency > 0 && c.Concurrency <= queue.MaxConcurrency,
		"Config.Concurrency must be from 1 to %d, got %d", queue.MaxConcurrency, c.Concurrency)
	need(c.TaskTimeout >= time.Second && c.TaskTimeout <= queue.MaxTaskTimeout && c.TaskTimeout%time.Second == 0,
		"TaskTimeout must be whole seconds from 1s to %s, got %s", queue.MaxTaskTimeout, c.TaskTimeout)
	if _, _, err := seal.Read(c.SealKeys.Reveal(), c.SealNameKeys.Reveal(), ""); err != nil {
		faults = append(faults, fmt.Errorf("worker: %w", err))
	}
	seen := make(map[string]bool)
	for i, a := range c.Accounts {
		if err := redisx.CheckAccount(a.AppID); err != nil {
			faults = append(faults, fmt.Errorf("worker: Accounts[%d].AppID: %w", i, err))
		}
		need(!seen[a.AppID], "Accounts[%d].AppID %q is there twice: list each account once", i, a.AppID)
		seen[a.AppID] = true
		need(a.Sender != nil, "Accounts[%d].Sender is required", i)
		need(a.Gate != nil, "Accounts[%d].Gate is required", i)
		p := a.Policy.withDefaults()
		need(p.SendTimeout > 0 && p.SendTimeout < c.TaskTimeout,
			"Accounts[%d].Policy.SendTimeout %s must be shorter than TaskTimeout %s", i, p.SendTimeout, c.TaskTimeout)
		need(p.SendTimeout < c.DrainTimeout,
			"Accounts[%d].Policy.SendTimeout %s must be shorter than Config.DrainTimeout %s, or a stop cuts sends", i, p.SendTimeout, c.DrainTimeout)
		need(p.ReplayWindow > 0 && p.ReplayWindow <= maxReplayWindow,
			"Accounts[%d].Policy.ReplayWindow must be at most %s, got %s", i, maxReplayWindow, p.ReplayWindow)
	}
	return errors.Join(faults...)
}
