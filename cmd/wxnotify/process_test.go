package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// asProgram makes the test binary be wxnotify: a real process of this very code,
// under the race detector when the tests are.
const asProgram = "WXNOTIFY_TEST_AS_PROGRAM"

// parallelTests is how many tests run at once. They wait for processes most of their
// time, so that two processors have work for more than two tests.
const parallelTests = 8

func TestMain(m *testing.M) {
	patience = time.Minute
	if os.Getenv(asProgram) != "" {
		_ = os.Unsetenv(asProgram)
		main()
		return
	}
	if signal.Ignored(syscall.SIGHUP) { // as under nohup; a child inherits that, but not a handler
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(parallelTests, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// process is a running wxnotify.
type process struct {
	cmd    *exec.Cmd
	stderr *logBuffer
	done   chan struct{}
	err    error
}

// logBuffer keeps all output.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func command(env map[string]string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...) //nolint:noctx // the tests end it by signals
	// Under the race detector a process sleeps for a second before it exits, unless told otherwise.
	cmd.Env = []string{asProgram + "=1", "GORACE=atexit_sleep_ms=50", "PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "GOCOVERDIR=" + os.TempDir()}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}

// start runs wxnotify until the test ends.
func start(tb testing.TB, env map[string]string, args ...string) *process {
	tb.Helper()
	p := &process{cmd: command(env, args...), stderr: new(logBuffer), done: make(chan struct{})}
	p.cmd.Stderr, p.cmd.Stdout = p.stderr, p.stderr
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.kill()
		if tb.Failed() {
			tb.Logf("output of %s:\n%s", strings.Join(args, " "), p.stderr)
		}
	})
	return p
}

// says waits until the process wrote text.
func (p *process) says(tb testing.TB, text string) {
	tb.Helper()
	testutil.Until(tb, "the process says "+text, func() bool {
		ended := false
		select {
		case <-p.done:
			ended = true
		default:
		}
		said := strings.Contains(p.stderr.String(), text)
		if ended && !said {
			tb.Fatalf("the process ended (%v) before it said %q", p.err, text)
		}
		return said
	})
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate(tb testing.TB) int {
	tb.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	testutil.Receive(tb, "the process ends after SIGTERM", p.done)
	return p.cmd.ProcessState.ExitCode()
}

// result is what a finished command said.
type result struct {
	code           int
	stdout, stderr string
}

// runProcess runs wxnotify to its end, with stdin.
func runProcess(tb testing.TB, env map[string]string, stdin io.Reader, args ...string) result {
	tb.Helper()
	var out, errOut bytes.Buffer
	cmd := command(env, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errOut
	_ = cmd.Run()
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// inProcess runs the program as a function: a process costs half a second under the
// race detector.
func inProcess(tb testing.TB, env map[string]string, args ...string) result {
	tb.Helper()
	var out, errOut bytes.Buffer
	code := run(tb.Context(), args, environment{
		Env: env, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut,
		Settle: func(context.Context) error { return nil },
	})
	return result{code, out.String(), errOut.String()}
}

// world is a Redis and a simulated WeChat for real processes.
type world struct {
	env    map[string]string
	base   string // the simulator's address
	public string // of serve and enroll; empty in most worlds
	sim    *process
}

func newWorld(tb testing.TB, redisURL string, simulate ...string) *world {
	tb.Helper()
	addr := testutil.FreeAddr(tb)
	w := &world{base: "http://" + addr}
	w.env = map[string]string{
		"WXNOTIFY_REDIS_URL": redisURL, "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_APPSECRET": wechattest.AppSecret,
		"WXNOTIFY_WECHAT_BASE_URL": w.base, "WXNOTIFY_OPS_ADDR": "-", "WXNOTIFY_RATE": "5000",
	}
	w.sim = start(tb, nil, append([]string{"simulate", "--addr", addr}, simulate...)...)
	w.sim.says(tb, "listens on")
	tb.Cleanup(func() { keysAreDesigned(tb, redisURL) })
	return w
}

func (w *world) with(pairs ...string) map[string]string {
	env := map[string]string{}
	maps.Copy(env, w.env)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return env
}

// control calls the simulator's control API and decodes into out when it is given.
func (w *world) control(tb testing.TB, method, path string, body, out any) {
	tb.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			tb.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(tb.Context(), method, w.base+path, in)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		tb.Fatalf("%s %s: %s %v\n%s", method, path, resp.Status, err, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			tb.Fatalf("%s %s: %v\n%s", method, path, err, b)
		}
	}
}

// lines splits NDJSON or plain output.
func lines(text string) []string {
	var out []string
	s := bufio.NewScanner(strings.NewReader(text))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		out = append(out, s.Text())
	}
	return out
}
