package ops

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. writeTimeout is long because a page of a large queue
// takes time.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 30 * time.Second
	stopTimeout   = 5 * time.Second
	maxHeader     = 32 << 10
)

// Serve answers on ln until ctx ends, lets the running requests finish for at
// most 5 s, and returns nil. It closes ln. For TLS pass a tls.Listener, or put a
// proxy in front. faults gets panics, whose texts may hold personal data, and failing
// accepts; nil: they are written to stderr.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, faults *log.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          faults,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, ctx.Done())
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("operators' listener %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = server.Close()
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("operators' listener %s: stop: %w", ln.Addr(), err)
	}
	return nil
}
