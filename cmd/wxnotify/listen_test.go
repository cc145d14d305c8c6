package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
