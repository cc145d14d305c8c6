package ops_test

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// basic is the header of a login.
func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// withConsole has a console that answers with its method, path and operator.
func withConsole(change func(*ops.Config)) func(*ops.Config) {
	return func(c *ops.Config) {
		c.Console = func(w http.ResponseWriter, r *http.Request, who ops.Operator) {
			_, _ = w.Write([]byte(r.Method + " " + r.URL.Path + " by " + who.Name + " from " + who.Address))
		}
		if change != nil {
			change(c)
		}
	}
}

func TestConsoleRefusesRequestsThatAnotherSiteMade(t *testing.T) {
	t.Parallel()
	b := serve(t, unreachable(t), withConsole(func(c *ops.Config) { c.Hosts = []string{"ops.example.com"} }))
	const path = "/console/act"
	own := strings.TrimPrefix(b.url, "http://")
	for _, row := range []struct {
		explanation string
		method      string
		header      []string
		want        int
	}{
		{"a read from anywhere", http.MethodGet, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusOK},
		{"a form of the console", http.MethodPost, []string{"Sec-Fetch-Site", "same-origin", "Origin", b.url}, http.StatusOK},
		{"a form of the console, without Sec-Fetch-Site", http.MethodPost, []string{"Origin", b.url}, http.StatusOK},
		{"a form of another site", http.MethodPost, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"a form of another site, without Sec-Fetch-Site", http.MethodPost, []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"another port of this host", http.MethodPost, []string{"Sec-Fetch-Site", "same-site", "Origin", "http://" + own + "9"}, http.StatusForbidden},
		{"an opaque origin", http.MethodPost, []string{"Origin", "null"}, http.StatusForbidden},
		{"a DELETE of another site", http.MethodDelete, []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"the name behind the proxy", http.MethodPost, []string{"Origin", "https://ops.example.com"}, http.StatusOK},
		{"that name in clear text", http.MethodPost, []string{"Origin", "http://ops.example.com"}, http.StatusForbidden},
	} {
		if r := b.ask(t, row.method, path, "", row.header...); r.status != row.want {
			t.Errorf("%s: %d %s, want %d", row.explanation, r.status, r.body, row.want)
		}
	}
}

func TestConsoleIsBehindTheLoginAndKnowsWhoActs(t *testing.T) {
	t.Parallel()
	b := serve(t, unreachable(t), withConsole(func(c *ops.Config) {
		c.Logins = []ops.Login{{Name: "li", Password: wechat.NewSecret("correct horse battery")}}
	}))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if r := b.ask(t, method, "/console/", ""); r.status != http.StatusUnauthorized {
			t.Errorf("%s without a login: %d", method, r.status)
		}
	}
	if r := b.get(t, "/console/x", "Authorization", basic("li", "correct horse battery")); r.body != "GET /console/x by li from 127.0.0.1" {
		t.Errorf("with a login: %d %s", r.status, r.body)
	}
	open := serve(t, unreachable(t), withConsole(nil))
	if r := open.get(t, "/console/", "Authorization", basic("li", "anything")); !strings.Contains(r.body, "by  from") {
		t.Errorf("a name that no login verified is believed: %s", r.body)
	}
	if r := serve(t, unreachable(t), nil).get(t, "/console/"); r.status != http.StatusNotFound {
		t.Errorf("without a console: %d", r.status)
	}
}

func TestStreamsOfTheConsoleEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	handler, err := ops.New(ops.Config{
		Redis: redistest.Start(t).Client(t), Addr: "127.0.0.1:0",
		Console: func(_ http.ResponseWriter, r *http.Request, who ops.Operator) {
			close(begun)
			select {
			case <-who.Stop:
			case <-r.Context().Done():
				t.Error("the request was cancelled, not asked to end")
			}
		},
	})
	must(t, err)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ops.Stopping(ctx) }}
	go func() { _ = server.Serve(ln) }()
	go func() {
		<-begun
		stop()
	}()
	b := &bundle{url: "http://" + ln.Addr().String(), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if r := b.get(t, "/console/live"); r.status != http.StatusOK {
		t.Errorf("the stream ended with %d", r.status)
	}
	must(t, server.Shutdown(t.Context()))
}

func TestPagesOfLinksNeedNoLoginAndNothingElseIsOpen(t *testing.T) {
	t.Parallel()
	b := serve(t, unreachable(t), withConsole(func(c *ops.Config) {
		c.Logins = []ops.Login{{Name: "li", Password: wechat.NewSecret("pw")}}
		c.Shared = func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("open " + r.URL.Path)) }
	}))
	for path, want := range map[string]int{
		"/console/shared/abc": http.StatusOK, "/console/style.css": http.StatusOK, "/console/icon.svg": http.StatusOK,
		"/console/": http.StatusUnauthorized, "/console/console.js": http.StatusUnauthorized, "/console/message?id=x": http.StatusUnauthorized,
		"/console/shared/": http.StatusUnauthorized, "/console/shared/a/b": http.StatusUnauthorized, "/console/shared/..%2f": http.StatusOK,
	} {
		if r := b.get(t, path); r.status != want {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		}
	}
	closed := serve(t, unreachable(t), withConsole(func(c *ops.Config) {
		c.Logins = []ops.Login{{Name: "li", Password: wechat.NewSecret("pw")}}
	}))
	for _, path := range []string{"/console/shared/abc", "/console/style.css"} {
		if r := closed.get(t, path); r.status != http.StatusUnauthorized {
			t.Errorf("%s without the option: %d", path, r.status)
		}
	}
}
