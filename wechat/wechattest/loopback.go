package wechattest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Loopback serves a handler over net.Pipe: HTTP/1.1 connections without a socket,
// which can be cut and work in a synctest bubble.
type Loopback struct {
	start  sync.Once
	conns  chan net.Conn
	done   chan struct{}
	stop   sync.Once
	ended  chan struct{}
	server *http.Server
	dialer *http.Transport
}

// NewLoopback makes a Loopback for h. It starts no goroutine before Client is
// called.
func NewLoopback(h http.Handler) *Loopback {
	l := &Loopback{
		conns: make(chan net.Conn), done: make(chan struct{}), ended: make(chan struct{}),
	}
	l.server = &http.Server{
		Handler: h, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
	}
	l.dialer = &http.Transport{
		DialContext: l.dial, MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, DisableCompression: true,
	}
	return l
}

// Client returns a client whose every request, for any host, reaches the handler.
// It follows no redirects.
func (l *Loopback) Client() *http.Client {
	l.start.Do(func() {
		go func() {
			defer close(l.ended)
			_ = l.server.Serve(listener{l}) // ends with ErrServerClosed
		}()
	})
	return &http.Client{
		Transport:     l.dialer,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close cuts all connections and returns when the server has ended.
func (l *Loopback) Close() {
	l.start.Do(func() { close(l.ended) }) // the server never started
	l.stop.Do(func() { close(l.done) })
	_ = l.server.Close()
	l.dialer.CloseIdleConnections()
	<-l.ended
}

// dial makes a connection and gives its other end to the server.
func (l *Loopback) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listener is the server's end of a Loopback.
type listener struct{ l *Loopback }

func (s listener) Accept() (net.Conn, error) {
	select {
	case c := <-s.l.conns:
		return c, nil
	case <-s.l.done:
		return nil, net.ErrClosed
	}
}

func (s listener) Close() error {
	s.l.stop.Do(func() { close(s.l.done) })
	return nil
}

func (s listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
