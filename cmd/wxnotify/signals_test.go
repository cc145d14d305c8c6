package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// piped runs a worker whose stdout and stderr are one pipe, and returns when it has
// logged that it started.
func piped(t *testing.T, cmd *exec.Cmd) (logs *os.File, done chan struct{}) {
	t.Helper()
	logs, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	done = make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = logs.Close()
	})
	lines := bufio.NewScanner(logs)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "worker started") {
			return logs, done
		}
	}
	t.Fatal("the worker ended before it had started")
	return nil, nil
}

func ends(t *testing.T, cmd *exec.Cmd, done chan struct{}) int {
	t.Helper()
	testutil.Receive(t, "the process ends after the signal", done)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		t.Fatalf("killed by %s", status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

func stateOf(t *testing.T, env map[string]string, id string) string {
	t.Helper()
	var said struct{ State string }
	r := inProcess(t, env, "status", id, "--output", "json")
	_ = json.Unmarshal([]byte(r.stdout), &said)
	return said.State
}

// The reader of the logs ends, as a restarted journald does: the worker goes on, and
// drains when it is told to end.
func TestWorkerSurvivesItsLogPipe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t).URL(), "--any-template")
	cmd := command(w.with("WXNOTIFY_LOG_LEVEL", "debug"), "worker")
	logs, done := piped(t, cmd)
	_ = logs.Close()
	for _, id := range []string{"first", "second"} { // each is logged
		if r := inProcess(t, w.env, "send", "--to", "o1", "--template", "t1", "--data", "thing1=x", "--id", id); r.code != exitDone {
			t.Fatalf("send: %d %s", r.code, r.stderr)
		}
		testutil.Until(t, id+" is accepted", func() bool { return stateOf(t, w.env, id) == "accepted" })
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if code := ends(t, cmd, done); code != exitDone {
		t.Errorf("exit code %d after SIGTERM, want %d", code, exitDone)
	}
}

// hold keeps a send before the simulator until it is released.
type hold struct{ arrived, release chan struct{} }

// holding is the world's environment with a proxy before the simulator, which takes a hold
// of the channel for each send; without one there the send passes.
func holding(t *testing.T, w *world) (env map[string]string, holds chan hold) {
	t.Helper()
	holds = make(chan hold, 1)
	target, err := url.Parse(w.base)
	check(t, err)
	through := httputil.NewSingleHostReverseProxy(target)
	through.ErrorLog = log.New(io.Discard, "", 0)
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == wechattest.SendPath {
			select {
			case h := <-holds:
				close(h.arrived)
				select {
				case <-h.release:
				case <-r.Context().Done():
				}
			default:
			}
		}
		through.ServeHTTP(rw, r)
	}))
	t.Cleanup(proxy.Close)
	return w.with("WXNOTIFY_WECHAT_BASE_URL", proxy.URL), holds
}

// SIGHUP cuts no send in flight, and the worker goes on.
func TestHangUpReloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t).URL(), "--any-template")
	env, holds := holding(t, w)
	p := start(t, env, "worker")
	p.says(t, "worker started")
	for i, id := range []string{"in-flight", "after"} {
		h := hold{make(chan struct{}), make(chan struct{})}
		holds <- h
		if r := inProcess(t, env, "send", "--to", "o1", "--template", "t1", "--data", "thing1=x", "--id", id); r.code != exitDone {
			t.Fatalf("send: %d %s", r.code, r.stderr)
		}
		testutil.Receive(t, "the send is in flight", h.arrived)
		_ = p.cmd.Process.Signal(syscall.SIGHUP)
		testutil.Until(t, "the configuration is reloaded", func() bool {
			return strings.Count(p.stderr.String(), "configuration reloaded") == i+1
		})
		close(h.release)
		testutil.Until(t, id+" is accepted", func() bool { return stateOf(t, env, id) == "accepted" })
	}
	if code := p.terminate(t); code != exitDone {
		t.Errorf("exit code %d after SIGTERM, want %d", code, exitDone)
	}
	if n := len(w.seen(t)); n != 2 {
		t.Errorf("%d messages are seen, want 2", n)
	}
}

// A command that has no configuration to read again ends.
func TestHangUpEndsOtherCommands(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "simulate", "--addr", testutil.FreeAddr(t))
	p.says(t, "listens on")
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	testutil.Receive(t, "the process ends after SIGHUP", p.done)
	if code := p.cmd.ProcessState.ExitCode(); code != exitDone {
		t.Errorf("exit code %d after SIGHUP, want %d", code, exitDone)
	}
}

// Under nohup the terminal may close.
func TestIgnoredHangUpStaysIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t).URL(), "--any-template")
	program := command(w.env, "worker")
	cmd := exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$0" "$@"`}, program.Args...)...) //nolint:noctx // the test ends it by signals
	cmd.Env = program.Env
	logs, done := piped(t, cmd)
	go func() { _, _ = io.Copy(io.Discard, logs) }()
	_ = cmd.Process.Signal(syscall.SIGHUP)
	if r := inProcess(t, w.env, "send", "--to", "o1", "--template", "t1", "--data", "thing1=x", "--id", "after"); r.code != exitDone {
		t.Fatalf("send: %d %s", r.code, r.stderr)
	}
	testutil.Until(t, "the message is accepted", func() bool { return stateOf(t, w.env, "after") == "accepted" })
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if code := ends(t, cmd, done); code != exitDone {
		t.Errorf("exit code %d, want %d", code, exitDone)
	}
}

// A command that prints data ends when its reader has enough.
func TestListEndsWithItsReader(t *testing.T) {
	t.Parallel()
	cmd := command(map[string]string{"WXNOTIFY_APPID": "wxa"}, "config")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if err := cmd.Run(); err == nil {
		t.Error("the command went on without a reader")
	}
}
