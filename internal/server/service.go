package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// service is what one configuration makes of a server: the accounts, what is done with
// them, and the handlers of the listeners.
type service struct {
	server   *Server
	config   *settings.Config
	accounts []*wiring.Account
	worker   *worker.Worker  // nil: does not send
	enroll   *enroll.Service // nil: does not publish
	console  *operators      // nil without an operators' listener

	public, api, ops http.Handler // each nil without its listener

	pages    context.Context //nolint:containedctx // of the operators' requests, beside each one's own
	endPages context.CancelFunc
}

// newService builds all of it. It calls neither Redis nor WeChat, and nothing runs
// before run.
func newService(s *Server, c *settings.Config) (*service, error) {
	v := &service{server: s, config: c}
	v.pages, v.endPages = context.WithCancel(context.Background()) //nolint:forbidigo // close ends it
	if err := v.build(); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *service) build() (err error) {
	s, c := v.server, v.config
	for i := range c.Accounts {
		a, err := wiring.Open(s.rdb, c, &c.Accounts[i], s.watch.token(c.Accounts[i].AppID))
		if err != nil {
			return err
		}
		v.accounts = append(v.accounts, a)
	}
	if s.roles&Sends != 0 {
		if v.worker, err = newWorker(s, c, v.accounts); err != nil {
			return err
		}
	}
	if s.publishes {
		if v.enroll, err = newEnroll(c, v.accounts, s.watch); err != nil {
			return err
		}
		v.public = v.enroll.Handler()
	}
	if s.answers {
		if v.api, err = newAPI(s.rdb, c, v.accounts, s.watch, s.audit); err != nil {
			return err
		}
		if s.traces {
			v.api = traceRequests(v.api)
		}
	}
	if !s.operates {
		return nil
	}
	if v.console, err = newConsole(s.rdb, c, v.accounts, s.audit, s.log); err != nil {
		return usage.Wrap(err)
	}
	handler, err := newOps(s.rdb, c, v.accounts, v.worker, s.watch, v.console)
	if err != nil {
		return usage.Wrap(err)
	}
	v.ops = endingWith(v.pages, handler)
	return nil
}

func (v *service) close() {
	v.endPages()
	if v.console != nil {
		v.console.console.Close()
	}
	for _, a := range v.accounts {
		_ = a.Close()
	}
}

// run sends and applies events until ctx ends, then drains. Tokens are refreshed until
// the last send has finished.
func (v *service) run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var support errgroup.Group
	if v.callsWeChat() {
		for _, a := range v.accounts {
			support.Go(func() error { return keepToken(background, a.Tokens) })
		}
	}
	v.watchEvents(background, &support)
	v.deliverEvents(background, &support)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { // where nothing else runs
		<-ctx.Done()
		return nil
	})
	if v.worker != nil {
		work.Go(func() error { return v.worker.Run(ctx) })
	}
	if v.enroll != nil {
		work.Go(func() error { return v.enroll.Run(ctx) })
	}
	err := work.Wait()
	stop()
	return errors.Join(err, support.Wait())
}

// callsWeChat reports whether the service keeps the tokens fresh.
func (v *service) callsWeChat() bool {
	return v.worker != nil || v.enroll != nil || v.config.API.Gateway
}

func keepToken(ctx context.Context, tokens *tokenstore.Store) error {
	if err := tokens.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("token: %w", err)
	}
	return nil
}

// newWorker builds the worker of these accounts.
func newWorker(s *Server, c *settings.Config, accounts []*wiring.Account) (*worker.Worker, error) {
	cfg := worker.Config{
		Redis: s.rdb, Concurrency: c.Worker.Concurrency, DrainTimeout: c.Worker.DrainTimeout, Logger: s.log, Version: s.version,
		SealKeys: c.Redis.SealKeys, SealNameKeys: c.Redis.SealNameKeys,
		OnGateWait: s.watch.metrics.ObserveGateWait,
		OnEvent: func(e worker.Event) {
			s.watch.message(e)
			if s.onEvent != nil {
				s.onEvent(e)
			}
		},
	}
	for _, a := range accounts {
		cfg.Accounts = append(cfg.Accounts, worker.Account{
			AppID: a.AppID, Sender: a.Client, Gate: a.Gate, Quota: a.Client, Keep: c.Redis.Keep, Resend: a.Resend,
		})
	}
	w, err := worker.New(cfg)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	return w, nil
}
