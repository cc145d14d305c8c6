package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// answer is what an HTTP listener answered.
type answer struct {
	status int
	body   string
	header http.Header
}

func (a answer) field(tb testing.TB, name string) any {
	tb.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		tb.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return out[name]
}

// ask makes one call of the HTTP API. key is left out when it is empty.
func ask(tb testing.TB, method, address, key, body string) answer {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, address, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{resp.StatusCode, string(text), resp.Header}
}

// hello is a message to a simulated recipient.
func hello(id, to string) string {
	return fmt.Sprintf(`{"id":%q,"message":{"touser":%q,"template_id":"T1","data":{"thing1":{"value":"Hello"}}}}`, id, to)
}

// newKey makes a key with the command, and returns its id and secret.
func newKey(t *testing.T, env map[string]string, args ...string) (id, secret string) {
	t.Helper()
	r := inProcess(t, env, append([]string{"api", "keys", "create", "--output", "json", "--name", "k"}, args...)...)
	var made struct{ ID, Secret string }
	if r.code != 0 || json.Unmarshal([]byte(r.stdout), &made) != nil || made.Secret == "" {
		t.Fatalf("api keys create: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return made.ID, made.Secret
}

func TestServeAnswersTheHTTPAPI(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.UserURL(t))
	apiAddr, opsAddr, publicAddr := testutil.FreeAddr(t), testutil.FreeAddr(t), testutil.FreeAddr(t)
	env := w.with("WXNOTIFY_API_ADDR", apiAddr, "WXNOTIFY_OPS_ADDR", opsAddr, "WXNOTIFY_PUBLIC_ADDR", publicAddr,
		"WXNOTIFY_PUBLIC_URL", "http://"+publicAddr, "WXNOTIFY_ENROLL_KEY", strings.Repeat("enrolkey", 5), "WXNOTIFY_LOG_LEVEL", "debug")
	serve := start(t, env, "serve")
	serve.says(t, "api started")
	base := "http://" + apiAddr
	_, test := newKey(t, env, "--kind", "test", "--scopes", "send,read,enroll")
	_, live := newKey(t, env)

	for id, c := range map[string]struct{ key, to, state string }{
		"hello-1": {test, "wxn-sim-delivered", "delivered"},
		"hello-2": {live, "wxn-sim-43004", "rejected"},
		"hello-3": {live, "oCommand000000000000000000001", "accepted"},
	} {
		body := strings.Replace(hello(id, c.to), "T1", wechattest.TemplateOrderPaid, 1)
		if c.state == "accepted" {
			body = strings.Replace(body, `{"thing1":{"value":"Hello"}}`, `{"thing1":{"value":"茶"},"time2":{"value":"2026-11-26 10:00"},"amount3":{"value":"¥1.00"}}`, 1)
		}
		if a := ask(t, "POST", base+"/v1/messages", c.key, body); a.status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", id, a.status, a.body)
		}
		var last answer
		testutil.Until(t, id+" ends", func() bool {
			last = ask(t, "GET", base+"/v1/messages/"+id, c.key, "")
			state, _ := last.field(t, "state").(string)
			return state == c.state
		})
	}
	if a := ask(t, "POST", base+"/v1/enroll-links", test, `{"user":"patient-401"}`); a.status != http.StatusCreated || !strings.Contains(a.body, publicAddr) {
		t.Errorf("a link: %d %s", a.status, a.body)
	}
	if a := ask(t, "GET", base+"/cgi-bin/token?grant_type=client_credential&appid=x&secret="+live, "", ""); a.status != http.StatusNotFound {
		t.Errorf("the gateway answers and is off: %d %s", a.status, a.body)
	}
	metrics := ask(t, "GET", "http://"+opsAddr+"/metrics", "", "").body
	for _, want := range []string{`wxnotify_api_calls_total{route="POST /v1/messages",status="2xx"} 3`, `route="GET /v1/messages/{id}",status="2xx"`, `route="other",status="4xx"`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	for _, secret := range []string{test, live} {
		if strings.Contains(metrics, secret[9:]) || strings.Contains(serve.stderr.String(), secret[9:]) {
			t.Error("/metrics or the log has the key")
		}
	}

	_ = serve.cmd.Process.Signal(syscall.SIGTERM)
	<-serve.done
	if code := serve.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(serve.stderr.String(), "api stopped") {
		t.Errorf("exit %d after SIGTERM:\n%s", code, serve.stderr)
	}
}

// Any number of api processes stand beside the workers. They need no AppSecret, and
// answer 503 while Redis is away.
func TestAPIAlone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF()...)
	first, second := testutil.FreeAddr(t), testutil.FreeAddr(t)
	static := "billing:" + strings.Repeat("5f", 20)
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_OPS_ADDR": "-",
		"WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1", "WXNOTIFY_API_KEYS_FILE": testutil.File(t, "keys", static+"\nshop:"+strings.Repeat("6e", 20)+"\n"),
	}
	for _, addr := range []string{first, second} {
		start(t, env, "api", "--api-addr", addr).says(t, "api started")
	}
	key := strings.TrimPrefix(static, "billing:")
	if a := ask(t, "POST", "http://"+first+"/v1/messages", key, hello("m-1", "wxn-sim-delivered")); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := ask(t, "GET", "http://"+second+"/v1/messages/m-1", key, ""); a.field(t, "state") != "queued" {
		t.Errorf("the other process: %d %s", a.status, a.body)
	}
	server.Kill()
	if a := ask(t, "POST", "http://"+first+"/v1/messages", key, hello("m-2", "wxn-sim-delivered")); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("without Redis: %d %s", a.status, a.body)
	}
	server.Restart(t)
	testutil.Until(t, "Redis is back", func() bool {
		return ask(t, "POST", "http://"+first+"/v1/messages", key, hello("m-2", "wxn-sim-delivered")).status < 300
	})
}

func TestKeysAreMadeListedRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	addr := testutil.FreeAddr(t)
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": server.UserURL(t), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_OPS_ADDR": "-", "WXNOTIFY_API_ADDR": addr,
		"WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1",
	}
	start(t, env, "api").says(t, "api started")
	use := func(secret string) int {
		return ask(t, "GET", "http://"+addr+"/v1/templates", secret, "").status
	}
	guests := testutil.File(t, "guests", "\ufeffoGuest1\r\n\n patient-401 \n")
	id, secret := newKey(t, env, "--kind", "guest", "--guests-file", guests, "--class", "bulk", "--share", "0.25")
	if got := use(secret); got != http.StatusOK {
		t.Errorf("a new key: %d", got)
	}
	if a := ask(t, "POST", "http://"+addr+"/v1/messages", secret, strings.Replace(hello("g-1", "oStranger"), `{"id"`, `{"class":"bulk","id"`, 1)); a.status != http.StatusForbidden {
		t.Errorf("a guest key to a stranger: %d %s", a.status, a.body)
	}
	list := inProcess(t, env, "api", "keys", "list")
	for _, want := range []string{id, "guest", "bulk", "0.25", "read,send"} {
		if !strings.Contains(list.stdout, want) {
			t.Errorf("the list has no %s: %s", want, list.stdout)
		}
	}
	if strings.Contains(list.stdout, secret[len(secret)-26:]) {
		t.Error("the list has the secret")
	}

	rotated := inProcess(t, env, "api", "keys", "rotate", id)
	next := strings.TrimSpace(rotated.stdout)
	if use(secret) != http.StatusOK || use(next) != http.StatusOK || next == secret {
		t.Errorf("after the rotation the old and the new secret answer %d and %d", use(secret), use(next))
	}
	ended := strings.TrimSpace(inProcess(t, env, "api", "keys", "rotate", id, "--overlap", "0s").stdout)
	testutil.Until(t, "the old secrets end", func() bool { return use(secret) == 401 && use(next) == 401 })
	if r := inProcess(t, env, "api", "keys", "revoke", id); r.code != 0 {
		t.Errorf("revoke: exit %d %s", r.code, r.stderr)
	}
	testutil.Until(t, "the key ends", func() bool { return use(ended) == 401 })
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{1, "api keys list", []string{"revoke", id}},
		{1, "api keys list", []string{"rotate", id}},
		{2, "name:", []string{"create"}},
		{2, "guests:", []string{"create", "--name", "x", "--kind", "guest"}},
		{2, "scopes:", []string{"create", "--name", "x", "--scopes", "sned"}},
		{2, "no such file", []string{"create", "--name", "x", "--kind", "guest", "--guests-file", "/nowhere/guests"}},
		{0, "no keys", []string{"list"}},
	} {
		r := inProcess(t, env, append([]string{"api", "keys"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.want) {
			t.Errorf("api keys %v: exit %d, want %d with %q:\n%s%s", c.args, r.code, c.code, c.want, r.stdout, r.stderr)
		}
	}
}

func TestAPISettingsAreChecked(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	check(t, err)
	t.Cleanup(func() { _ = taken.Close() }) // after the parallel subtests
	server := redistest.Start(t)
	base := map[string]string{
		"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_OPS_ADDR": "-", "WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1",
	}
	for name, c := range map[string]struct{ variable, value, want string }{
		"taken":           {"WXNOTIFY_API_ADDR", taken.Addr().String(), "WXNOTIFY_API_ADDR"},
		"nowhere":         {"WXNOTIFY_API_ADDR", "-", "WXNOTIFY_API_ADDR: is - for nowhere"},
		"a short secret":  {"WXNOTIFY_API_KEYS", "billing:short", "WXNOTIFY_API_KEYS: key 1 is not name:secret"},
		"no name":         {"WXNOTIFY_API_KEYS", "a:" + strings.Repeat("5f", 20) + ",:" + strings.Repeat("6f", 20), "WXNOTIFY_API_KEYS: key 2 has a name"},
		"twice":           {"WXNOTIFY_API_KEYS", "a:" + strings.Repeat("5f", 20) + ",a:" + strings.Repeat("6f", 20), "WXNOTIFY_API_KEYS: key 2 has the name"},
		"gateway, secret": {"WXNOTIFY_GATEWAY", "true", "WXNOTIFY_APPSECRET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{c.variable: c.value}
			for k, v := range base {
				if env[k] == "" {
					env[k] = v
				}
			}
			r := inProcess(t, env, "api")
			if r.code != 2 || !strings.Contains(r.stderr, c.want) || strings.Contains(r.stderr, "5f5f") {
				t.Errorf("exit %d, want 2 with %q:\n%s", r.code, c.want, r.stderr)
			}
		})
	}
	c, err := settings.Load("", map[string]string{"WXNOTIFY_API_ADDR": "0.0.0.0:8081"}, nil, settings.Answering)
	if err != nil || !strings.Contains(strings.Join(c.Warnings, "\n"), "WXNOTIFY_API_ADDR: other machines reach") {
		t.Errorf("beyond loopback: %v, %v", c.Warnings, err)
	}
	c, err = settings.Load("", map[string]string{"WXNOTIFY_API_ADDR": "0.0.0.0:8081", "WXNOTIFY_TRUSTED_PROXIES": "10.0.0.1"}, nil, settings.Answering)
	if err != nil || strings.Contains(strings.Join(c.Warnings, "\n"), "API_ADDR") {
		t.Errorf("beyond loopback, behind a proxy: %v, %v", c.Warnings, err)
	}
}
