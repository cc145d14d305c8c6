package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	answers                    // serves the HTTP API
)

// hooks let demo observe a server and choose its listeners.
type hooks struct {
	onEvent func(worker.Event) // nil: no observer
	stdout  io.Writer          // of WXNOTIFY_AUDIT_FILE=-
	// opsListener, publicListener and apiListener replace ops_addr, public_addr and
	// api_addr; nil: these are opened.
	opsListener    net.Listener
	publicListener net.Listener
	apiListener    net.Listener
}

// server is one long-running process: its accounts, what it does with them, and
// the listeners.
type server struct {
	accounts []*account
	rdb      redis.UniversalClient
	config   *config
	worker   *worker.Worker  // nil: does not send
	enroll   *enroll.Service // nil: no public listener
	ops      *ops.Handler
	console  *operators   // nil without an operators' listener
	opsLn    net.Listener // nil: no operators' listener
	publicLn net.Listener // nil without enroll
	api      http.Handler // nil: no HTTP API
	apiLn    net.Listener // nil without api
	public   string       // public_url, without a slash at its end; may be empty
	log      *zap.Logger
	// tokens: the process calls WeChat, so that it keeps the tokens fresh.
	tokens bool
}

// newServer builds everything and opens the listeners, so that every fault is
// found before a message is sent.
func newServer(rdb redis.UniversalClient, c *config, roles role, log *zap.Logger, h hooks) (*server, error) {
	s := &server{log: log, rdb: rdb, config: c}
	if err := s.build(rdb, c, roles, h); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *server) build(rdb redis.UniversalClient, c *config, roles role, h hooks) error {
	watch, err := newObserver(s.log)
	if err != nil {
		return err
	}
	for i := range c.Accounts {
		a, err := wire(rdb, c, &c.Accounts[i], watch.token(c.Accounts[i].AppID))
		if err != nil {
			return err
		}
		s.accounts = append(s.accounts, a)
	}
	if roles&sends != 0 {
		if s.worker, err = newWorker(rdb, c, s.accounts, watch, h.onEvent); err != nil {
			return err
		}
	}
	if roles&publishes != 0 {
		if s.enroll, err = newEnroll(rdb, c, s.accounts, watch); err != nil {
			return err
		}
		s.public = strings.TrimSuffix(c.Public.URL, "/")
		if s.publicLn, err = listen(c.label("public_addr"), c.Public.Addr, h.publicListener); err != nil {
			return err
		}
	}
	s.tokens = roles&(sends|publishes) != 0 || c.API.Gateway
	if roles&answers != 0 && c.API.Addr != none {
		if err := s.openAPI(rdb, c, roles, watch, h.apiListener); err != nil {
			return err
		}
	}
	if c.Ops.Addr == none {
		return nil
	}
	return s.openOps(rdb, c, watch, h)
}

// listen opens addr, the address of the setting label, unless a listener is given.
func listen(label, addr string, given net.Listener) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	ln, err := net.Listen("tcp", addr) //nolint:noctx // opens at once or fails
	if err != nil {
		return nil, usagef("%s: %w; choose another address", label, err)
	}
	return ln, nil
}

// openAPI opens the listener of the HTTP API. Where its default address is taken, a
// process that has other roles goes on without it, with a warning.
func (s *server) openAPI(rdb redis.UniversalClient, c *config, roles role, watch *observer, given net.Listener) (err error) {
	if s.apiLn, err = listen(c.label("api_addr"), c.API.Addr, given); err != nil {
		if roles == answers || !c.isDefault("api_addr") {
			return err
		}
		s.log.Warn("no HTTP API: its default address is taken, probably by another process of this machine; "+
			"set WXNOTIFY_API_ADDR to another one, or to - for none", zap.String("api_addr", c.API.Addr))
		return nil
	}
	s.api, err = newAPI(rdb, c, s.accounts, watch)
	return err
}

// openOps opens the operators' listener. Where its default address is taken, as
// by a second process of the machine, it is left out with a warning.
func (s *server) openOps(rdb redis.UniversalClient, c *config, watch *observer, h hooks) error {
	ln, err := listen(c.label("ops_addr"), c.Ops.Addr, h.opsListener)
	if err != nil {
		if !c.isDefault("ops_addr") {
			return fmt.Errorf("%w, or - for none", err)
		}
		s.log.Warn("no operators' listener: its default address is taken, probably by another process of this machine; "+
			"set WXNOTIFY_OPS_ADDR to another one, or to - for none", zap.String("ops_addr", c.Ops.Addr))
		return nil
	}
	s.opsLn = ln
	if s.console, err = newConsole(rdb, c, s.accounts, h.stdout, s.log); err != nil {
		return &usageError{err}
	}
	if s.ops, err = newOps(rdb, c, s.accounts, s.worker, watch, s.console); err != nil {
		return &usageError{err}
	}
	return nil
}

func (s *server) close() {
	if s.console != nil {
		_ = s.console.close()
	}
	for _, a := range s.accounts {
		_ = a.close()
	}
	for _, ln := range []net.Listener{s.opsLn, s.publicLn, s.apiLn} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// run runs until ctx ends. Tokens are refreshed, and the operators' listener is
// open, until the last send has finished.
func (s *server) run(ctx context.Context) error {
	s.announce()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var support errgroup.Group
	for _, a := range s.accounts {
		if s.tokens {
			support.Go(func() error { return keepToken(background, a.tokens) })
		}
	}
	s.watchEvents(background, s.rdb, s.config, &support)
	s.deliverEvents(background, s.rdb, s.config, &support)
	if s.opsLn != nil {
		support.Go(func() error { return ops.Serve(background, bounded(s.opsLn, opsShare), s.ops) })
	}
	work, ctx := errgroup.WithContext(ctx)
	if s.worker != nil {
		work.Go(func() error { return s.worker.Run(ctx) })
	}
	if s.enroll != nil {
		work.Go(func() error { return s.enroll.Run(ctx) })
		l := publicLimits()
		l.log = s.log
		work.Go(func() error { return serveHTTP(ctx, s.publicLn, s.enroll.Handler(), l) })
	}
	if s.api != nil {
		l := apiLimits()
		l.log = s.log
		if s.enroll != nil {
			l.share = besideShare
		}
		work.Go(func() error { return serveHTTP(ctx, s.apiLn, s.api, l) })
	}
	err := work.Wait()
	stop()
	if err = errors.Join(err, support.Wait()); err != nil {
		return err
	}
	if s.worker != nil {
		s.log.Info("worker stopped: every send in flight has finished or was requeued")
	}
	if s.enroll != nil {
		s.log.Info("enroll stopped: every push of WeChat is applied or stored in Redis")
	}
	if s.api != nil {
		s.log.Info("api stopped: every call in flight was answered")
	}
	return nil
}

// opsShare keeps most connections for the public listener and the sender.
const opsShare = 8

// besideShare is the API's beside the public listener, which has half.
const besideShare = 4

// announce logs what runs, with its addresses.
func (s *server) announce() {
	var ids []string
	for _, a := range s.accounts {
		ids = append(ids, a.AppID)
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
		s.announceCallbacks()
	}
	if s.api != nil {
		s.log.Info("api started", append(fields, zap.String("api", "http://"+s.apiLn.Addr().String()+"/"))...)
	}
}

// announceCallbacks logs the address that WeChat must push to, of each account whose
// pushes are accepted.
func (s *server) announceCallbacks() {
	for _, a := range s.accounts {
		if a.CallbackToken.IsZero() {
			continue
		}
		host, mode := cmp.Or(s.public, "https://<your host>"), string(a.mode())
		s.log.Info("enter this URL, the Token and the mode under 消息推送配置 (基础信息 > 开发信息 on developers.weixin.qq.com/platform)",
			zap.String("account", a.AppID), zap.String("callback_url", host+"/callback/"+a.AppID), zap.String("mode", mode))
	}
}

func keepToken(ctx context.Context, tokens *tokenstore.Store) error {
	if err := tokens.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("token: %w", err)
	}
	return nil
}
