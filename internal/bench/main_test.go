package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestMain makes the test binary be the program when it is started as a child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func needRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("redis-server is not installed: apt-get install redis-server")
	}
	t.Skip("redis-server is not installed: apt-get install redis-server")
}

// talk is what a run and its child processes say on stderr, at once.
type talk struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *talk) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *talk) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A tiny run measures something for each goal it was asked for, and nothing else.
func TestTinyRun(t *testing.T) {
	t.Parallel()
	needRedis(t)
	var stdout bytes.Buffer
	var stderr talk
	code := run(t.Context(), []string{
		"-rounds", "1", "-messages", "200", "-latency", "1ms", "-inflight", "20", "-many", "2000", "-only", "p1,P4,P5,P6,P7,P13",
	}, nil, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, stdout.String(), stderr.String())
	}
	if !regexp.MustCompile(`(?m)^machine: .+cores; go1\..+; Redis [0-9.]+; .*asynq v`).MatchString(stdout.String()) {
		t.Error("no line names the machine")
	}
	for _, goal := range []string{"P1", "P4", "P5", "P6", "P7", "P13"} {
		row := regexp.MustCompile(`(?m)^` + goal + ` .*[0-9].* (yes|no)$`)
		if !row.MatchString(stdout.String()) {
			t.Errorf("no figure for %s", goal)
		}
	}
	for _, goal := range []string{"P2", "P3", "P8", "P10"} {
		if regexp.MustCompile(`(?m)^` + goal + ` `).MatchString(stdout.String()) {
			t.Errorf("%s was not asked for", goal)
		}
	}
	if t.Failed() {
		t.Log(stdout.String())
	}
}

// The document holds what the command prints, the command itself and profiles.
func TestTinyDocument(t *testing.T) {
	t.Parallel()
	needRedis(t)
	doc := filepath.Join(t.TempDir(), "performance.md")
	var stdout bytes.Buffer
	var stderr talk
	code := run(t.Context(), []string{
		"-quick", "-messages", "200", "-latency", "1ms", "-inflight", "20", "-backlog", "1500", "-samples", "2",
		"-only", "P0,P1N,P9,P11,P14,P15", "-doc", doc,
	}, nil, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, stdout.String(), stderr.String())
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != stdout.String() {
		t.Error("the document is not what was printed")
	}
	for _, want := range []string{
		"go run ./internal/bench -quick -messages 200 ", "\nP0 ", "\nP1N ", "\nP9 ", "\nP11 ", "\nP14 ", "\nP15 ",
		"go tool pprof -top", "internal/broker.(*run).process",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document does not hold %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%.6000s", text)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"an unknown goal":   {[]string{"-only", "P1,P99"}, "P99: not a goal"},
		"no round":          {[]string{"-rounds", "0"}, "-rounds 0"},
		"too few messages":  {[]string{"-messages", "5"}, "-messages 5"},
		"too many at once":  {[]string{"-inflight", "5000"}, "-inflight 5000"},
		"no sample":         {[]string{"-samples", "0"}, "-samples 0"},
		"negative latency":  {[]string{"-latency", "-1s"}, "-latency -1s"},
		"something else":    {[]string{"now"}, `"now" is no flag`},
		"a flag of nowhere": {[]string{"-fast"}, "-fast"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tc.args, nil, &stdout, &stderr); code != exitUsage {
				t.Errorf("exit %d, want %d", code, exitUsage)
			}
			if !strings.Contains(stderr.String(), tc.want) || stdout.Len() > 0 {
				t.Errorf("stderr %q does not say %q, or stdout %q is not empty", stderr.String(), tc.want, stdout.String())
			}
		})
	}
}

// Without redis-server there is no figure and no other server to take: it is
// said in one sentence with the remedy.
func TestWithoutRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), nil, nil, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit %d, want %d", code, exitUsage)
	}
	if !strings.Contains(stderr.String(), "apt-get install redis-server") {
		t.Errorf("stderr %q names no remedy", stderr.String())
	}
}

func TestWorstSecond(t *testing.T) {
	t.Parallel()
	// The first two seconds and the last one are cut by the start and the end.
	got := worst(map[int64]int{10: 3, 11: 500, 12: 1000, 13: 1020, 14: 990, 15: 7}, 1000)
	if got != 2 {
		t.Errorf("got %v %%, want 2", got)
	}
	// A second without any send is off by all of it.
	if got := worst(map[int64]int{10: 1, 11: 1, 12: 1000, 14: 1000, 15: 1}, 1000); got != 100 {
		t.Errorf("got %v %%, want 100", got)
	}
}

func TestOthers(t *testing.T) {
	t.Parallel()
	from, err := parseTicks("cpu  100 0 50 800 50 0 0 0 7 7")
	if err != nil || from != (ticks{all: 1000, idle: 850}) {
		t.Fatalf("got %+v, %v", from, err)
	}
	till, err := parseTicks("cpu  200 10 100 1000 150 5 5 30 9 9")
	if err != nil || till != (ticks{all: 1500, idle: 1150, stolen: 30}) {
		t.Fatalf("got %+v, %v", till, err)
	}
	// 500 ticks passed, 300 of them idle; we used 1.5 s of the other 200.
	if got := others(from, till, 1.5); got != 0.1 {
		t.Errorf("others took %v, want 0.1", got)
	}
	if got := others(from, from, 1); got != 0 {
		t.Errorf("no time: %v", got)
	}
	if _, err := parseTicks("cpu x"); err == nil {
		t.Error("took what is no number")
	}
}

func TestRenameKeepsLength(t *testing.T) {
	t.Parallel()
	from, to := messageID("r001", 7), messageID("r001", 12345678)
	if len(from) != len(to) {
		t.Fatalf("%q and %q differ in length: the length in asynq's message would be wrong", from, to)
	}
	line := []any{"evalsha", "sha", 1, "asynq:{q}:t:" + from, []byte("\x0d" + from), int64(5)}
	got := rename(line, from, to)
	if got[3] != "asynq:{q}:t:"+to || !bytes.Equal(got[4].([]byte), []byte("\x0d"+to)) || got[5] != int64(5) || got[2] != 1 {
		t.Errorf("got %q", got)
	}
	if line[3] != "asynq:{q}:t:"+from {
		t.Error("the pattern itself was changed")
	}
}
