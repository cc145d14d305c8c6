package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/settings"
)

// handlerSwitch serves by the handler that was set last, so that a listener outlives the
// configuration it was opened with. Set a handler before it serves.
type handlerSwitch struct {
	mu  sync.RWMutex
	now *countedHandler
}

// countedHandler is a handler that counts its requests in flight.
type countedHandler struct {
	http.Handler
	inFlight sync.WaitGroup
}

// set makes h the handler of the requests that come from now on. wait returns when those
// of the handler before are answered.
func (s *handlerSwitch) set(h http.Handler) (wait func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now
	s.now = &countedHandler{Handler: h}
	if before == nil {
		return func() {}
	}
	return before.inFlight.Wait
}

// ServeHTTP implements http.Handler.
func (s *handlerSwitch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	h := s.now
	h.inFlight.Add(1)
	s.mu.RUnlock()
	defer h.inFlight.Done()
	h.ServeHTTP(w, r)
}

// endingWith serves by h, and cancels the requests that are in flight when ctx ends.
func endingWith(ctx context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		h.ServeHTTP(w, r.WithContext(own)) //nolint:contextcheck // own is of r
	})
}

// runServices runs the service until ctx ends. On a reload the next one starts before the
// one before it drains: as with two processes, no account stops sending in between.
func (s *Server) runServices(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	start := func(v *service) (drain func()) {
		own, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		g.Go(func() error {
			defer close(ended)
			return s.ran(ctx, own, v.run(own))
		})
		return func() {
			cancel()
			<-ended
		}
	}
	drain := start(s.service)
	for {
		select {
		case <-ctx.Done():
			return g.Wait() //nolint:wrapcheck // the service's own
		case <-s.reloads:
		}
		next, changed, err := s.next() //nolint:contextcheck // handlers get the context of each request
		s.watch.metrics.ObserveReload(err == nil)
		if err != nil {
			for fault := range strings.SplitSeq(settings.WithNames(err.Error()), "\n") {
				s.log.Error("configuration not reloaded, the one before stays in force: correct it and send SIGHUP again",
					zap.String("cause", strings.TrimPrefix(fault, "configuration: ")))
			}
			continue
		}
		before := s.service
		s.service = next
		drainBefore := drain
		drain = start(next)
		answered := s.serveBy(next)
		pages := time.AfterFunc(opsGrace, before.endPages)
		drainBefore()
		answered()
		pages.Stop()
		before.close()
		s.forgetAccounts(before.config, next.config)
		s.log.Info("configuration reloaded", zap.Strings("changed", changed))
	}
}

// ran returns the error with which a service ended. own is the context that it ran with, a
// child of ctx: where only own has ended, a reload replaced the service. Sends that outlast
// its drain are back on their queue then, and the next service goes on.
func (s *Server) ran(ctx, own context.Context, err error) error {
	if err == nil || own.Err() == nil || ctx.Err() != nil {
		return err
	}
	s.log.Error("what a reload replaced did not end cleanly; its successor goes on", zap.Error(err))
	return nil
}

// next reads the configuration again and builds the service of it, with what cannot
// change while the process runs as it was. changed names the settings that differ.
func (s *Server) next() (v *service, changed []string, err error) {
	c, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	for _, w := range c.Warnings {
		s.log.Warn("configuration", zap.String("warning", w))
	}
	fixed, changed := c.Replace(s.service.config)
	for _, name := range fixed {
		s.log.Warn("setting changed, and takes effect when the process is started again", zap.String("setting", name))
	}
	v, err = newService(s, c)
	return v, changed, err
}

// forgetAccounts removes the gauges of the accounts that were removed, so that no alert
// is about them.
func (s *Server) forgetAccounts(before, now *settings.Config) {
	for _, id := range before.AppIDs() {
		if !slices.Contains(now.AppIDs(), id) {
			s.watch.metrics.Forget(id)
		}
	}
}
