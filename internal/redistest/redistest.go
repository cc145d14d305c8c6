// Package redistest gives tests a Redis: a real server of their own, or
// miniredis for a bubble of virtual time.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Server is a redis-server process on a free loopback port.
type Server struct {
	Addr string
	Dir  string
	args []string
	cmd  *exec.Cmd
}

// Start runs a redis-server for the length of the test. Without the binary the
// test is skipped, but fails where CI is set: CI must have it.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" { //nolint:forbidigo // CI is not a setting of ours
			tb.Fatal("redis-server is not installed: apt-get install redis-server")
		}
		tb.Skip("redis-server is not installed: apt-get install redis-server")
	}
	s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(freePort(tb)), Dir: tb.TempDir(), args: args}
	s.Restart(tb)
	tb.Cleanup(s.Kill)
	return s
}

// Restart starts the process (again) on the same port and directory and returns
// when it accepts connections.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Kill()
	_, port, _ := net.SplitHostPort(s.Addr)
	args := append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", s.Dir, "--save", "",
		"--maxmemory-policy", "noeviction", "--daemonize", "no",
	}, s.args...)
	// Not the test's own context: it ends before the clean-ups, which need Redis.
	s.cmd = exec.CommandContext(context.WithoutCancel(tb.Context()), "redis-server", args...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var said strings.Builder
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() {
				for lines.Scan() { // keep the pipe empty, or the server blocks on it
				}
			}()
			return
		}
	}
	tb.Fatalf("redis-server did not start:\n%s", said.String())
}

// Kill ends the process as a power cut would.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Pause stops the process without ending it.
func (s *Server) Pause(tb testing.TB) {
	tb.Helper()
	s.signal(tb, "STOP")
}

// Resume lets a paused process go on.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	s.signal(tb, "CONT")
}

func (s *Server) signal(tb testing.TB, name string) {
	tb.Helper()
	if err := exec.CommandContext(context.WithoutCancel(tb.Context()), "kill", "-"+name, strconv.Itoa(s.cmd.Process.Pid)).Run(); err != nil {
		tb.Fatal(err)
	}
}

// AOF is the argument list for a server that survives Kill and Restart.
func AOF() []string { return []string{"--appendonly", "yes", "--appendfsync", "always"} }

// Client connects to the server for the length of the test.
func (s *Server) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// URL is the server's address as WXNOTIFY_REDIS_URL takes it.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.WithoutCancel(tb.Context()), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// Mini starts miniredis without a socket and with TTLs that follow the
// (virtual) clock, and a client of it: fit for a testing/synctest bubble.
func Mini(tb testing.TB) (*miniredis.Miniredis, *redis.Client) {
	tb.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	// A literal IP: go-redis would resolve a name, which leaves the bubble.
	c := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", Protocol: 2, DisableIdentity: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			conn, err := m.Dial()
			if err != nil {
				return nil, fmt.Errorf("miniredis: %w", err)
			}
			return Roomy(conn), nil
		},
	})
	tb.Cleanup(func() {
		_ = c.Close()
		m.Close()
	})
	return m, c
}

// Binary builds ./cmd/wxnotify once per test into a temporary directory.
func Binary(tb testing.TB) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "wxnotify")
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), "go", "build", "-o", out, "github.com/wxnotify/wxnotify/cmd/wxnotify")
	if b, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("go build: %v\n%s", err, b)
	}
	return out
}
