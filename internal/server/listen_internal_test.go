package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	zapobserver "go.uber.org/zap/zaptest/observer"
)

// pipes is a listener over net.Pipe, for a bubble of virtual time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// cbk-06: who sends header or body a byte at a time loses the connection; a
// genuine push beside it is answered.
func TestCbk06SlowLoris(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ln, ended := make(pipes), make(chan error, 1)
		go func() {
			ended <- serveHTTP(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprint(w, err)
			}), publicLimits())
		}()
		dial := func() net.Conn {
			near, far := net.Pipe()
			ln <- far
			return near
		}
		for name, head := range map[string]string{
			"header": "POST /callback/wx HTTP/1.1\r\nHost: x\r\nX-Slow: ",
			"body":   "POST /callback/wx HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		} {
			slow := dial()
			began := time.Now()
			var writer sync.WaitGroup
			writer.Go(func() {
				_, _ = io.WriteString(slow, head)
				for { // a byte a second, for ever
					time.Sleep(time.Second) // virtual
					if _, err := slow.Write([]byte("x")); err != nil {
						return
					}
				}
			})
			_, _ = io.Copy(io.Discard, slow) // until the server hangs up
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("slow %s: held the connection for %s", name, took)
			}
			_ = slow.Close()
			writer.Wait()
		}
		quick := dial()
		go func() {
			_, _ = io.WriteString(quick, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
		}()
		answer, err := io.ReadAll(quick)
		if err != nil || len(answer) == 0 {
			t.Errorf("the quick one: %q %v", answer, err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// failing is a listener whose first accepts fail, as with too many open files.
type failing struct {
	pipes

	left *atomic.Int32
}

func (f failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return f.pipes.Accept()
}

// TestAcceptErrorsAreLoggedNowAndThen: too many open files would otherwise stop the
// process from serving and from sending, with nothing in the log.
func TestAcceptErrorsAreLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := zapobserver.New(zap.DebugLevel)
		ctx, stop := context.WithCancel(t.Context())
		ln, ended := failing{make(pipes), &atomic.Int32{}}, make(chan error, 1)
		ln.left.Store(20)
		l := publicLimits()
		l.log = zap.New(core)
		go func() {
			ended <- serveHTTP(ctx, ln, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oSECRET") }), l)
		}()
		near, far := net.Pipe()
		ln.pipes <- far
		_, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, near) // until the server hangs up after the panic
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		accepts := logs.FilterMessageSnippet("cannot be accepted").All()
		if len(accepts) == 0 || len(accepts) > 3 || !strings.Contains(fmt.Sprint(accepts[0].ContextMap()), "too many open files") {
			t.Errorf("%d lines tell of 20 failing accepts: %v", len(accepts), accepts)
		}
		panics := logs.FilterMessageSnippet("panic").All()
		if len(panics) != 1 || !strings.Contains(fmt.Sprint(panics[0].ContextMap()), "listen_internal_test.go") || strings.Contains(fmt.Sprint(panics[0].ContextMap()), "oSECRET") {
			t.Errorf("%v", panics)
		}
	})
}

// TestConnectionsAreBounded: idle clients cannot take the file descriptors that
// sending needs; who waits is served when one of them has been idle for 20 s.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ln, ended := make(pipes), make(chan error, 1)
		l := publicLimits()
		l.share = 1 << 30 // one connection
		go func() {
			ended <- serveHTTP(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }), l)
		}()
		ask := func(conn net.Conn) {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil { //nolint:bodyclose // the connection is closed
				t.Error(err)
			}
		}
		first, far := net.Pipe()
		ln <- far
		ask(first)
		near, far := net.Pipe()
		select {
		case ln <- far:
			t.Error("one connection more than allowed is accepted")
		case <-time.After(10 * time.Second): // virtual
		}
		began := time.Now()
		ln <- far
		ask(near)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("an idle connection was kept for %s more", took)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Clients of all listeners together leave the sender its connections to Redis and WeChat,
// however few files the process may open.
func TestClientsLeaveFilesToTheSender(t *testing.T) {
	t.Parallel()
	for _, files := range []int{140, 200, 256, 1024, 4096, 1 << 20} {
		clients := connections(files, 0) + connections(files, besideShare) + connections(files, opsShare)
		if clients+ownFiles > files {
			t.Errorf("of %d files clients may have %d, which leaves %d", files, clients, files-clients)
		}
	}
	if most, few := connections(1<<20, 0), connections(16, 0); most != mostConnections || few != 1 {
		t.Errorf("connections %d and %d, want %d and 1", most, few, mostConnections)
	}
}

func TestRequestsInFlightFinishWhenAListenerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ln, ended := make(pipes), make(chan error, 1)
		go func() {
			ended <- serveHTTP(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				stop()
				time.Sleep(time.Second) // virtual
				if r.Context().Err() == nil {
					_, _ = io.WriteString(w, "whole")
				}
			}), opsLimits())
		}()
		near, far := net.Pipe()
		ln <- far
		go func() { _, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
		if answer, err := io.ReadAll(near); err != nil || !strings.HasSuffix(string(answer), "whole") {
			t.Errorf("%q %v", answer, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A body that comes a byte at a time ends with the listener's time for reading, and so
// does a client that does not read its answer.
func TestSlowClientsOfTheAPILoseTheirConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ln, ended := make(pipes), make(chan error, 1)
		read := make(chan error, 1)
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			read <- err
		})
		go func() { ended <- serveHTTP(ctx, ln, handler, apiLimits()) }()
		near, far := net.Pipe()
		ln <- far
		var client sync.WaitGroup // the bubble ends after it
		client.Go(func() {
			_, _ = io.WriteString(near, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
			for {
				if _, err := io.WriteString(near, "x"); err != nil {
					return
				}
				time.Sleep(time.Second) // virtual
			}
		})
		client.Go(func() { _, _ = io.Copy(io.Discard, bufio.NewReader(near)) })
		began := time.Now()
		if err := <-read; err == nil || time.Since(began) > 2*time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		_ = near.Close()
		client.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
