package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// TestHealthcheckFollowsReadyz of a real worker whose Redis dies.
func TestHealthcheckFollowsReadyz(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF()...)
	w := newWorld(t, server.URL())
	env := w.with("WXNOTIFY_OPS_ADDR", testutil.FreeWildcard(t), "WXNOTIFY_OPS_LOGIN", "ops:long-Canary-password-91")
	start(t, env, "worker").says(t, "worker started")

	r := inProcess(t, env, "healthcheck")
	if r.code != 0 || !strings.Contains(r.stdout, "redis: ok") || !strings.HasSuffix(r.stdout, "ready\n") {
		t.Errorf("a worker that runs: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	server.Kill()
	testutil.Until(t, "not ready without Redis", func() bool { // a result of /readyz is used for a second
		r = inProcess(t, env, "healthcheck", "--output", "json")
		return r.code == 1
	})
	var view healthView
	if err := json.Unmarshal([]byte(r.stdout), &view); err != nil || r.code != 1 || view.OK || view.Status != 503 {
		t.Fatalf("without Redis: exit %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	if len(view.Checks) == 0 || view.Checks[0].Name != "redis" || view.Checks[0].Result != "failed" || view.Checks[0].Cause == "" {
		t.Errorf("the cause is missing although the login is configured: %+v", view.Checks)
	}
	if r := inProcess(t, env, "healthcheck", "--live"); r.code != 0 || r.stdout != "ok\n" {
		t.Errorf("--live without Redis: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if strings.Contains(r.stdout+r.stderr, "Canary") {
		t.Errorf("shows the login:\n%s%s", r.stdout, r.stderr)
	}
}

func TestHealthcheckOfWhatIsNotReady(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		code int
		want string
	}{
		"ready":        {nil, []string{"--url", answer(200, "redis: ok\nready")}, 0, "redis: ok\nready\n"},
		"not ready":    {nil, []string{"--url", answer(503, "redis: failed\nnot ready")}, 1, "redis: failed\nnot ready\n"},
		"another":      {nil, []string{"--url", answer(404, "nginx")}, 1, "answers HTTP 404"},
		"redirect":     {nil, []string{"--url", answer(302, "")}, 1, "answers HTTP 302"},
		"nothing":      {nil, []string{"--url", "http://127.0.0.1:1/readyz"}, 1, "no answer from http://127.0.0.1:1/readyz: start the process"},
		"silent":       {nil, []string{"--url", silent.URL, "--timeout", "50ms"}, 1, "no answer from"},
		"not started":  {map[string]string{"WXNOTIFY_OPS_ADDR": ":1"}, nil, 1, "no answer from http://127.0.0.1:1/readyz"},
		"of IPv6":      {map[string]string{"WXNOTIFY_OPS_ADDR": "[::1]:1"}, nil, 1, "no answer from http://[::1]:1/readyz"},
		"switched off": {map[string]string{"WXNOTIFY_OPS_ADDR": "-"}, nil, 2, "WXNOTIFY_OPS_ADDR is -"},
		"timeout":      {nil, []string{"--timeout", "0s"}, 2, "--timeout: 0s is not above 0"},
		"two":          {nil, []string{"--live", "--url", "http://h/"}, 2, "--live beside --url"},
		"url":          {nil, []string{"--url", "h:9090"}, 2, "--url: is not an http:// or https:// address"},
		"output":       {nil, []string{"--url", "http://h/", "--output", "xml"}, 2, "--output"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"WXNOTIFY_OPS_LOGIN": "ops:long-Canary-password-91"}
			maps.Copy(env, c.env)
			r := inProcess(t, env, append([]string{"healthcheck"}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.want) {
				t.Errorf("exit %d, want %d with %q:\n%s%s", r.code, c.code, c.want, r.stdout, r.stderr)
			}
			if strings.Contains(r.stdout+r.stderr, "Canary") {
				t.Errorf("shows the login:\n%s%s", r.stdout, r.stderr)
			}
		})
	}
}
