package ops_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/wxnotify/wxnotify/internal/browsertest"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

const (
	proxyName   = "ops.example.com"
	proxyPrefix = "/wx-ops"
)

// proxied is a listener on the loopback without a login behind proxies: Go's, and
// nginx where the machine has it. Each passes the client's Host on, and removes the
// prefix or passes it on.
func proxied(t *testing.T) map[string]*bundle {
	t.Helper()
	s := newStory(t)
	inner := serve(t, s.rdb, func(c *ops.Config) { c.Prefix, c.Hosts = proxyPrefix, []string{proxyName, "127.0.0.1"} })
	target, err := url.Parse(inner.url)
	must(t, err)
	out := map[string]*bundle{}
	for name, strip := range map[string]bool{"Go, prefix removed": true, "Go, prefix passed on": false} {
		var handler http.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		}}
		if strip {
			handler = http.StripPrefix(proxyPrefix, handler)
		}
		mux := http.NewServeMux()
		mux.Handle(proxyPrefix+"/", handler)
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		out[name] = &bundle{url: server.URL, client: server.Client()}
	}
	for name, to := range map[string]string{"nginx, prefix removed": inner.url + "/", "nginx, prefix passed on": inner.url} {
		if address := nginx(t, to); address != "" {
			out[name] = &bundle{url: address, client: inner.client}
		}
	}
	for _, b := range out {
		client := *b.client
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		b.client = &client
	}
	return out
}

// nginx starts one whose location proxyPrefix/ leads to target. It returns an empty
// address where nginx is not installed.
func nginx(t *testing.T, target string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		return ""
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	address := ln.Addr().String()
	_ = ln.Close()
	dir := t.TempDir()
	var config bytes.Buffer
	err = template.Must(template.New("nginx").Parse(`
daemon off; master_process off; pid {{.Dir}}/pid; error_log {{.Dir}}/error.log;
events {}
http {
  access_log off;
  client_body_temp_path {{.Dir}}/body; proxy_temp_path {{.Dir}}/proxy; fastcgi_temp_path {{.Dir}}/fcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi; scgi_temp_path {{.Dir}}/scgi;
  server {
    listen {{.Address}};
    location {{.Prefix}}/ { proxy_pass {{.Target}}; proxy_set_header Host $host; }
  }
}
`)).Execute(&config, map[string]string{"Dir": dir, "Address": address, "Prefix": proxyPrefix, "Target": target})
	must(t, err)
	file := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(file, config.Bytes(), 0o600))
	cmd := exec.CommandContext(t.Context(), program, "-c", file, "-p", dir)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // the end of the test's context has killed it
	testutil.Until(t, "the proxy listens", func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return "http://" + address
}

// Behind a proxy, under a path, every link and redirect stays below the path, and
// asynqmon works.
func TestPagesWorkUnderThePathOfAProxy(t *testing.T) {
	t.Parallel()
	for name, b := range proxied(t) {
		for path, want := range map[string]string{
			"/metrics": "asynq_queue_size", "/readyz": "clock: ok",
			"/healthz": "ok", "/asynqmon/": proxyPrefix + "/asynqmon/static/js/", "/asynqmon/queues/" + bulkQueue: "csp-nonce",
			"/asynqmon/api/queues": bulkQueue, "/asynqmon/api/queues/" + bulkQueue + "/pending_tasks?size=3": "pending-1-paid",
			"/asynqmon/api/redis_info": "redis_version",
		} {
			r := b.get(t, proxyPrefix+path, "Host", proxyName)
			if r.status != http.StatusOK || !strings.Contains(r.body, want) {
				t.Errorf("%s: %s: %d, no %q in %.300s", name, path, r.status, want, r.body)
			}
			for _, link := range []string{`href="/asynqmon`, `href="/?`, `src="/static`, `"/asynqmon"`} {
				if strings.Contains(r.body, link) {
					t.Errorf("%s: %s has a link out of the path: %s", name, path, link)
				}
			}
		}
		for _, path := range []string{"/", "/asynqmon"} {
			r := b.get(t, proxyPrefix+path, "Host", proxyName)
			if where := r.header.Get("Location"); r.status != http.StatusFound || !strings.HasSuffix(where, proxyPrefix+"/asynqmon/") {
				t.Errorf("%s: %s: redirected with %d to %q", name, path, r.status, where)
			}
		}
		for _, path := range []string{"//metrics", "/asynqmon//x", "/./metrics", "%2fmetrics", "%2F..%2Fmetrics"} {
			if r := b.get(t, proxyPrefix+path, "Host", proxyName); strings.HasPrefix(r.header.Get("Location"), "/") && !strings.HasPrefix(r.header.Get("Location"), proxyPrefix) {
				t.Errorf("%s: %s is redirected out of the path, to %s", name, path, r.header.Get("Location"))
			}
		}
		if r := b.get(t, proxyPrefix+"/", "Host", "evil.example"); r.status != http.StatusMisdirectedRequest || !strings.Contains(r.body, "WXNOTIFY_OPS_HOSTS") {
			t.Errorf("%s: another name: %d %s", name, r.status, r.body)
		}
		if r := b.ask(t, http.MethodPost, proxyPrefix+"/asynqmon/api/queues/"+bulkQueue+":pause", "", "Host", proxyName); r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: asynqmon is not read-only: %d", name, r.status)
		}
	}
}

func TestChromiumUnderThePathOfAProxy(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{})
	for name, b := range proxied(t) {
		for path, text := range map[string]string{
			"/asynqmon/": bulkQueue, "/asynqmon/queues/" + bulkQueue + "?status=pending": "TEMPLATE_ORDER_PAID", "/asynqmon/servers": "Servers",
		} {
			if found := leaks(browser.Visit(t, b.url+proxyPrefix+path, text, "proxy-"+strings.ReplaceAll(name+path, "/", "-"))); found != nil {
				t.Errorf("%s: %s shows %q", name, path, found)
			}
		}
	}
	for _, c := range browser.Console() {
		t.Errorf("console: %s", c)
	}
}

// asynqmon's page shows whole IDs, not those up to the first hyphen.
func TestChromiumShowsWholeIDs(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{})
	rdb, _ := backlog(t, "order-1001-paid", "order-1002-paid")
	b := serve(t, rdb, nil)
	for _, id := range []string{"order-1001-paid", "order-1002-paid"} {
		dom := browser.Visit(t, b.url+"/asynqmon/queues/"+bulkQueue+"?status=pending", id, "whole-ids")
		if !strings.Contains(strings.ReplaceAll(dom, "&quot;", `"`), ">"+id+"<") {
			t.Errorf("the column of IDs does not show %s", id)
		}
	}
}

func TestPrefixIsChecked(t *testing.T) {
	t.Parallel()
	for prefix, good := range map[string]bool{
		"": true, "/wx": true, "/a/b-c_d.e~f": true, "/": false, "wx": false, "/wx/": false, "//": false, "/a//b": false, "/..": false,
		"/a/../b": false, `/"x`: false, "/a b": false, "/a?b": false, "/a#b": false, "/a%2fb": false, "/<script>": false,
	} {
		_, err := ops.New(ops.Config{Redis: unreachable(t), Addr: "127.0.0.1:0", Prefix: prefix})
		if (err == nil) != good {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}
