package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// installed skips the test where a program is missing, and fails it in CI.
func installed(tb testing.TB, program, pkg string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			tb.Fatalf("%s is not installed: apt-get install %s", program, pkg)
		}
		tb.Skipf("%s is not installed: apt-get install %s", program, pkg)
	}
	return path
}

// shipped reads a file of deploy/ and replaces pairs; each must occur.
func shipped(tb testing.TB, name string, pairs ...string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		tb.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			tb.Fatalf("%s has no %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// background runs a program until the test ends.
func background(tb testing.TB, path string, args ...string) *logBuffer {
	tb.Helper()
	cmd := exec.Command(path, args...) //nolint:noctx // ended by the cleanup
	out := new(logBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "HOME="+tb.TempDir())
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if tb.Failed() {
			tb.Logf("%s: %.4000s", path, out.String())
		}
	})
	return out
}

func port(tb testing.TB, addr string) string {
	tb.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// selfSigned writes a certificate of both names.
func selfSigned(tb testing.TB, certFile, keyFile string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"notify.example.com", "ops.example.com"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// proxyAddrs are the addresses of a proxy and of the process behind it.
type proxyAddrs struct{ http, https, public, ops string }

// runNginx returns what reads its access log.
func runNginx(t *testing.T, at proxyAddrs) (log func() string) {
	t.Helper()
	path, dir := installed(t, "nginx", "nginx-light"), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, cert, key)
	site := shipped(t, "nginx/wxnotify.conf",
		"listen 443 ssl http2", "listen "+at.https+" ssl http2", "listen 80", "listen "+at.http,
		"server 127.0.0.1:8080", "server "+at.public, "server 127.0.0.1:9090", "server "+at.ops,
		"/etc/nginx/tls/notify.pem", cert, "/etc/nginx/tls/notify.key", key, "/etc/nginx/tls/ops.pem", cert, "/etc/nginx/tls/ops.key", key,
		"/var/log/nginx/wxnotify.log", filepath.Join(dir, "access.log"))
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	config := user + "daemon off;\nworker_processes 1;\npid " + dir + "/pid;\nerror_log stderr;\nevents {}\nhttp {\n" +
		"client_body_temp_path " + dir + "/b;\nproxy_temp_path " + dir + "/p;\nfastcgi_temp_path " + dir + "/f;\nuwsgi_temp_path " + dir + "/u;\nscgi_temp_path " + dir + "/s;\n" +
		site + "}\n"
	file := filepath.Join(dir, "nginx.conf")
	check(t, os.WriteFile(file, []byte(config), 0o600))
	if out, err := exec.CommandContext(t.Context(), path, "-t", "-p", dir, "-c", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	background(t, path, "-p", dir, "-c", file)
	return func() string {
		b, err := os.ReadFile(filepath.Join(dir, "access.log"))
		check(t, err)
		return string(b)
	}
}

func runCaddy(t *testing.T, at proxyAddrs) (log func() string) {
	t.Helper()
	path, dir := installed(t, "caddy", "caddy"), t.TempDir()
	host, _, _ := net.SplitHostPort(at.https)
	global := fmt.Sprintf("\n{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tstorage file_system %s\n\tdefault_bind %s\n\thttp_port %s\n\thttps_port %s\n",
		dir, host, port(t, at.http), port(t, at.https))
	file := filepath.Join(dir, "Caddyfile")
	check(t, os.WriteFile(file, []byte(shipped(t, "caddy/Caddyfile", "\n{\n", global, "127.0.0.1:8080", at.public, "127.0.0.1:9090", at.ops)), 0o600))
	return background(t, path, "run", "--adapter", "caddyfile", "--config", file).String
}

// proxyClient calls a proxy over TLS from one of the addresses 127.0.0.n.
type proxyClient struct {
	t      *testing.T
	at     proxyAddrs
	client *http.Client
}

func (p proxyClient) from(local string) proxyClient {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the proxy's certificate is its own
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasSuffix(addr, ":80") {
				return dialer.DialContext(ctx, network, p.at.http)
			}
			return dialer.DialContext(ctx, network, p.at.https)
		},
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p
}

func (p proxyClient) ask(method, url, body string, header ...string) (status int, text string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
	check(p.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if name, password, ok := strings.Cut(r.Header.Get("Login"), ":"); ok {
		r.SetBasicAuth(name, password)
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	check(p.t, err)
	return resp.StatusCode, string(b)
}

// TestDeployProxies: the shipped configurations of nginx and Caddy, with the real
// programs before a real serve: TLS, prefix, size, login, and whose address counts.
func TestDeployProxies(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs more addresses of the loopback than 127.0.0.1")
	}
	for _, name := range []string{"nginx", "caddy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verify := t.TempDir()
			check(t, os.WriteFile(filepath.Join(verify, "MP_verify_aBc123.txt"), []byte("aBc123"), 0o600))
			w := publicWorld(t)
			at := proxyAddrs{http: testutil.FreeAddr(t), https: testutil.FreeAddr(t), public: testutil.FreeAddr(t), ops: testutil.FreeAddr(t)}
			w.env = w.with("WXNOTIFY_PUBLIC_URL", "https://notify.example.com", "WXNOTIFY_PUBLIC_ADDR", at.public, "WXNOTIFY_TRUSTED_PROXIES", "127.0.0.1/32", "WXNOTIFY_VERIFY_FILES", verify,
				"WXNOTIFY_OPS_ADDR", at.ops, "WXNOTIFY_OPS_HOSTS", "ops.example.com", "WXNOTIFY_OPS_PREFIX", "/wxnotify", "WXNOTIFY_OPS_LOGIN", "li:"+canarySecret)
			serve := start(t, w.env, "serve")
			serve.says(t, "enroll started")
			log := map[string]func(*testing.T, proxyAddrs) func() string{"nginx": runNginx, "caddy": runCaddy}[name](t, at)
			p := proxyClient{t: t, at: at}
			alice, bob := p.from("127.0.0.1"), p.from("127.0.0.2")
			testutil.Until(t, "the proxy answers", func() bool {
				status, _ := alice.ask("GET", "https://notify.example.com/healthz", "")
				operators, _ := alice.ask("GET", "https://ops.example.com/wxnotify/readyz", "") // 0 until caddy has its certificate
				return status == http.StatusOK && operators != 0
			})

			for _, tt := range []struct {
				method, url, body string
				header            []string
				status            int
				text              string
			}{
				{"GET", "https://notify.example.com/callback/" + wechattest.AppID + "?signature=canaryQuery&timestamp=1&nonce=2&echostr=3", "", nil, 403, ""},
				{"GET", "https://notify.example.com/MP_verify_aBc123.txt", "", nil, 200, "aBc123"},
				{"GET", "http://notify.example.com/MP_verify_aBc123.txt", "", nil, 200, "aBc123"},
				{"GET", "http://notify.example.com/enroll/" + wechattest.AppID, "", nil, 308, ""},
				{"GET", "https://notify.example.com/metrics", "", nil, 404, ""},
				{"GET", "https://notify.example.com/wxnotify/metrics", "", nil, 404, ""},
				{"GET", "https://ops.example.com/wxnotify/readyz", "", nil, 200, "ready"},
				{"GET", "https://ops.example.com/wxnotify/metrics", "", nil, 401, ""},
				{"GET", "https://ops.example.com/wxnotify/metrics", "", []string{"Login", "li:" + canarySecret}, 200, "wxnotify_quota_cap"},
				{"GET", "https://ops.example.com/wxnotify/", "", []string{"Login", "li:" + canarySecret}, 302, `href="/wxnotify/console/`},
				{"GET", "https://ops.example.com/wxnotify/console/", "", []string{"Login", "li:" + canarySecret}, 200, `href="/wxnotify/asynqmon`},
			} {
				if status, text := alice.ask(tt.method, tt.url, tt.body, tt.header...); status != tt.status || !strings.Contains(text, tt.text) {
					t.Errorf("%s %s: %d %.300s", tt.method, tt.url, status, text)
				}
			}

			// Refused by the proxy for its size, or by wxnotify before it is read whole.
			push := "https://notify.example.com/callback/" + wechattest.AppID + "?signature=canaryQuery"
			if status, text := alice.ask("POST", push, strings.Repeat("x", 70<<10)); status < 400 {
				t.Errorf("a push of 70 KB: %d %s", status, text)
			}
			// A header of the client does not choose whose failed logins these are.
			for i := range 6 {
				bob.ask("GET", "https://ops.example.com/wxnotify/metrics", "", "Login", "li:guess", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
			}
			if status, _ := bob.ask("GET", "https://ops.example.com/wxnotify/metrics", "", "Login", "li:guess", "X-Forwarded-For", "203.0.113.9"); status != http.StatusTooManyRequests {
				t.Errorf("after six failed logins of one address: %d", status)
			}
			if status, _ := alice.ask("GET", "https://ops.example.com/wxnotify/metrics", "", "Login", "li:wrong"); status != http.StatusUnauthorized {
				t.Errorf("another address is locked out with it: %d", status)
			}
			// Nor whose requests to the public listener: 1200 a minute.
			carol := p.from("127.0.0.3")
			status := 0
			for i := 0; i < 2500 && status != http.StatusTooManyRequests; i++ {
				status, _ = carol.ask("GET", "https://notify.example.com/enroll/"+wechattest.AppID, "", "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i%250))
			}
			if status != http.StatusTooManyRequests {
				t.Errorf("2500 requests of one address: %d", status)
			}
			if status, _ := alice.ask("GET", "https://notify.example.com/enroll/"+wechattest.AppID, ""); status == http.StatusTooManyRequests {
				t.Error("another address is limited with it")
			}
			serve.kill()
			if status, text := alice.ask("GET", push, ""); status != http.StatusBadGateway {
				t.Errorf("nothing behind the proxy: %d %s", status, text)
			}
			testutil.Until(t, "the proxy has logged that", func() bool { return strings.Contains(log(), " 502 ") || strings.Contains(log(), `"status":502`) })
			if text := log(); strings.Contains(text, "canaryQuery") || !strings.Contains(text, "/callback/"+wechattest.AppID) {
				t.Errorf("the log has a query, or no path: %.4000s", text)
			}
		})
	}
}
