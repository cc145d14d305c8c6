package redistest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Server is a redis-server process on a free loopback port.
type Server struct {
	Addr string
	Dir  string
	args []string
	cmd  *exec.Cmd
}

// Start runs a redis-server until the test ends. PORT in an argument stands for its
// port. If the binary is missing, the test is skipped, or fails if the environment
// variable CI is set.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" { //nolint:forbidigo // CI is not a setting of ours
			tb.Fatal("redis-server is not installed: apt-get install redis-server")
		}
		tb.Skip("redis-server is not installed: apt-get install redis-server")
	}
	logging.Disable()
	s := &Server{Dir: tb.TempDir(), args: args}
	tb.Cleanup(s.Kill)
	const ports = 10 // another process may take a free port before the server does
	output := ""
	for range ports {
		s.Addr = "127.0.0.1:" + strconv.Itoa(freePort(tb))
		var ready bool
		if output, ready = s.start(tb); ready {
			return s
		}
		if !strings.Contains(output, "Address already in use") {
			break
		}
	}
	tb.Fatalf("redis-server did not start:\n%s", output)
	return nil
}

// Restart kills the process if it runs, starts it on the same port and directory,
// and returns when it accepts connections.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if output, ready := s.start(tb); !ready {
		tb.Fatalf("redis-server did not start:\n%s", output)
	}
}

func (s *Server) start(tb testing.TB) (output string, ready bool) {
	tb.Helper()
	s.Kill()
	_, port, _ := net.SplitHostPort(s.Addr)
	args := []string{"--bind", "127.0.0.1", "--port", port, "--dir", s.Dir, "--daemonize", "no"}
	if slices.Contains(s.args, "--sentinel") {
		args = append(slices.Clone(s.args), args...) // the configuration file comes first
	} else {
		args = append(args, "--save", "", "--maxmemory-policy", "noeviction")
		for _, arg := range s.args {
			args = append(args, strings.ReplaceAll(arg, "PORT", port))
		}
	}
	// The test's context ends before its cleanups, which still need Redis.
	s.cmd = exec.CommandContext(context.WithoutCancel(tb.Context()), "redis-server", args...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var text strings.Builder
	for lines.Scan() {
		fmt.Fprintln(&text, lines.Text())
		if strings.Contains(lines.Text(), "Ready to accept connections") || strings.Contains(lines.Text(), "+monitor master") {
			go func() {
				for lines.Scan() { // read on, or the server blocks on a full pipe
				}
			}()
			return "", true
		}
	}
	return text.String(), false
}

// Kill ends the process with SIGKILL.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Pause stops the process with SIGSTOP.
func (s *Server) Pause(tb testing.TB) {
	tb.Helper()
	s.signal(tb, "STOP")
}

// Resume continues a paused process.
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

// AOF returns the arguments of Start for a server that keeps its data over Kill
// and Restart.
func AOF() []string { return []string{"--appendonly", "yes", "--appendfsync", "always"} }

// Client returns a client of the server, closed when the test ends.
func (s *Server) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// URL is the server's address in the form of WXNOTIFY_REDIS_URL.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Cluster runs a cluster of one node until the test ends and returns a client of
// it. Like a larger one it refuses a script whose keys are in two slots.
func Cluster(tb testing.TB) *redis.ClusterClient {
	tb.Helper()
	s := Start(tb, "--cluster-enabled", "yes", "--cluster-port", "0")
	node := s.Client(tb)
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	if err := node.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		tb.Fatal(err)
	}
	for {
		info, err := node.ClusterInfo(ctx).Result()
		if err != nil {
			tb.Fatal(err)
		}
		if strings.Contains(info, "cluster_state:ok") {
			break
		}
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}, Protocol: 2})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.WithoutCancel(tb.Context()), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
