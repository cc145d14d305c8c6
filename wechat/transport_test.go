package wechat_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// hijack takes the connection away from the HTTP server.
func hijack(t *testing.T, w http.ResponseWriter) net.Conn {
	t.Helper()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Errorf("hijack: %v", err)
		return nil
	}
	return conn
}

func TestAnswersThatAreNotWeChats(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		answer    func(t *testing.T, w http.ResponseWriter, r *http.Request)
		status    int
		ambiguous bool
	}{
		{"502", status(http.StatusBadGateway), 502, true},
		{"503", status(http.StatusServiceUnavailable), 503, true},
		{"204", status(http.StatusNoContent), 204, true},
		{"404", status(http.StatusNotFound), 404, false},
		{"413", status(http.StatusRequestEntityTooLarge), 413, false},
		{"redirect", func(_ *testing.T, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
		}, 307, false},
		{"a page", body(answerOfProxy), 200, true},
		{"nothing", body(""), 200, true},
		{"null", body("null"), 200, true},
		{"an array", body(`[{"errcode":0}]`), 200, true},
		{"half", body(`{"errcode":0,"err`), 200, true},
		{"errcode is no number", body(`{"errcode":"many"}`), 200, true},
		{"somebody's JSON", body(`{"status":"up"}`), 200, true},
		{"empty object", body(`{}`), 200, true},
		{"msgid is no number", body(`{"errcode":0,"msgid":{"a":1}}`), 200, true},
		{"endless", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"errcode":0,"msgid":1,"pad":"`+strings.Repeat("x", 2<<20)+`"}`)
		}, 200, true},
		{"cut in the body", instead("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"errcode\""), 200, true},
		{"cut before the answer", instead(""), 0, true},
		{"not HTTP", instead("SSH-2.0-OpenSSH_9\r\n"), 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, func(_ int, w http.ResponseWriter, r *http.Request) { tt.answer(t, w, r) })
			_, err := newClient(t, p, newSource()).SendTemplate(t.Context(), orderPaid())
			var e *wechat.TransportError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want *TransportError", err)
			}
			if e.HTTPStatus != tt.status || e.Ambiguous != tt.ambiguous || wechat.Ambiguous(err) != tt.ambiguous {
				t.Errorf("%v: status %d ambiguous %v, want %d %v", err, e.HTTPStatus, e.Ambiguous, tt.status, tt.ambiguous)
			}
			if n := len(p.calls()); n != 1 {
				t.Errorf("%d calls: nothing is repeated behind the caller's back", n)
			}
			noCanary(t, err)
			noURLError(t, err)
		})
	}
}

func status(code int) func(*testing.T, http.ResponseWriter, *http.Request) {
	return func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func body(text string) func(*testing.T, http.ResponseWriter, *http.Request) {
	return func(_ *testing.T, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// instead writes raw text where an answer belongs and cuts the connection.
func instead(text string) func(*testing.T, http.ResponseWriter, *http.Request) {
	return func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
		t.Helper()
		if conn := hijack(t, w); conn != nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
}

func noURLError(t *testing.T, err error) {
	t.Helper()
	var u *url.Error
	if errors.As(err, &u) {
		t.Errorf("a *url.Error is in the chain of %v", err)
	}
}

// TestNothingWasWritten is about failures after which a resend is safe.
func TestNothingWasWritten(t *testing.T) {
	t.Parallel()
	plain := answers(t, answerOK)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports the failed handshake
	secure.StartTLS()
	t.Cleanup(secure.Close)
	closed := answers(t, answerOK)
	closed.Close()
	tests := map[string]func(*wechat.Config){
		"refused":          func(cfg *wechat.Config) { cfg.BaseURL = closed.URL },
		"no such name":     func(cfg *wechat.Config) { cfg.BaseURL = "http://wechat.invalid" },
		"unknown issuer":   func(cfg *wechat.Config) { cfg.BaseURL = secure.URL },
		"TLS against HTTP": func(cfg *wechat.Config) { cfg.BaseURL = strings.Replace(plain.URL, "http:", "https:", 1) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, plain, newSource(), change).SendTemplate(t.Context(), orderPaid())
			var e *wechat.TransportError
			if !errors.As(err, &e) || e.Ambiguous || e.HTTPStatus != 0 {
				t.Errorf("got %#v, want an unambiguous *TransportError", err)
			}
			if !strings.Contains(err.Error(), "nothing reached WeChat") {
				t.Errorf("%v does not say that nothing was sent", err)
			}
			noCanary(t, err)
			noURLError(t, err)
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	t.Run("before the call", func(t *testing.T) {
		t.Parallel()
		p := answers(t, answerOK)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newClient(t, p, newSource()).SendTemplate(ctx, orderPaid())
		if !errors.Is(err, context.Canceled) || wechat.Ambiguous(err) || len(p.calls()) != 0 {
			t.Errorf("got %v after %d calls", err, len(p.calls()))
		}
	})
	t.Run("while WeChat thinks", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		p := newPlatform(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		_, err := newClient(t, p, newSource()).SendTemplate(ctx, orderPaid())
		if !errors.Is(err, context.Canceled) || !wechat.Ambiguous(err) {
			t.Errorf("got %v, want ambiguous and context.Canceled", err)
		}
	})
}

// TestSnd11SlowWeChat: 100 sends against a platform that never answers end by
// their own timeout, in virtual time, and leave no goroutine behind.
func TestSnd11SlowWeChat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hc, stop := pipedServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}))
		c, err := wechat.NewClient(wechat.Config{
			AppID: "wx1", BaseURL: "http://wechat.test", HTTPClient: hc, Timeout: 5 * time.Second,
		}, newSource())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var timeouts atomic.Int32
		var sends sync.WaitGroup
		for range 100 {
			sends.Go(func() {
				_, err := c.SendTemplate(t.Context(), orderPaid())
				if errors.Is(err, context.DeadlineExceeded) && wechat.Ambiguous(err) && strings.Contains(err.Error(), "no answer within 5s") {
					timeouts.Add(1)
				}
			})
		}
		sends.Wait()
		if timeouts.Load() != 100 || time.Since(start) != 5*time.Second {
			t.Errorf("%d of 100 timed out after %s", timeouts.Load(), time.Since(start))
		}
		c.CloseIdleConnections()
		stop()
	})
}

// pipedServer serves HTTP over net.Pipe, so that it can live in a bubble.
func pipedServer(t *testing.T, h http.Handler) (*http.Client, func()) {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	hc := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			client, server := net.Pipe()
			select {
			case l.conns <- server:
				return client, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}}
	return hc, func() { _ = srv.Close(); serving.Wait() }
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestNoSilentSecondSend: a POST that was read and then cut, on a connection
// that served before, reaches WeChat once. net/http would repeat it if it were
// a GET.
func TestNoSilentSecondSend(t *testing.T) {
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

// TestDeadIdleConnectionCostsNothing: WeChat closed the kept connection while
// nobody used it. The send goes over a new one, once.
func TestDeadIdleConnectionCostsNothing(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
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
	// The client may still write on a connection whose end it has not seen.
	if succeeded == 0 || int(requests.Load()) != succeeded {
		t.Errorf("%d sends succeeded, the server read %d requests: each send goes out once", succeeded, requests.Load())
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
	for _, hc := range []*http.Client{nil, own} {
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

func TestConnectionsAreKept(t *testing.T) {
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
		wg.Wait() // all of a round are in flight at once
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
	if err != nil {
		t.Fatal(err)
	}
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
	// The default transport keeps two a host and would dial 62 each round.
	if n := dialled.Load(); n > 2*inFlight {
		t.Errorf("%d connections for %d sends in flight: they are not kept", n, inFlight)
	}
}

func TestNewClientNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := wechat.NewClient(wechat.Config{AppID: "wx 1", BaseURL: "ftp://user:canary-password@host", Timeout: -1}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"AppID", "BaseURL", "Timeout", "TokenSource"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("%q quotes the URL", err)
	}
	if _, err := wechat.NewTokenFetcher(wechat.Config{}); err == nil || !strings.Contains(err.Error(), "AppSecret") || !strings.Contains(err.Error(), "AppID") {
		t.Errorf("NewTokenFetcher: %v", err)
	}
	for _, base := range []string{"api.weixin.qq.com", "https://", "https://h/?a=b", "https://u:p@h", "http://h\x7f/", "https://h#f"} {
		if _, err := wechat.NewClient(wechat.Config{AppID: "wx1", BaseURL: base}, newSource()); err == nil {
			t.Errorf("BaseURL %q was taken", base)
		}
	}
}

func TestBaseURLWithPath(t *testing.T) {
	t.Parallel()
	p := answers(t, answerOK)
	c := newClient(t, p, newSource(), func(cfg *wechat.Config) { cfg.BaseURL = p.URL + "/wechat/" })
	if _, err := c.SendTemplate(t.Context(), orderPaid()); err != nil {
		t.Fatal(err)
	}
	if got := p.calls()[0].path; got != "/wechat"+wechat.QuotaPath {
		t.Errorf("called %s", got)
	}
}
