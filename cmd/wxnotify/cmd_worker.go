package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

func (a *app) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Send what is enqueued; run any number of them",
		Long: `worker fetches messages as the gate permits, sends them, and records what became
of each. SIGTERM drains: sends in flight finish, the rest waits in its queue.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(cmd)
			if err != nil {
				return err
			}
			return a.work(cmd.Context(), c)
		},
	}
	a.addSettings(cmd, connecting|calling|sending|operating|logging)
	return cmd
}

func (a *app) work(ctx context.Context, c *config) error {
	if _, err := c.pick(firstAppID(c)); err != nil {
		return err
	}
	if err := secretsMissing(c.accounts); err != nil {
		return err
	}
	log := newLogger(a.Stderr, c.text("log_level"))
	defer func() { _ = log.Sync() }()
	rdb, err := connect(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	s, err := newStation(rdb, c, log, accountHooks{})
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

func firstAppID(c *config) string {
	if len(c.accounts) == 0 {
		return ""
	}
	return c.accounts[0]["appid"]
}

// station is one process that sends: its accounts, the worker over them and the
// operators' listener.
type station struct {
	accounts []*account
	worker   *worker.Worker
	ops      *ops.Handler
	listener net.Listener // nil: no operators' listener
	log      *zap.Logger
}

// newStation wires everything and opens the operators' listener, so that what
// is wrong shows before anything is sent.
func newStation(rdb redis.UniversalClient, c *config, log *zap.Logger, hooks accountHooks) (*station, error) {
	s := &station{log: log}
	watch, err := newObserver(log)
	if err != nil {
		return nil, err
	}
	var accounts []worker.Account
	for _, entry := range c.accounts {
		acct, err := wire(rdb, c, entry, accountHooks{httpClient: hooks.httpClient, onToken: watch.token(entry["appid"])})
		if err != nil {
			return nil, err
		}
		s.accounts = append(s.accounts, acct)
		accounts = append(accounts, worker.Account{
			AppID: acct.appid, Sender: acct.client, Gate: acct.gate, Ledger: acct.ledger,
			Suppressor: acct.ledger, Quota: acct.client,
		})
	}
	s.worker, err = worker.New(worker.Config{
		Redis: rdb, Accounts: accounts, Concurrency: c.number("concurrency"), Servers: c.number("fetchers"),
		DrainTimeout: c.span("drain_timeout"), Logger: log,
		OnEvent: func(e worker.Event) {
			watch.message(e)
			if hooks.onEvent != nil {
				hooks.onEvent(e)
			}
		},
	})
	if err != nil {
		return nil, &usageError{err}
	}
	if c.text("ops_addr") == "-" {
		return s, nil
	}
	if err := s.openOps(rdb, c, watch, hooks.opsListener); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *station) openOps(rdb redis.UniversalClient, c *config, watch *observer, ln net.Listener) error {
	var err error
	if ln == nil {
		if ln, err = net.Listen("tcp", c.text("ops_addr")); err != nil { //nolint:noctx // opens at once or fails
			return &usageError{fmt.Errorf("ops_addr (WXNOTIFY_OPS_ADDR): %w; choose another address, or - for none", err)}
		}
	}
	s.ops, err = newOps(rdb, c, s.accounts, watch)
	if err != nil {
		_ = ln.Close()
		return &usageError{err}
	}
	s.listener = ln
	return nil
}

func (s *station) close() {
	for _, a := range s.accounts {
		_ = a.close()
	}
	if s.listener != nil {
		_ = s.listener.Close()
	}
}

// run sends until ctx ends. The tokens are kept until the last send is over.
func (s *station) run(ctx context.Context) error {
	var ids []string
	for _, a := range s.accounts {
		ids = append(ids, a.appid)
	}
	fields := []zap.Field{zap.String("accounts", strings.Join(ids, ","))}
	if s.listener != nil {
		fields = append(fields, zap.String("ops", "http://"+s.listener.Addr().String()+"/"))
	}
	s.log.Info("worker started", fields...)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	for _, a := range s.accounts {
		g.Go(func() error { return keepToken(background, a.tokens) })
	}
	if s.listener != nil {
		g.Go(func() error { return ops.Serve(background, s.listener, s.ops) })
	}
	err := s.worker.Run(ctx)
	stop()
	err = errors.Join(err, g.Wait())
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	s.log.Info("worker stopped: everything in flight was finished or put back")
	return nil
}

func keepToken(ctx context.Context, tokens *tokenstore.Store) error {
	if err := tokens.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("token: %w", err)
	}
	return nil
}
