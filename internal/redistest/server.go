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

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/wxnotify/wxnotify/internal/testutil"
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
	s.Addr = testutil.FreeAddr(tb)
	s.Restart(tb)
	return s
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
	host, port, _ := net.SplitHostPort(s.Addr)
	args := []string{"--bind", host, "--port", port, "--dir", s.Dir, "--daemonize", "no"}
	if slices.Contains(s.args, "--sentinel") {
		args = append(slices.Clone(s.args), args...) // the configuration file comes first
	} else {
		// A node of a cluster that has met no other does not know its address.
		args = append(args, "--save", "", "--maxmemory-policy", "noeviction", "--cluster-announce-ip", host)
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
func Cluster(tb testing.TB, args ...string) *redis.ClusterClient {
	tb.Helper()
	s := Start(tb, append(args, "--cluster-enabled", "yes")...)
	node := s.Client(tb)
	slots := []any{"cluster", "addslots"} // not addslotsrange, which 6.2 lacks
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	if err := node.Do(tb.Context(), slots...).Err(); err != nil {
		tb.Fatal(err)
	}
	testutil.Until(tb, "the cluster is ready", func() bool {
		return strings.Contains(node.ClusterInfo(tb.Context()).Val(), "cluster_state:ok")
	})
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}, Protocol: 2})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}
