// Package server is a process that runs on: it sends, serves followers and the HTTP API, or
// all of it, with its listeners, logs, metrics and spans, and takes a changed configuration.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/worker"
)

// Role is what a process does.
type Role int

// The roles, of which a process may have several.
const (
	Sends     Role = 1 << iota // fetches messages and sends them
	Publishes                  // serves followers and WeChat's callback
	Answers                    // serves the HTTP API
)

// Options are what a server is given beside its configuration.
type Options struct {
	Roles   Role
	Version string             // of the program, for the registry of workers and the audit file
	Log     *zap.Logger        // required
	OnEvent func(worker.Event) // nil: no observer
	Stdout  io.Writer          // of WXNOTIFY_AUDIT_FILE=-
	Traces  bool               // spans are exported, see StartTracing
	// Reloads gets a value for each wish to read the configuration again; nil: never.
	Reloads <-chan os.Signal
	// Read reads the configuration again. Required with Reloads.
	Read func() (*settings.Config, error)
	// OpsListener, PublicListener and APIListener replace ops_addr, public_addr and
	// api_addr; nil: these are opened.
	OpsListener    net.Listener
	PublicListener net.Listener
	APIListener    net.Listener
}

// Server is one long-running process: the listeners and the audit file, which stay open,
// and the service behind them, which a reload replaces.
type Server struct {
	rdb     redis.UniversalClient
	log     *zap.Logger
	watch   *observer
	version string
	roles   Role
	onEvent func(worker.Event) // nil: no observer
	traces  bool               // spans are exported

	opsLn                        net.Listener // nil: no operators' listener
	publicLn                     net.Listener // nil: does not publish
	apiLn                        net.Listener // nil: no HTTP API
	opsHTTP, publicHTTP, apiHTTP handlerSwitch
	audit                        *auditlog.Log // nil: no audit file
	operates, publishes, answers bool          // what the service has handlers of

	service *service // the one that works now
	reloads <-chan os.Signal
	read    func() (*settings.Config, error)
}

// New builds everything and opens the listeners, so that every fault is found before a
// message is sent. Close the server.
func New(rdb redis.UniversalClient, c *settings.Config, h Options) (*Server, error) {
	s := &Server{
		rdb: rdb, log: h.Log, version: h.Version, roles: h.Roles, onEvent: h.OnEvent, traces: h.Traces, reloads: h.Reloads, read: h.Read,
	}
	if err := s.build(c, h); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) build(c *settings.Config, h Options) (err error) {
	if s.watch, err = newObserver(s.log); err != nil {
		return err
	}
	if s.traces {
		s.watch.traceEnd = s.traceEnd
	}
	if err := s.open(c, h); err != nil {
		return err
	}
	if s.service, err = newService(s, c); err != nil {
		return err
	}
	s.serveBy(s.service)
	return nil
}

// open opens the listeners and the audit file.
func (s *Server) open(c *settings.Config, h Options) (err error) {
	if s.roles&Publishes != 0 {
		if s.publicLn, err = listen(c.Label("public_addr"), c.Public.Addr, h.PublicListener); err != nil {
			return err
		}
	}
	if s.roles&Answers != 0 && c.API.Addr != settings.Off {
		s.apiLn, err = listen(c.Label("api_addr"), c.API.Addr, h.APIListener)
		switch {
		case err != nil && (s.roles == Answers || !c.IsDefault("api_addr")):
			return err
		case err != nil: // a process that has other roles goes on without it
			s.log.Warn("no HTTP API: its default address is taken, probably by another process of this machine; "+
				"set WXNOTIFY_API_ADDR to another one, or to - for none", zap.String("api_addr", c.API.Addr))
		}
	}
	if c.Ops.Addr != settings.Off {
		s.opsLn, err = listen(c.Label("ops_addr"), c.Ops.Addr, h.OpsListener)
		switch {
		case err != nil && !c.IsDefault("ops_addr"):
			return fmt.Errorf("%w, or - for none", err)
		case err != nil: // as by a second process of the machine
			s.log.Warn("no operators' listener: its default address is taken, probably by another process of this machine; "+
				"set WXNOTIFY_OPS_ADDR to another one, or to - for none", zap.String("ops_addr", c.Ops.Addr))
		}
	}
	s.operates, s.publishes, s.answers = s.opsLn != nil, s.publicLn != nil, s.apiLn != nil
	if !s.operates && !s.answers {
		return nil // nothing is changed by this process that an operator decides
	}
	s.audit, err = openAudit(c, h.Stdout, s.version)
	return err
}

// listen opens addr, the address of the setting label, unless a listener is given.
func listen(label, addr string, given net.Listener) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	ln, err := net.Listen("tcp", addr) //nolint:noctx // opens at once or fails
	if err != nil {
		return nil, usage.Errorf("%s: %w; choose another address", label, err)
	}
	return ln, nil
}

// serveBy puts v behind the listeners. answered returns when the requests that the
// service before has begun are answered.
func (s *Server) serveBy(v *service) (answered func()) {
	var waits []func()
	for at, h := range map[*handlerSwitch]http.Handler{&s.publicHTTP: v.public, &s.apiHTTP: v.api, &s.opsHTTP: v.ops} {
		if h != nil {
			waits = append(waits, at.set(h))
		}
	}
	return func() {
		for _, wait := range waits {
			wait()
		}
	}
}

// Close closes listeners, accounts and the audit file. Redis stays open.
func (s *Server) Close() {
	if s.service != nil {
		s.service.close()
	}
	for _, ln := range []net.Listener{s.opsLn, s.publicLn, s.apiLn} {
		if ln != nil {
			_ = ln.Close()
		}
	}
	_ = s.audit.Close()
}

// Run runs until ctx ends. The operators' listener is open until the last send has
// finished.
func (s *Server) Run(ctx context.Context) error {
	s.announce()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	serve := func(ctx context.Context, g *errgroup.Group, ln net.Listener, h http.Handler, l limits) {
		if l.log = s.log; ln != nil {
			g.Go(func() error { return serveHTTP(ctx, ln, h, l) })
		}
	}
	var support errgroup.Group
	serve(background, &support, s.opsLn, &s.opsHTTP, opsLimits())
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return s.runServices(ctx) })
	serve(ctx, work, s.publicLn, &s.publicHTTP, publicLimits())
	api := apiLimits()
	if s.publicLn != nil {
		api.share = besideShare
	}
	serve(ctx, work, s.apiLn, &s.apiHTTP, api)
	err := work.Wait()
	stop()
	if err = errors.Join(err, support.Wait()); err != nil {
		return err
	}
	if s.roles&Sends != 0 {
		s.log.Info("worker stopped: every send in flight has finished or was requeued")
	}
	if s.publicLn != nil {
		s.log.Info("enroll stopped: every push of WeChat is applied or stored in Redis")
	}
	if s.apiLn != nil {
		s.log.Info("api stopped: every call in flight was answered")
	}
	return nil
}

const (
	// opsShare keeps most connections for the public listener and the sender.
	opsShare = 8
	// besideShare is the API's beside the public listener, which has half.
	besideShare = 4
	// opsGrace is how long requests of operators may take that began before a reload. A
	// live page ends then, and the browser opens another one.
	opsGrace = 5 * time.Second
)

// announce logs what runs, with its addresses.
func (s *Server) announce() {
	fields := []zap.Field{zap.String("accounts", strings.Join(s.service.config.AppIDs(), ","))}
	if s.opsLn != nil {
		fields = append(fields, zap.String("ops", "http://"+s.opsLn.Addr().String()+"/"))
	}
	if s.roles&Sends != 0 {
		s.log.Info("worker started", fields...)
	}
	if s.publicLn != nil {
		s.log.Info("enroll started", append(fields, zap.String("public", "http://"+s.publicLn.Addr().String()+"/"))...)
		s.announceCallbacks()
	}
	if s.apiLn != nil {
		s.log.Info("api started", append(fields, zap.String("api", "http://"+s.apiLn.Addr().String()+"/"))...)
	}
}

// announceCallbacks logs the address that WeChat must push to, of each account whose
// pushes are accepted.
func (s *Server) announceCallbacks() {
	for _, a := range s.service.accounts {
		if a.CallbackToken.IsZero() {
			continue
		}
		host, mode := cmp.Or(strings.TrimSuffix(s.service.config.Public.URL, "/"), "https://<your host>"), string(a.Mode())
		s.log.Info("enter this URL, the Token and the mode under 消息推送配置 (基础信息 > 开发信息 on developers.weixin.qq.com/platform)",
			zap.String("account", a.AppID), zap.String("callback_url", host+"/callback/"+a.AppID), zap.String("mode", mode))
	}
}
