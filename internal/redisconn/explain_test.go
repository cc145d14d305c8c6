package redisconn_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// check parses cfg and checks the server, and fails the test when that takes longer
// than an operator should wait, or when the error shows a password of the test.
func check(t *testing.T, cfg redisconn.Config) (redisconn.Report, error) {
	t.Helper()
	s, err := redisconn.Parse(cfg)
	must(t, err)
	type answer struct {
		r   redisconn.Report
		err error
	}
	done := make(chan answer, 1)
	go func() { r, err := s.Check(t.Context()); done <- answer{r, err} }()
	clock := time.NewTicker(100 * time.Millisecond) // stops while the machine is too busy for us
	defer clock.Stop()
	var got answer
	for ticks, running := 0, true; running; {
		select {
		case got = <-done:
			running = false
		case <-clock.C:
			if ticks++; ticks == 80 && cfg.Patience == 0 { // the driver alone takes 10 s
				t.Error("the check took more than 8 s, want 3 s at most")
			}
		}
	}
	r, err := got.r, got.err
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("the error shows the password: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is more than one line: %q", err)
	}
	return r, err
}

// attempts of a check whose answer depends on the machine's load.
const attempts = 20

// refuses fails the test unless the check ends with an error that has all these words.
func refuses(t *testing.T, cfg redisconn.Config, words ...string) {
	t.Helper()
	var err error
	for range attempts {
		if _, err = check(t, cfg); err == nil {
			break
		}
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(err.Error(), word) }) {
			t.Log(err)
			return
		}
	}
	t.Errorf("error = %v, want one with %q", err, words)
}

func accepts(t *testing.T, cfg redisconn.Config) {
	t.Helper()
	cfg.Patience = time.Minute
	if _, err := check(t, cfg); err != nil {
		t.Error(err)
	}
}

func TestPasswordFaultsAreNamed(t *testing.T) {
	t.Parallel()
	open := redistest.Start(t)
	closed := redistest.Start(t, "--requirepass", "canary-right")
	accepts(t, redisconn.Config{URL: "redis://:canary-right@" + closed.Addr})
	refuses(t, redisconn.Config{URL: "redis://" + closed.Addr}, "demands a password", "WXNOTIFY_REDIS_URL")
	refuses(t, redisconn.Config{URL: "redis://:canary-wrong@" + closed.Addr}, "refuses the user or the password", "WXNOTIFY_REDIS_URL")
	refuses(t, redisconn.Config{URL: "redis://nobody:canary-wrong@" + closed.Addr}, "refuses the user or the password")
	r, err := check(t, redisconn.Config{URL: "redis://:canary-wrong@" + open.Addr, Patience: time.Minute})
	if err != nil || !strings.Contains(strings.Join(r.Warnings, "\n"), "accepts every password") {
		t.Errorf("a password that the server does not demand: %v, %v", r.Warnings, err)
	}
	old := listen(t, func(conn net.Conn) {
		answer(conn, map[string]string{"auth": "-ERR AUTH <password> called without any password configured for the default user."})
	})
	refuses(t, redisconn.Config{URL: "redis://:canary-wrong@" + old}, "has no password", "remove it")
}

func TestTLSFaultsAreNamed(t *testing.T) {
	t.Parallel()
	certs := redistest.NewCertificates(t)
	plain := redistest.Start(t)
	encrypted := redistest.StartTLS(t, certs, false, "--bind", testutil.Host(t), "127.0.0.1") // localhost is the latter
	mutual := redistest.StartTLS(t, certs, true)
	_, port, _ := net.SplitHostPort(encrypted.Addr)
	rediss := "rediss://" + encrypted.Addr

	accepts(t, redisconn.Config{URL: rediss, CAFile: certs.CA})
	accepts(t, redisconn.Config{URL: "rediss://localhost:" + port, CAFile: certs.CA, ServerName: "redis.test"})
	accepts(t, redisconn.Config{URL: "rediss://" + mutual.Addr, CAFile: certs.CA, CertFile: certs.ClientCert, KeyFile: certs.ClientKey})

	refuses(t, redisconn.Config{URL: "rediss://" + plain.Addr}, "speaks no TLS", "redis://", "WXNOTIFY_REDIS_URL")
	refuses(t, redisconn.Config{URL: "redis://" + encrypted.Addr}, "speaks TLS", "rediss://", "WXNOTIFY_REDIS_URL")
	refuses(t, redisconn.Config{URL: rediss}, "authority", "WXNOTIFY_REDIS_CA_FILE")
	refuses(t, redisconn.Config{URL: rediss, CAFile: redistest.NewCertificates(t).CA}, "authority", "WXNOTIFY_REDIS_CA_FILE")
	refuses(t, redisconn.Config{URL: "rediss://localhost:" + port, CAFile: certs.CA}, "another name than localhost", "WXNOTIFY_REDIS_SERVER_NAME")
	refuses(t, redisconn.Config{URL: "rediss://" + mutual.Addr, CAFile: certs.CA}, "demands a client certificate", "WXNOTIFY_REDIS_CERT_FILE")
	other := redistest.NewCertificates(t)
	refuses(t, redisconn.Config{URL: "rediss://" + mutual.Addr, CAFile: certs.CA, CertFile: other.ClientCert, KeyFile: other.ClientKey},
		"refuses the client certificate", "WXNOTIFY_REDIS_CERT_FILE")
	refuses(t, redisconn.Config{URL: "redis://" + mutual.Addr}, "speaks TLS", "rediss://")
	refuses(t, redisconn.Config{URL: "redis-cluster://" + encrypted.Addr}, "speaks TLS", "tls=true")
}

func TestTLSFilesAreChecked(t *testing.T) {
	t.Parallel()
	certs := redistest.NewCertificates(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	must(t, os.WriteFile(empty, []byte("not PEM"), 0o600))
	for name, c := range map[string]struct {
		cfg   redisconn.Config
		words string
	}{
		"no TLS":        {redisconn.Config{URL: "redis://h", CAFile: certs.CA}, "WXNOTIFY_REDIS_CA_FILE is set, but the connection has no TLS"},
		"missing":       {redisconn.Config{URL: "rediss://h", CAFile: "/nowhere.pem"}, "WXNOTIFY_REDIS_CA_FILE cannot be read"},
		"no PEM":        {redisconn.Config{URL: "rediss://h", CAFile: empty}, "WXNOTIFY_REDIS_CA_FILE holds no certificate"},
		"no key":        {redisconn.Config{URL: "rediss://h", CertFile: certs.Cert}, "WXNOTIFY_REDIS_KEY_FILE is missing"},
		"no cert":       {redisconn.Config{URL: "rediss://h", KeyFile: certs.Key}, "WXNOTIFY_REDIS_CERT_FILE is missing"},
		"no pair":       {redisconn.Config{URL: "rediss://h", CertFile: certs.Cert, KeyFile: certs.ClientKey}, "are no pair"},
		"unix with TLS": {redisconn.Config{URL: "unix:///run/redis.sock", ServerName: "x"}, "WXNOTIFY_REDIS_SERVER_NAME is set"},
	} {
		if _, err := redisconn.Parse(c.cfg); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error = %v, want one with %q", name, err, c.words)
		}
	}
}

func TestSentinelFaultsAreNamed(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t, "--requirepass", "canary")
	sentinel := redistest.StartSentinel(t, primary, "mymaster", "sentinel auth-pass mymaster canary")
	guarded := redistest.StartSentinel(t, primary, "mymaster", "sentinel auth-pass mymaster canary", "requirepass canary-2")

	accepts(t, redisconn.Config{URL: "redis-sentinel://:canary@" + sentinel.Addr + "/0?master=mymaster"})
	accepts(t, redisconn.Config{URL: "redis-sentinel://:canary@127.0.0.1:1," + sentinel.Addr + "/0?master=mymaster"})
	accepts(t, redisconn.Config{URL: "redis-sentinel://:canary@" + guarded.Addr + "/0?master=mymaster&sentinel_password=canary-2"})

	refuses(t, redisconn.Config{URL: "redis-sentinel://" + sentinel.Addr + "/0?master=other"}, "knows no primary of that name", "?master=")
	refuses(t, redisconn.Config{URL: "redis-sentinel://127.0.0.1:1/0?master=mymaster"}, "is not reachable", "WXNOTIFY_REDIS_URL")
	refuses(t, redisconn.Config{URL: "redis-sentinel://" + guarded.Addr + "/0?master=mymaster"}, "sentinel_password")
	refuses(t, redisconn.Config{URL: "redis-sentinel://" + guarded.Addr + "/0?master=mymaster&sentinel_password=canary"}, "sentinel_password")
	refuses(t, redisconn.Config{URL: "redis-sentinel://" + sentinel.Addr + "/0?master=mymaster"}, "demands a password")
	refuses(t, redisconn.Config{URL: "redis-sentinel://" + redistest.Start(t).Addr + "/0?master=mymaster"}, "is no Sentinel")
	refuses(t, redisconn.Config{URL: "redis://" + sentinel.Addr}, "Sentinel", "redis-sentinel://")
	dead := redisconn.Config{URL: "redis-sentinel://:canary@" + sentinel.Addr + "/0?master=mymaster"}
	primary.Pause(t)
	refuses(t, dead, primary.Addr, "is the primary that Sentinel names", "wait for the fail-over")
	primary.Kill()
	refuses(t, dead, primary.Addr, "is the primary that Sentinel names", "wait for the fail-over")
}

func TestWrongKindsOfServersAreNamed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		accepts(t, redisconn.Config{URL: "redis://" + server.Addr + "/15"})
		refuses(t, redisconn.Config{URL: "redis://" + server.Addr + "/16"}, "no database of that number", "WXNOTIFY_REDIS_URL")
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		node := redistest.Cluster(t)
		addr := node.Options().Addrs[0]
		accepts(t, redisconn.Config{URL: "redis-cluster://" + addr})
		refuses(t, redisconn.Config{URL: "redis://" + addr}, "cluster", "redis-cluster://")
		refuses(t, redisconn.Config{URL: "redis-cluster://" + server.Addr}, "is no cluster", "redis://")
		refuses(t, redisconn.Config{URL: "redis-cluster://127.0.0.1:1"}, "is not reachable")
	})
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		host, port, _ := net.SplitHostPort(server.Addr)
		replica := redistest.Start(t, "--replicaof", host+" "+port)
		c := replica.Client(t)
		testutil.Until(t, "the replica has its data", func() bool {
			return strings.Contains(c.Info(t.Context(), "replication").Val(), "master_link_status:up")
		})
		refuses(t, redisconn.Config{URL: "redis://" + replica.Addr}, "read-only replica", "WXNOTIFY_REDIS_URL")
	})
	t.Run("web server", func(t *testing.T) {
		t.Parallel()
		web := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(web.Close)
		refuses(t, redisconn.Config{URL: "redis://:canary@" + web.Listener.Addr().String()}, "web server", "WXNOTIFY_REDIS_URL")
		refuses(t, redisconn.Config{URL: "rediss://:canary@" + web.Listener.Addr().String()}, "web server")
		secure := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(secure.Close)
		refuses(t, redisconn.Config{URL: "redis://:canary@" + secure.Listener.Addr().String()}, "WXNOTIFY_REDIS_URL")
	})
	t.Run("another program", func(t *testing.T) {
		t.Parallel()
		addr := listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n"); _ = conn.Close() })
		refuses(t, redisconn.Config{URL: "redis://:canary@" + addr}, "another program", "WXNOTIFY_REDIS_URL")
		silent := listen(t, func(conn net.Conn) {
			<-t.Context().Done() // the test's end
			_ = conn.Close()
		})
		refuses(t, redisconn.Config{URL: "redis://:canary@" + silent}, "does not answer", "WXNOTIFY_REDIS_URL")
		refuses(t, redisconn.Config{URL: "rediss://:canary@" + silent}, "does not answer", "WXNOTIFY_REDIS_URL")
		// A proxy without a server behind it closes each connection: that is no sign of TLS.
		closes := listen(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64<<10))
			_ = conn.Close()
		})
		refuses(t, redisconn.Config{URL: "redis://:canary@" + closes}, "closed the connection without an answer", "WXNOTIFY_REDIS_URL")
		echo := listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
		refuses(t, redisconn.Config{URL: "redis://:canary@" + echo}, "WXNOTIFY_REDIS_URL")
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		stopped := redistest.Start(t)
		stopped.Pause(t)
		refuses(t, redisconn.Config{URL: stopped.URL()}, "does not answer", "WXNOTIFY_REDIS_URL")
	})
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		refuses(t, redisconn.Config{URL: "redis://127.0.0.1:1"}, "is not reachable", "WXNOTIFY_REDIS_URL")
		refuses(t, redisconn.Config{URL: "redis://no-such-host.invalid"}, "is not found", "WXNOTIFY_REDIS_URL")
		refuses(t, redisconn.Config{URL: "unix:///nowhere/redis.sock"}, "socket", "WXNOTIFY_REDIS_URL")
	})
	t.Run("answers", func(t *testing.T) {
		t.Parallel()
		for reply, words := range map[string]string{
			"-DENIED Redis is running in protected mode because": "protected mode",
			"-LOADING Redis is loading the dataset in memory":    "still loading",
			"-MASTERDOWN Link with MASTER is down":               "lost its primary",
			"-BUSY Redis is busy running a script":               "SCRIPT KILL",
			"-ERR max number of clients reached":                 "maxclients",
		} {
			addr := listen(t, func(conn net.Conn) { answer(conn, map[string]string{"ping": reply}) })
			refuses(t, redisconn.Config{URL: "redis://:canary@" + addr}, words)
			// Redis says some of it to a new connection, and closes it before it has read.
			rude := listen(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, reply+"\r\n")
				_ = conn.Close()
			})
			refuses(t, redisconn.Config{URL: "redis://:canary@" + rude}, words)
		}
		// Redis repeats the arguments of a command that it does not know.
		addr := listen(t, func(conn net.Conn) {
			answer(conn, map[string]string{"auth": "-ERR unknown command 'auth', with args beginning with: 'canary-secret'"})
		})
		refuses(t, redisconn.Config{URL: "redis://:canary-secret@" + addr}, "redacted")
		// A text of one letter stands in many words.
		refuses(t, redisconn.Config{URL: "redis://:x@" + listen(t, func(conn net.Conn) { answer(conn, map[string]string{"set": "-NOPERM no permissions to access a key"}) })},
			"~wxn:*")
	})
}

// A machine that is busy answers late, and the first packet of a connection that was lost
// is sent again after a second.
func TestASlowServerIsNoFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wait time.Duration // before each answer
		cfg  redisconn.Config
		ok   bool
		most time.Duration
	}{
		"slow":           {time.Second, redisconn.Config{URL: "redis://127.0.0.1:1"}, true, 13 * time.Second},
		"silent":         {time.Hour, redisconn.Config{URL: "redis://127.0.0.1:1"}, false, 3 * time.Second},
		"silent, of two": {time.Hour, redisconn.Config{URL: "redis-cluster://127.0.0.1:1,127.0.0.2:1"}, false, 3 * time.Second},
		"very slow":      {4 * time.Second, redisconn.Config{URL: "redis://127.0.0.1:1", Patience: time.Minute}, true, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, err := redisconn.Parse(c.cfg)
				must(t, err)
				s.SetDialer(func(context.Context, string, string) (net.Conn, error) {
					client, server := net.Pipe()
					go answer(&lateConn{server, t.Context(), c.wait}, nil)
					return redistest.Buffered(client), nil
				})
				began := time.Now()
				_, err = s.Check(t.Context())
				if took := time.Since(began); (err == nil) != c.ok || took > c.most || c.ok && took < 2*c.wait {
					t.Errorf("%v after %s", err, took)
				}
			})
		})
	}
}

// lateConn reads late: each round trip takes its time.
type lateConn struct {
	net.Conn
	ctx  context.Context
	wait time.Duration
}

func (c *lateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	select {
	case <-time.After(c.wait):
	case <-c.ctx.Done():
	}
	return n, err
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // the path of a socket may have about 100 bytes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "r.sock")
	server := redistest.Start(t, "--unixsocket", path, "--requirepass", "canary")
	accepts(t, redisconn.Config{URL: "unix://:canary@" + path + "?db=3"})
	refuses(t, redisconn.Config{URL: "unix://" + path}, "demands a password")
	s, err := redisconn.Parse(redisconn.Config{URL: "unix://:canary@" + path + "?db=3"})
	must(t, err)
	rdb := s.Dial()
	defer func() { _ = rdb.Close() }()
	if err := rdb.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Error(err)
	}
	other := server.Client(t)
	_ = other.Do(t.Context(), "auth", "canary")
	if keys := rdb.Info(t.Context(), "keyspace").Val(); !strings.Contains(keys, "db3:keys=1") {
		t.Errorf("the key is not in database 3: %s", keys)
	}
}

func TestOpenRedisBeyondLoopbackIsWarnedOf(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(redistest.Start(t, "--bind", "127.0.0.1").Addr)
	for host, warned := range map[string]bool{"127.0.0.1": false, "localhost": false, "0.0.0.0": true} {
		r, err := check(t, redisconn.Config{URL: "redis://" + host + ":" + port, Patience: time.Minute})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if got := strings.Contains(strings.Join(r.Warnings, "\n"), "demands no password"); got != warned {
			t.Errorf("%s: warned %v, want %v", host, got, warned)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
