package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestMain makes the test binary the program when it is started as a child.
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

func testLab(t *testing.T) *lab {
	t.Helper()
	needRedis(t)
	l, end := newLab(t.Context(), options{rounds: 1, messages: 200, backlog: 10, samples: 1}, os.Stderr)
	t.Cleanup(end)
	return l
}

// output is written by a run and its children at the same time.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func bench(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	needRedis(t)
	var out, errs output
	if code := run(t.Context(), args, nil, &out, &errs); code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out.String(), errs.String())
	}
	return out.String()
}

func TestRunMeasuresTheGoalsThatWereAskedFor(t *testing.T) {
	t.Parallel()
	text := bench(t, "-quick", "-messages", "400", "-backlog", "500", "-only", "P1,P5,P6,P7,P13,P16,P17,P19")
	for _, goal := range []string{"P1", "P2", "P3", "P4", "P8b", "P5", "P6", "P7", "P13", "P15", "P16", "P17", "P18", "P19"} { // parts are run whole
		if !regexp.MustCompile(`(?m)^\| ` + goal + ` +\| .*[0-9].* \| (yes|no) +\|$`).MatchString(text) {
			t.Errorf("no figure for %s", goal)
		}
	}
	for _, goal := range []string{"P0", "P8", "P9", "P10", "P11", "P12", "P14"} {
		if strings.Contains(text, "| "+goal+" ") {
			t.Errorf("%s was not asked for", goal)
		}
	}
	for _, want := range []string{
		"go run ./internal/bench -quick -messages 400 ", "1 rounds of 400 messages", "Other programs used",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not hold %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestRunWritesTheDocument(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	doc := filepath.Join(t.TempDir(), "performance.md")
	text := bench(t, "-quick", "-messages", "200", "-backlog", "1500", "-samples", "2",
		"-only", "P0,P4b,P8,P9,P11,P12,P14", "-doc", doc)
	written, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(written), text) {
		t.Error("the document does not begin with what was printed")
	}
	for _, goal := range []string{"P0", "P4b", "P8", "P9", "P10", "P11", "P12", "P14"} {
		if !strings.Contains(text, "| "+goal+" ") {
			t.Errorf("no row for %s", goal)
		}
	}
	if fetched := regexp.MustCompile(`tasks fetched while the quota is gone +\| +0 `); !fetched.MatchString(text) {
		t.Error("tasks were fetched while the quota was gone")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestProfilesShowTheBuildBehindAMissedGoal(t *testing.T) {
	t.Parallel()
	l := testLab(t)
	enqueue := job{Build: "producer Enqueue/producer", Messages: 2000}
	text := l.profiles(t.Context(), []row{
		{goal: "P5", bound: "≥ 1", ours: 0.5, job: enqueue},
		{goal: "P5", bound: "≥ 1", ours: 0.5, job: enqueue},
		{goal: "P6", bound: "≥ 1", ours: 2, job: job{Build: "producer EnqueueMany/producer"}},
		{goal: "P7", ours: 1},
		{goal: "P8", bound: "≤ 1", ours: 2},
	})
	if !strings.HasPrefix(text, "\n## Missed: P5\n\nCPU time of producer Enqueue/producer:\n\n```\nDuration:") || !strings.Contains(text, "cum%") {
		t.Errorf("no profile of P5 in\n%s", text)
	}
	if strings.Count(text, "## Missed") != 1 {
		t.Errorf("other goals have profiles:\n%s", text)
	}
	if strings.Contains(text, "Time:") || strings.Contains(text, "File:") {
		t.Errorf("the profile names the machine or the moment:\n%s", text)
	}
}

func TestParseRefusesWrongUsage(t *testing.T) {
	t.Parallel()
	needRedis(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"unknown goal":     {[]string{"-only", "P1,P99"}, "-only: unknown goal P99: use P0,P1,"},
		"no round":         {[]string{"-rounds", "0"}, "too small"},
		"too few messages": {[]string{"-messages", "199"}, "too small"},
		"no sample":        {[]string{"-samples", "0"}, "too small"},
		"no backlog":       {[]string{"-backlog", "0"}, "too small"},
		"an argument":      {[]string{"now"}, `"now" is not a flag`},
		"unknown flag":     {[]string{"-fast"}, "-fast"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tc.args, nil, &stdout, &stderr); code != 2 {
				t.Errorf("exit %d, want 2", code)
			}
			if !strings.Contains(stderr.String(), tc.want) || stdout.Len() > 0 {
				t.Errorf("stderr %q does not say %q, or stdout %q is not empty", stderr.String(), tc.want, stdout.String())
			}
		})
	}
}

func TestParseQuickLeavesGivenNumbers(t *testing.T) {
	t.Parallel()
	needRedis(t)
	o := parse([]string{"-samples", "7", "-quick", "-only", "P3,P8b"}, &bytes.Buffer{})
	if o.rounds != 1 || o.messages != 8000 || o.backlog != 50_000 || o.samples != 7 {
		t.Errorf("got %+v", o)
	}
	if strings.Join(o.only, ",") != "P3,P8b" {
		t.Errorf("only %q", o.only)
	}
	if o = parse(nil, &bytes.Buffer{}); o.rounds != 5 || o.messages != 20_000 || o.backlog != 1_000_000 || o.only != nil {
		t.Errorf("got %+v", o)
	}
}

func TestHelpIsNotAFailure(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, nil, &bytes.Buffer{}, &stderr); code != 0 || !strings.Contains(stderr.String(), "P8b") {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
}

func TestRunWithoutRedisNamesTheRemedy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), nil, nil, &stdout, &stderr); code != 2 {
		t.Errorf("exit %d, want 2", code)
	}
	if !strings.Contains(stderr.String(), "apt-get install redis-server") {
		t.Errorf("stderr %q names no remedy", stderr.String())
	}
}

func TestCaptureReturnsFailuresAlone(t *testing.T) {
	t.Parallel()
	want := errors.New("no connection")
	if err := capture(func() { check(want) }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	if err := capture(func() { check(nil) }); err != nil {
		t.Errorf("got %v", err)
	}
	defer func() {
		if r := recover(); r != "a mistake" {
			t.Errorf("recovered %v", r)
		}
	}()
	_ = capture(func() { panic("a mistake") })
	t.Error("the panic was swallowed")
}

func TestChildReportsItsError(t *testing.T) {
	t.Parallel()
	l := testLab(t)
	var stderr output
	err := capture(func() {
		l.stderr = &stderr
		l.start(t.Context(), job{Build: bare, Redis: "nonsense", Messages: 1})(false)
	})
	if err == nil || !strings.Contains(stderr.String(), "redis url") {
		t.Errorf("got %v, stderr %q", err, stderr.String())
	}
}

func TestABuildSendsAllOnTheQueueOnce(t *testing.T) {
	t.Parallel()
	l := testLab(t)
	for _, build := range []string{ours, bare, naive} {
		before := l.platform.sent.Load()
		r := l.run(t.Context(), job{Build: build, Messages: 300, Warm: 100})
		sent := l.platform.sent.Load() - before
		left, err := l.rdb.LLen(t.Context(), "asynq:{"+defaultQueue+"}:pending").Result()
		if err != nil || left != 0 || sent != 300 {
			t.Errorf("%s: %d messages sent, %d on the queue, %v", build, sent, left, err)
		}
		for _, unit := range []string{rate, ownCPU, redisCPU, allCPU, allocations, peak, commands} {
			if r[unit] <= 0 {
				t.Errorf("%s: %s is %v", build, unit, r[unit])
			}
		}
		if r[messages] > 200 || r[dials] != 0 {
			t.Errorf("%s: %v", build, r)
		}
	}
}

func TestAFigureThatABuildLacksIsAnError(t *testing.T) {
	t.Parallel()
	err := capture(func() {
		figure{goal: "P5", unit: "gold/op"}.row([]job{{Build: "producer Enqueue/producer"}}, [][]reading{{{rate: 1}}})
	})
	if err == nil || !strings.Contains(err.Error(), "producer Enqueue/producer has no gold/op") {
		t.Errorf("got %v", err)
	}
}

func TestABenchmarkThatDoesNotExistIsAnError(t *testing.T) {
	t.Parallel()
	l := testLab(t)
	for build, want := range map[string]string{"internal/cost Nothing": "measured nothing", "nothing Enqueue": "go test -c"} {
		err := capture(func() { l.run(t.Context(), job{Build: build, Messages: 1}) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", build, err, want)
		}
	}
}

func TestMeasureFailsWhenABuildEndsEarly(t *testing.T) {
	t.Parallel()
	l := testLab(t)
	for name, tc := range map[string]struct {
		run  build
		want string
	}{
		"ended":  {func(_ context.Context, _ job, _ redis.UniversalClient, m *meter) { m.add() }, "ended before the last message"},
		"failed": {func(context.Context, job, redis.UniversalClient, *meter) { check(errors.New("no route")) }, "no route"},
	} {
		err := capture(func() { newMeter(2, 9).measure(t.Context(), job{}, l.rdb, tc.run) })
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestMeasureReadsFromTheWarmUpToTheLastMessage(t *testing.T) {
	t.Parallel()
	l := testLab(t)
	var calls tripCounter
	l.rdb.AddHook(&calls)
	r := newMeter(4, 10).measure(t.Context(), job{}, l.rdb, func(_ context.Context, _ job, _ redis.UniversalClient, m *meter) {
		for range 4 {
			m.add()
		}
		for calls.all.Load() == 0 { // Redis is asked after the messages are counted
			runtime.Gosched()
		}
		for range 6 {
			m.add()
		}
	})
	if r[messages] != 6 || r[seconds] <= 0 || r[commands] <= 0 || r[rate] != 6/r[seconds] {
		t.Errorf("cost %v", r)
	}
}

func TestTripCounterTellsOwnKeysFromAsynqsAndTheGates(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	command := func(args ...any) redis.Cmder { return redis.NewCmd(ctx, args...) }
	own := command("evalsha", "5ha", 2, "wxn:{wx}:m:1", "asynq:{wx:default}:t:1")
	key, queueKey := "wxn:{wx}:sup", "asynq:{wx:default}:active"
	queue := command("evalsha", "5ha", 2, "asynq:{wx:default}:pending", "wxn:{wx}:idle", []byte("x"), 1)
	gate := command("evalsha", "5ha", 2, "wxn:{wx}:gate", "wxn:{wx}:gate:leases")
	for name, tc := range map[string]struct {
		cmds      []redis.Cmder
		own, gate int64
	}{
		"a script of our own":   {[]redis.Cmder{own}, 1, 0},
		"a script of asynq":     {[]redis.Cmder{queue}, 0, 0},
		"a script of the gate":  {[]redis.Cmder{gate}, 0, 1},
		"a pipeline of all":     {[]redis.Cmder{queue, own, gate, own}, 1, 1},
		"a command of our own":  {[]redis.Cmder{command("get", "wxn:{wx}:token")}, 1, 0},
		"a key by pointer":      {[]redis.Cmder{command("evalsha", "5ha", 2, &key, &queueKey)}, 1, 0},
		"asynq's by pointer":    {[]redis.Cmder{command("evalsha", "5ha", 2, &queueKey, &key)}, 0, 0},
		"a command without key": {[]redis.Cmder{command("ping")}, 0, 0},
	} {
		var c tripCounter
		var err error
		if len(tc.cmds) == 1 {
			err = c.ProcessHook(func(context.Context, redis.Cmder) error { return redis.Nil })(ctx, tc.cmds[0])
		} else {
			err = c.ProcessPipelineHook(func(context.Context, []redis.Cmder) error { return redis.Nil })(ctx, tc.cmds)
		}
		if c.all.Load() != 1 || c.own.Load() != tc.own || c.gate.Load() != tc.gate || !errors.Is(err, redis.Nil) {
			t.Errorf("%s: %d round trips, %d of our own, %d of the gate, %v", name, c.all.Load(), c.own.Load(), c.gate.Load(), err)
		}
	}
}
