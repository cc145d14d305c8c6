package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// bound is what a figure should reach. The zero value is none.
type bound struct {
	sign  string
	value float64
}

func atLeast(v float64) bound { return bound{"≥", v} }
func atMost(v float64) bound  { return bound{"≤", v} }

// row is one figure of ours and what it is compared with.
type row struct {
	goal, measure string
	ours          float64
	with          string // empty: the bound is for ours alone
	theirs, ratio float64
	bound         bound  // of the ratio, or of ours
	build         string // that a profile explains; empty: none
}

// met is yes, no, or – without a bound.
func (r row) met() string {
	v := r.ours
	if r.with != "" {
		v = r.ratio
	}
	switch {
	case r.bound.sign == "":
		return "–"
	case r.bound.sign == "≥" && v >= r.bound.value, r.bound.sign == "≤" && v <= r.bound.value:
		return "yes"
	}
	return "no" // also when v is NaN
}

func (r row) String() string {
	beside, quotient, bound, met := "–", "–", "–", r.met()
	if r.with != "" {
		beside, quotient = r.with+": "+number(r.theirs), number(r.ratio)
	}
	if r.bound.sign != "" {
		bound = r.bound.sign + " " + number(r.bound.value)
	}
	return fmt.Sprintf("| %-4s | %-52s | %9s | %-24s | %6s | %-8s | %-3s |\n", r.goal, r.measure, number(r.ours), beside, quotient, bound, met)
}

// number writes three significant digits at least.
func number(v float64) string {
	if math.Abs(v) >= 999.5 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// percentile is the smallest value that a share of all values does not exceed.
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(int(math.Ceil(share*float64(len(sorted)))), 1)-1]
}

// ratio is the median of the rounds' ratios: what slowed the machine in a round
// is in both figures.
func ratio(a, b []float64) float64 {
	ratios := slices.Clone(a)
	for i := range ratios {
		ratios[i] /= b[i]
	}
	return median(ratios)
}

// used is the CPU time, in seconds, of this process or of its children that have ended.
func used(who int) float64 {
	var u syscall.Rusage
	check(syscall.Getrusage(who, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// What memory reads: see proc_pid_status(5).
const (
	resident     = "VmRSS:"
	mostResident = "VmHWM:"
)

// memory is how many bytes this process has resident, or has had at most: unlike
// getrusage's, that figure is not its parent's.
func memory(which string) float64 {
	_, rest, _ := strings.Cut(string(must(os.ReadFile("/proc/self/status"))), which)
	return 1024 * must(strconv.ParseFloat(strings.Fields(rest)[0], 64))
}

// redisSeconds is the CPU time of Redis.
func redisSeconds(ctx context.Context, rdb redis.UniversalClient) float64 {
	info := must(redisx.Info(ctx, rdb, "cpu"))
	return must(strconv.ParseFloat(info["used_cpu_sys"], 64)) + must(strconv.ParseFloat(info["used_cpu_user"], 64))
}

// secondsOf is the CPU time of a process: see proc_pid_stat(5). Its name may hold spaces.
func secondsOf(pid int) float64 {
	_, rest, _ := strings.Cut(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)))), ") ")
	const user, system = 11, 12 // places after the name
	fields := strings.Fields(rest)
	return (must(strconv.ParseFloat(fields[user], 64)) + must(strconv.ParseFloat(fields[system], 64))) / ticks
}

// ticks of /proc a second, on every Linux.
const ticks = 100

// load is the CPU time of the machine and of this benchmark, in ticks of /proc/stat.
type load struct{ all, idle, own float64 }

// readLoad counts this process, its ended children and Redis as own.
func readLoad(ctx context.Context, rdb redis.UniversalClient) load {
	l := parseLoad(machineLoad())
	l.own = ticks * (used(syscall.RUSAGE_SELF) + used(syscall.RUSAGE_CHILDREN) + redisSeconds(ctx, rdb))
	return l
}

// machineLoad is the line that parseLoad reads.
func machineLoad() string {
	line, _, _ := strings.Cut(string(must(os.ReadFile("/proc/stat"))), "\n")
	return line
}

// parseLoad reads "cpu user nice system idle iowait irq softirq steal guest …".
// Guest time is part of user already.
func parseLoad(line string) (l load) {
	for i, field := range strings.Fields(line)[1:9] {
		v := must(strconv.ParseFloat(field, 64))
		l.all += v
		if i == 3 || i == 4 {
			l.idle += v
		}
	}
	return l
}

// others is the share of the machine that other programs, and other virtual
// machines on the same hardware, used between two readings.
func (l load) others(later load) float64 {
	busy := later.all - l.all - (later.idle - l.idle)
	return max(0, busy-(later.own-l.own)) / max(later.all-l.all, 1)
}

const preface = `# Performance

Written by the command below. Do not edit.

**wxnotify** runs with all its guarantees. **bare** is asynq with the same HTTP client, four servers and no guarantee. **naive** uses Go's default transport, four Redis calls and a log line a message. **asynq** is asynq's client from 64 goroutines, **raw** the least scripts in pipelines. All that send have the garbage collector's setting of the worker command. Figures are medians of interleaved rounds, ratios are medians of the rounds' ratios. Only ratios and counts can be compared with another run. Trust medians to ± 10 %% at 3 to 6 rounds, to ± 5 %% at 8; trust CPU times and counts before rates.

    $ %s
    %s/%s, %d cores; %s; Redis %s; %d rounds of %d messages, WeChat at %s, %d in flight

Other programs used %.1f %% of the machine. Over 5 %%, measure again.

| goal | measure | wxnotify | beside | ratio | bound | met |
| --- | --- | --: | --- | --: | --- | --- |
`

// report is what is printed, and the first part of the document.
func (l *lab) report(ctx context.Context, rows []row, others float64) string {
	command := strings.Join(append([]string{"go run ./internal/bench"}, l.o.args...), " ")
	var out strings.Builder
	_, _ = fmt.Fprintf(&out, preface, command, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(),
		must(redisx.Info(ctx, l.rdb, "server"))["redis_version"], l.o.rounds, l.o.messages, latency, inFlight, 100*others)
	for _, r := range rows {
		out.WriteString(r.String())
	}
	return out.String()
}

// profiles runs the builds behind the missed goals once more and lists where
// their CPU time goes.
func (l *lab) profiles(ctx context.Context, rows []row) string {
	var text strings.Builder
	file := filepath.Join(must(os.MkdirTemp("", "bench-profile-")), "cpu")
	defer func() { _ = os.RemoveAll(filepath.Dir(file)) }()
	missed := map[string][]string{}
	for _, r := range rows {
		if r.met() == "no" && r.build != "" && r.build != polls && !slices.Contains(missed[r.build], r.goal) {
			missed[r.build] = append(missed[r.build], r.goal)
		}
	}
	for _, build := range slices.Sorted(maps.Keys(missed)) {
		l.start(ctx, job{Build: build, Messages: 3 * l.o.messages, Warm: l.o.messages, Profile: file})(false)
		out := must(exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=40",
			"-show=wxnotify|asynq|go-redis|net/http|syscall|gcBgMarkWorker|mallocgc$|newstack", file).Output())
		_, list, _ := strings.Cut(string(out), "Duration:") // the lines before name the machine
		_, _ = fmt.Fprintf(&text, "\n## Missed: %s\n\nCPU time of %s:\n\n```\nDuration:%s```\n", strings.Join(missed[build], ", "), build, list)
		if build == ours {
			text.WriteString(l.where(ctx, file))
		}
	}
	return strings.ReplaceAll(text.String(), "github.com/wxnotify/wxnotify/", "")
}
