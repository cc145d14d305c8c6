package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/ops"
)

// limits of a listener. read and write bound a connection's time; zero means no
// limit. grace is the time for requests in flight at shutdown; zero means 3 s. share
// is the listener's part of the connections that the process may have, as its
// divisor; zero means 2. drain says that the clients are programs of the business, so that
// what is left of a body is read: see drained. log gets failing accepts and panics; nil: no
// log.
type limits struct {
	read, write, grace time.Duration
	share              int
	drain              bool
	log                *zap.Logger
}

// publicLimits are for the public listener, so that no client can hold a connection
// by sending or reading slowly. A request that calls WeChat takes up to 15 s.
func publicLimits() limits {
	return limits{read: 10 * time.Second, write: 30 * time.Second, grace: 20 * time.Second}
}

// opsLimits are for the operators' listener: a page of a large queue takes time.
func opsLimits() limits {
	return limits{read: 15 * time.Second, write: 60 * time.Second, grace: 5 * time.Second, share: opsShare}
}

const (
	// idleTimeout ends connections that wait for a request: they count as open ones.
	idleTimeout = 20 * time.Second
	// mostConnections bounds a listener where the process may open any number of files.
	mostConnections = 2048
	// ownFiles are kept for what is not a client's: up to 100 connections to Redis, those
	// to WeChat, and files.
	ownFiles = 128
)

// bounded lets ln have its share of the connections: clients and the sender share
// the process' file descriptors. More clients wait to be accepted.
func bounded(ln net.Listener, share int) net.Listener {
	return netutil.LimitListener(ln, connections(openFiles(), share))
}

// connections is how many clients a listener may have at once in a process that may open
// this many files.
func connections(files, share int) int {
	return max(min(files-ownFiles, 2*mostConnections)/max(share, 2), 1)
}

// Serve answers on ln until ctx ends, for a tool: a request may take any time. log gets
// what an operator can act on; nil: nothing.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *zap.Logger) error {
	return serveHTTP(ctx, ln, h, limits{log: log, drain: true})
}

// serveHTTP answers on ln until ctx ends.
func serveHTTP(ctx context.Context, ln net.Listener, h http.Handler, l limits) error {
	if l.log == nil {
		l.log = zap.NewNop()
	}
	if l.drain {
		h = drained(h)
	}
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: idleTimeout,
		ReadTimeout: l.read, WriteTimeout: l.write, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return ops.Stopping(ctx) },
		ErrorLog:    log.New(serverFaults{logging.FirstOfKind(l.log.With(zap.Stringer("listener", ln.Addr())))}, "", 0),
	}
	if l.grace == 0 {
		l.grace = 3 * time.Second
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.grace)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	})
	defer stop()
	if err := srv.Serve(bounded(ln, l.share)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	<-ended // requests in flight need what the caller closes next
	return nil
}

// serverFaults logs what net/http reports and an operator can act on: connections
// that cannot be accepted, and panics. Protocol errors of clients are left out: any
// client can make any number of them.
type serverFaults struct{ log *zap.Logger }

func (f serverFaults) Write(line []byte) (int, error) {
	switch {
	case bytes.HasPrefix(line, []byte("http: Accept error: ")):
		f.log.Warn("connections cannot be accepted; when too many files are open, raise the limit (ulimit -n)",
			zap.ByteString("cause", bytes.TrimSpace(bytes.TrimPrefix(line, []byte("http: Accept error: ")))))
	case bytes.HasPrefix(line, []byte("http: panic serving ")):
		_, stack, _ := bytes.Cut(line, []byte("\n")) // the first line may hold data of a follower
		f.log.Error("a request ended by a panic, which is a fault of wxnotify: report it with this stack", zap.ByteString("stack", stack))
	}
	return len(line), nil
}
