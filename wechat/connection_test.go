package wechat_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

// A POST on a kept connection that WeChat read and then cut reaches WeChat once.
// net/http would repeat a GET.
func TestWrittenSendIsNotRepeated(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			_, _ = io.WriteString(w, answerOK)
			return
		}
		if conn := hijack(t, w); conn != nil {
			_ = conn.Close()
		}
	})
	c := newClient(t, p, newSource())
	if _, err := c.SendTemplate(t.Context(), orderPaid()); err != nil {
		t.Fatal(err)
	}
	_, err := c.SendTemplate(t.Context(), orderPaid())
	if !wechat.Ambiguous(err) {
		t.Errorf("got %v, want an ambiguous failure", err)
	}
	if n := len(p.calls()); n != 2 {
		t.Errorf("WeChat saw %d calls, want 2: one each", n)
	}
}

// WeChat closes a kept connection while it is idle. The next send is made once,
// over a new connection.
func TestSendOverADeadIdleConnectionUsesANewOne(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	var requests atomic.Int32
	closed := make(chan struct{}, 2)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				_ = conn.Close()
				continue
			}
			_, _ = io.Copy(io.Discard, r.Body)
			requests.Add(1)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"errcode\":0,\"msgid\":1}")
			_ = conn.(*net.TCPConn).CloseWrite()
			closed <- struct{}{}
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	c, err := wechat.NewClient(wechat.Config{AppID: "wx1", BaseURL: "http://" + l.Addr().String()}, newSource())
	must(t, err)
	t.Cleanup(c.CloseIdleConnections)
	succeeded := 0
	for n := range 5 {
		_, err := c.SendTemplate(t.Context(), orderPaid())
		switch {
		case err == nil:
			succeeded++
			<-closed
		case !wechat.Ambiguous(err):
			t.Errorf("send %d: %v; the connection died under it, so it must be ambiguous", n, err)
		}
	}
	// The client may still write to a connection before it notices the close.
	if succeeded == 0 || int(requests.Load()) != succeeded {
		t.Errorf("%d sends succeeded, the server read %d requests: want each send made once", succeeded, requests.Load())
	}
}

// brokenConn fails writes once it is broken and stays open for reading, so that
// net/http notices at the next write.
type brokenConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c brokenConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("broken pipe")
	}
	return c.Conn.Write(p)
}

// net/http repeats such a POST on a new connection, which is safe. When it gets no
// new connection, the error is not ambiguous.
func TestSendIsRepeatedWhenNothingWasWritten(t *testing.T) {
	t.Parallel()
	p := answers(t, answerOK)
	var dialled atomic.Int32
	broken := []*atomic.Bool{new(atomic.Bool), new(atomic.Bool)}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		n := int(dialled.Add(1)) - 1
		if n >= len(broken) {
			return nil, errors.New("no way out")
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return brokenConn{conn, broken[n]}, err
	}}
	c := newClient(t, p, newSource(), func(cfg *wechat.Config) { cfg.HTTPClient = &http.Client{Transport: transport} })
	for n := range 2 {
		if _, err := c.SendTemplate(t.Context(), orderPaid()); err != nil {
			t.Fatalf("send %d: %v", n, err)
		}
		broken[n].Store(true)
	}
	if len(p.calls()) != 2 || dialled.Load() != 2 {
		t.Errorf("WeChat saw %d calls over %d connections, want 2 over 2", len(p.calls()), dialled.Load())
	}
	_, err := c.SendTemplate(t.Context(), orderPaid())
	if err == nil || wechat.Ambiguous(err) || len(p.calls()) != 2 {
		t.Errorf("without a connection: %v", err)
	}
}

func TestAnswerBeyondTheLimitIsCut(t *testing.T) {
	t.Parallel()
	const enough = 64 << 20
	sent := make(chan int, 1)
	p := newPlatform(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		n, err := io.WriteString(w, `{"errcode":0,"msgid":1,"pad":"`)
		for more := 0; err == nil && n < enough; n += more {
			more, err = w.Write(make([]byte, 64<<10))
		}
		sent <- n
	})
	_, err := newClient(t, p, newSource()).SendTemplate(t.Context(), orderPaid())
	if !wechat.Ambiguous(err) || !strings.Contains(err.Error(), "longer than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
	if n := <-sent; n >= enough {
		t.Errorf("%d bytes were read", n)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	p := newPlatform(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	})
	own := &http.Client{Transport: &http.Transport{}}
	for _, hc := range []*http.Client{nil, own, {}} {
		c := newClient(t, p, newSource(), func(cfg *wechat.Config) { cfg.HTTPClient = hc })
		_, err := c.SendTemplate(t.Context(), orderPaid())
		if err == nil || wechat.Ambiguous(err) {
			t.Errorf("got %v", err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("the token went to another host")
	}
	if own.CheckRedirect != nil {
		t.Error("the caller's client was changed")
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	const inFlight = 64
	var dialled atomic.Int32
	var arrived sync.WaitGroup
	var round atomic.Pointer[sync.WaitGroup]
	round.Store(&arrived)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		wg := round.Load()
		wg.Done()
		wg.Wait() // so that all sends of a round are in flight at once
		_, _ = io.WriteString(w, answerOK)
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c, err := wechat.NewClient(wechat.Config{AppID: "wx1", BaseURL: srv.URL}, newSource())
	must(t, err)
	t.Cleanup(c.CloseIdleConnections)
	for range 4 {
		wg := new(sync.WaitGroup)
		wg.Add(inFlight)
		round.Store(wg)
		var sends sync.WaitGroup
		for range inFlight {
			sends.Go(func() {
				if _, err := c.SendTemplate(t.Context(), orderPaid()); err != nil {
					t.Errorf("send: %v", err)
				}
			})
		}
		sends.Wait()
	}
	// The default transport keeps two connections and would dial 62 each round.
	if n := dialled.Load(); n > 2*inFlight {
		t.Errorf("%d connections for %d sends in flight: they are not kept", n, inFlight)
	}
}
