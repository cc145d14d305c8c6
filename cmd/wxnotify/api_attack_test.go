package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// raw sends text as it stands and returns all that is answered until the connection ends.
func raw(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, text) }() // the server may end it in between
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	out, _ := io.ReadAll(conn)
	return string(out)
}

// TestAttacksOnTheAPIListener sends what no HTTP client sends, to an api process with
// the gateway on.
func TestAttacksOnTheAPIListener(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.URL())
	addr := testutil.FreeAddr(t)
	env := w.with("WXNOTIFY_API_ADDR", addr, "WXNOTIFY_GATEWAY", "true")
	start(t, env, "api").says(t, "api started")
	_, key := newKey(t, env, "--scopes", "send,read,gateway", "--paths", "/cgi-bin/user/")
	token, _ := ask(t, "GET", "http://"+addr+"/cgi-bin/token?"+url.Values{
		"grant_type": {"client_credential"}, "appid": {wechattest.AppID}, "secret": {key},
	}.Encode(), "", "").field(t, "access_token").(string)
	if token == "" {
		t.Fatal("no token")
	}
	const end = "\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, c := range map[string]struct{ send, want string }{
		"absolute form, gateway":  {"GET http://evil.example/cgi-bin/user/info?access_token=" + token + "&openid=o1 HTTP/1.1" + end, `"errcode":40066`},
		"absolute form, Redis":    {"GET http://" + server.Addr + "/cgi-bin/user/info?access_token=" + token + " HTTP/1.1" + end, `"errcode":40066`},
		"CONNECT":                 {"CONNECT " + server.Addr + " HTTP/1.1" + end, "HTTP/1.1 40"},
		"a folder up":             {"GET /cgi-bin/user/../menu/get?access_token=" + token + " HTTP/1.1" + end, `"errcode":40066`},
		"a folder up, encoded":    {"GET /cgi-bin/user/%2e%2e/menu/get?access_token=" + token + " HTTP/1.1" + end, `"errcode":40066`},
		"another path":            {"GET /cgi-bin/menu/get?access_token=" + token + " HTTP/1.1" + end, `"errcode":48001`},
		"two lengths":             {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n{}  ", "HTTP/1.1 400"},
		"a blank before a colon":  {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\n{} ", "HTTP/1.1 400"},
		"another coding":          {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501"},
		"a line break in a name":  {"GET /v1/templates HTTP/1.1\r\nHost: x\r\nX-A: b\rAuthorization: Bearer " + key + "\r\n\r\n", "HTTP/1.1 400"},
		"headers without end":     {"GET /v1/templates HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 60) + "\r\n", "HTTP/1.1 431"},
		"two keys":                {"GET /v1/templates HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wxn_live_x\r\nAuthorization: Bearer " + key + "\r\nConnection: close\r\n\r\n", "HTTP/1.1 401"},
		"10 MB announced":         {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + "\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n{\"id\":\"" + strings.Repeat("x", 9<<20), "HTTP/1.1 413"},
		"10 MB, no key":           {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n{", "HTTP/1.1 401"},
		"10 MB through a send":    {"POST /cgi-bin/message/template/send?access_token=" + token + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n" + strings.Repeat("x", 1<<20), `"errcode":45001`},
		"10 MB in a token's body": {"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n" + strings.Repeat("x", 1<<20), `"errcode":45001`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := raw(t, addr, c.send); !strings.Contains(got, c.want) {
				t.Errorf("answered %.300q, want %s", got, c.want)
			}
		})
	}
	t.Run("a second request in the body", func(t *testing.T) {
		t.Parallel()
		got := raw(t, addr, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+
			"GET /v1/templates HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\n\r\n")
		if n := strings.Count(got, "HTTP/1.1 "); n != 1 || strings.Contains(got, "HTTP/1.1 200") {
			t.Errorf("%d answers: %.300q", n, got)
		}
	})
}

// A client written from /openapi.json alone sends, polls and cancels.
func TestAClientMadeOfTheDocumentWorks(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 is not installed")
		}
		t.Skip("needs python3")
	}
	server := redistest.Start(t)
	w := newWorld(t, server.URL())
	addr := testutil.FreeAddr(t)
	env := w.with("WXNOTIFY_API_ADDR", addr)
	start(t, env, "api").says(t, "api started")
	start(t, env, "worker").says(t, "worker started")
	_, key := newKey(t, env, "--kind", "test")
	var ends []string
	for _, s := range ledger.States() {
		if s.Ended() {
			ends = append(ends, string(s))
		}
	}
	out, err := exec.CommandContext(t.Context(), python, "testdata/apiclient.py", "http://"+addr, key, strings.Join(ends, ",")).CombinedOutput()
	if err != nil || fmt.Sprint(strings.Fields(string(out))) != "[delivered cancelled]" {
		t.Errorf("%v\n%s", err, out)
	}
}
