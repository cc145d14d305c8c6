package wechat_test

import (
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

// hijack takes over the connection from the HTTP server.
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
		{"JSON of another server", body(`{"status":"up"}`), 200, true},
		{"empty object", body(`{}`), 200, true},
		{"msgid is no number", body(`{"errcode":0,"msgid":{"a":1}}`), 200, true},
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
				t.Errorf("%d calls, want 1", n)
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

// instead writes text in place of an answer and cuts the connection.
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

// After these failures a resend is safe.
func TestFailuresBeforeTheRequestAreNotAmbiguous(t *testing.T) {
	t.Parallel()
	plain := answers(t, answerOK)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs the failed handshake
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

func TestCancelledCallsAreAmbiguousOnceWritten(t *testing.T) {
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
	t.Run("while WeChat is answering", func(t *testing.T) {
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

// 100 sends to a server that never answers end with Config.Timeout and leave no
// goroutine.
func TestSnd11SlowAnswersTimeOutWithoutLeaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hc, stop := pipedServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}))
		c, err := wechat.NewClient(wechat.Config{
			AppID: "wx1", BaseURL: "http://wechat.test", HTTPClient: hc, Timeout: 5 * time.Second,
		}, newSource())
		must(t, err)
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

func TestShorterTimeoutOfTheHTTPClientLimitsACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hc, stop := pipedServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}))
		for clientTimeout, want := range map[time.Duration]time.Duration{2 * time.Second: 2 * time.Second, time.Minute: 5 * time.Second} {
			hc.Timeout = clientTimeout
			c, err := wechat.NewClient(wechat.Config{
				AppID: "wx1", BaseURL: "http://wechat.test", HTTPClient: hc, Timeout: 5 * time.Second,
			}, newSource())
			must(t, err)
			start := time.Now()
			if _, err := c.SendTemplate(t.Context(), orderPaid()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != want {
				t.Errorf("%v after %s, want a timeout after %s", err, time.Since(start), want)
			}
			c.CloseIdleConnections()
		}
		stop()
	})
}

// pipedServer serves HTTP over net.Pipe, so that it works in a synctest bubble.
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
