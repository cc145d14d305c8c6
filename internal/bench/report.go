package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// row is one figure of ours and what it is compared with.
type row struct {
	goal, measure string
	ours          float64
	with          string // empty: nothing
	theirs, ratio float64
	bound         string // of the ratio, or without one of ours, such as "≥ 1.1"; empty: none
	job           job    // that a profile explains; without a build: none
}

// met is yes, no, or – without a bound.
func (r row) met() string {
	v, sign, limit := r.ours, "", 0.0
	if r.with != "" {
		v = r.ratio
	}
	if _, err := fmt.Sscan(r.bound, &sign, &limit); err != nil {
		return "–"
	}
	if sign == "≥" && v >= limit || sign == "≤" && v <= limit {
		return "yes"
	}
	return "no" // also when v is NaN
}

func (r row) String() string {
	beside, quotient := "–", "–"
	if r.with != "" {
		beside, quotient = r.with+": "+number(r.theirs), number(r.ratio)
	}
	return fmt.Sprintf("| %-4s | %-52s | %9s | %-24s | %6s | %-8s | %-3s |\n",
		r.goal, r.measure, number(r.ours), beside, quotient, cmp.Or(r.bound, "–"), r.met())
}

// number writes three significant digits at least.
func number(v float64) string {
	if math.Abs(v) >= 999.5 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

const preface = `# Performance

Written by the command below. Do not edit.

**wxnotify** is the command worker, with all its guarantees, its log and its metrics. **bare** is asynq with the same HTTP client, four servers and no guarantee. **naive** uses Go's default transport, four Redis calls and a log line a message. **asynq** is asynq's client from 64 goroutines, **raw** the least scripts in pipelines; these, the HTTP API and the callback are Go benchmarks of producer and internal/server. All that send have the garbage collector's setting of the worker command. Figures are medians of interleaved rounds, ratios are medians of the rounds' ratios. Only ratios and counts can be compared with another run. Trust medians to ± 10 %% at 3 to 6 rounds, to ± 5 %% at 8; trust CPU times and counts before rates.

    $ %s
    %s/%s, %d cores; %s; Redis %s; %d rounds of %d messages, WeChat at %s, %d in flight

Other programs used %.1f %% of the machine. Over 5 %%, measure again.

| goal | measure | wxnotify | beside | ratio | bound | met |
| --- | --- | --: | --- | --: | --- | --- |
`

// report is what is printed, and the first part of the document.
func (l *lab) report(ctx context.Context, rows []row, others float64) string {
	var text strings.Builder
	fmt.Fprintf(&text, preface, strings.Join(append([]string{"go run ./internal/bench"}, l.o.args...), " "), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(),
		must(redisx.Info(ctx, l.rdb, "server"))["redis_version"], l.o.rounds, l.o.messages, latency, inFlight, 100*others)
	for _, r := range rows {
		text.WriteString(r.String())
	}
	return text.String()
}

// profiles runs the builds behind the missed goals once more and lists where
// their CPU time goes.
func (l *lab) profiles(ctx context.Context, rows []row) string {
	var text strings.Builder
	goals, jobs := map[string][]string{}, map[string]job{}
	for _, r := range rows {
		if build := r.job.Build; build != "" && r.met() == "no" && !slices.Contains(goals[build], r.goal) {
			goals[build], jobs[build] = append(goals[build], r.goal), r.job
		}
	}
	for _, build := range slices.Sorted(maps.Keys(jobs)) {
		j := jobs[build]
		j.Profile = filepath.Join(l.dir, "cpu")
		l.run(ctx, j)
		out := l.output(exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=40",
			"-show=wxnotify|asynq|go-redis|net/http|syscall|gcBgMarkWorker|mallocgc$|newstack", j.Profile))
		_, list, _ := strings.Cut(out, "Duration:") // the lines before name the machine
		_, _ = fmt.Fprintf(&text, "\n## Missed: %s\n\nCPU time of %s:\n\n```\nDuration:%s```\n", strings.Join(goals[build], ", "), build, list)
	}
	return strings.ReplaceAll(text.String(), module, "")
}
