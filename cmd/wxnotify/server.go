package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// role is what a process does.
type role int

const (
	sends     role = 1 << iota // fetches messages and sends them
	publishes                  // serves followers and WeChat's callback
)

// accountHooks let demo and tests look in.
type accountHooks struct {
	httpClient *http.Client
	onEvent    func(worker.Event)
	onToken    func(tokenstore.Event)
	// opsListener and publicListener are used in place of ops_addr and
	// public_addr; nil: these are opened.
	opsListener    net.Listener
	publicListener net.Listener
}

// server is one long-running process: its accounts, what it does with them, and
// the listeners.
type server struct {
	accounts []*account
	worker   *worker.Worker  // nil: sends nothing
	enroll   *enroll.Service // nil: serves nobody outside
	ops      *ops.Handler
	opsLn    net.Listener // nil: no operators' listener
	publicLn net.Listener // nil: without enroll
	log      *zap.Logger
}

// newServer wires everything and opens the listeners, so that what is wrong
// shows before anything is sent.
func newServer(rdb redis.UniversalClient, c *config, does role, log *zap.Logger, hooks accountHooks) (*server, error) {
	s := &server{log: log}
	watch, err := newObserver(log)
	if err != nil {
		return nil, err
	}
	for _, entry := range c.accounts {
		acct, err := wire(rdb, c, entry, accountHooks{httpClient: hooks.httpClient, onToken: watch.token(entry["appid"])})
		if err != nil {
			return nil, err
		}
		s.accounts = append(s.accounts, acct)
	}
	if does&sends != 0 {
		if s.worker, err = newWorker(rdb, c, s.accounts, watch, hooks.onEvent); err != nil {
			return nil, err
		}
	}
	if does&publishes != 0 {
		if s.enroll, err = newEnroll(rdb, c, s.accounts, watch); err != nil {
			return nil, err
		}
		if s.publicLn, err = listen("public_addr", c, hooks.publicListener); err != nil {
			return nil, err
		}
	}
	if c.text("ops_addr") != "-" {
		err = s.openOps(rdb, c, watch, hooks.opsListener)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func newWorker(rdb redis.UniversalClient, c *config, accts []*account, watch *observer, onEvent func(worker.Event)) (*worker.Worker, error) {
	var accounts []worker.Account
	for _, a := range accts {
		accounts = append(accounts, worker.Account{
			AppID: a.appid, Sender: a.client, Gate: a.gate, Ledger: a.ledger, Suppressor: a.ledger, Quota: a.client,
		})
	}
	w, err := worker.New(worker.Config{
		Redis: rdb, Accounts: accounts, Concurrency: c.number("concurrency"), Servers: c.number("fetchers"),
		DrainTimeout: c.span("drain_timeout"), Logger: watch.log,
		OnEvent: func(e worker.Event) {
			watch.message(e)
			if onEvent != nil {
				onEvent(e)
			}
		},
	})
	if err != nil {
		return nil, &usageError{err}
	}
	return w, nil
}

// listen opens the address of a setting, unless a listener is given.
func listen(name string, c *config, given net.Listener) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	ln, err := net.Listen("tcp", c.text(name)) //nolint:noctx // opens at once or fails
	if err != nil {
		return nil, &usageError{fmt.Errorf("%s (WXNOTIFY_%s): %w; choose another address", name, strings.ToUpper(name), err)}
	}
	return ln, nil
}

// openOps opens the operators' listener. A second process on one machine finds
// the default address taken: it goes on without, and says so.
func (s *server) openOps(rdb redis.UniversalClient, c *config, watch *observer, given net.Listener) error {
	ln, err := listen("ops_addr", c, given)
	if err != nil {
		if c.sources["ops_addr"] != "default" {
			return fmt.Errorf("%w, or - for none", err)
		}
		s.log.Warn("no operators' listener: its default address is taken, probably by another process of this machine; "+
			"set WXNOTIFY_OPS_ADDR to another one, or to - for none", zap.String("ops_addr", c.text("ops_addr")))
		return nil
	}
	s.ops, err = newOps(rdb, c, s.accounts, watch)
	if err != nil {
		_ = ln.Close()
		return &usageError{err}
	}
	s.opsLn = ln
	return nil
}

func (s *server) close() {
	for _, a := range s.accounts {
		_ = a.close()
	}
	for _, ln := range []net.Listener{s.opsLn, s.publicLn} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// run works until ctx ends. The tokens are kept and the operators' listener
// stays until the last send is over.
func (s *server) run(ctx context.Context) error {
	s.announce()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var behind errgroup.Group
	for _, a := range s.accounts {
		behind.Go(func() error { return keepToken(background, a.tokens) })
	}
	if s.opsLn != nil {
		behind.Go(func() error { return ops.Serve(background, s.opsLn, s.ops) })
	}
	front, ctx := errgroup.WithContext(ctx)
	if s.worker != nil {
		front.Go(func() error { return s.worker.Run(ctx) })
	}
	if s.enroll != nil {
		front.Go(func() error { return s.enroll.Run(ctx) })
		front.Go(func() error { return serveHTTP(ctx, s.publicLn, s.enroll.Handler(), publicLimits()) })
	}
	err := front.Wait()
	stop()
	if err = errors.Join(err, behind.Wait()); err != nil {
		return err
	}
	if s.worker != nil {
		s.log.Info("worker stopped: everything in flight was finished or put back")
	}
	if s.enroll != nil {
		s.log.Info("enroll stopped: what WeChat pushed is applied, or waits in Redis")
	}
	return nil
}

// announce writes one line for each thing that runs, with its address.
func (s *server) announce() {
	var ids []string
	for _, a := range s.accounts {
		ids = append(ids, a.appid)
	}
	fields := []zap.Field{zap.String("accounts", strings.Join(ids, ","))}
	if s.opsLn != nil {
		fields = append(fields, zap.String("ops", "http://"+s.opsLn.Addr().String()+"/"))
	}
	if s.worker != nil {
		s.log.Info("worker started", fields...)
	}
	if s.enroll != nil {
		s.log.Info("enroll started", append(fields, zap.String("public", "http://"+s.publicLn.Addr().String()+"/"))...)
	}
}

func keepToken(ctx context.Context, tokens *tokenstore.Store) error {
	if err := tokens.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("token: %w", err)
	}
	return nil
}
