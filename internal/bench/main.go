// Command bench measures what a message costs, side by side in one run:
//
//   - ours: wxnotify's own processes, with all guarantees, log and metrics
//   - bare: asynq with the same HTTP client, four servers and no guarantee
//   - naive: Go's default transport, four Redis calls and a log line a message
//
// It starts a redis-server and serves a simulated WeChat on loopback. What is
// measured runs in child processes of this program, so that its CPU time is its
// own. Only ratios and counts can be compared with another run.
package main

import (
	"context"
	"encoding/gob"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wxnotify/wxnotify/producer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // main
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)                          //nolint:forbidigo // main
	stop()
	os.Exit(code) //nolint:forbidigo // main
}

// childCommand is the first argument of a child process.
const childCommand = "child"

// run returns the exit code: 0 measured, 1 failed, 2 wrong usage or no redis-server.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	code := 2
	err := capture(func() {
		if len(args) > 0 && args[0] == childCommand {
			runChild(ctx, stdin, stdout)
			return
		}
		o := parse(args, stderr)
		code = 1
		measure(ctx, o, stdout, stderr)
	})
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "bench:", err)
	return code
}

// failure is what check panics with. The benchmark ends at its first error, so
// its functions do not return errors; capture turns a failure back into one.
type failure struct{ error }

func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// capture returns the error with which f failed.
func capture(f func()) (err error) {
	defer func() {
		r := recover()
		if failed, ok := r.(failure); ok {
			err = failed.error
		} else if r != nil {
			panic(r)
		}
	}()
	f()
	return nil
}

// options are the flags.
type options struct {
	rounds, messages, backlog, samples int

	only []string // goals; empty: all
	doc  string   // file for the report; empty: none
	args []string // as given
}

func parse(args []string, stderr io.Writer) options {
	o := options{rounds: 5, messages: 20_000, backlog: 1_000_000, samples: 100, args: args}
	if slices.Contains(args, "-quick") {
		o.rounds, o.messages, o.backlog, o.samples = 1, 8000, 50_000, 30
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Bool("quick", false, "one round with small numbers; other flags overrule it")
	f.IntVar(&o.rounds, "rounds", o.rounds, "interleaved rounds of each comparison, 1 or more")
	f.IntVar(&o.messages, "messages", o.messages, "messages of one build in one round, 200 or more")
	f.IntVar(&o.backlog, "backlog", o.backlog, "messages that wait in P9 and P14, and that P7 enqueues, 1 or more")
	f.IntVar(&o.samples, "samples", o.samples, "messages timed in P8 and P9, 1 or more")
	f.StringVar(&o.doc, "doc", "", "file to write the report to, with CPU profiles of missed goals")
	all := strings.Join(goals(), ",")
	f.Func("only", "goals to measure, such as P1,P3; default all: "+all, func(text string) error {
		o.only = strings.Split(text, ",")
		for _, goal := range o.only {
			if !slices.Contains(goals(), goal) {
				return fmt.Errorf("unknown goal %s: use %s", goal, all)
			}
		}
		return nil
	})
	check(f.Parse(args))
	if f.NArg() > 0 {
		check(fmt.Errorf("%q is not a flag: see -help", f.Arg(0)))
	}
	if o.messages < 200 || min(o.rounds, o.backlog, o.samples) < 1 {
		check(errors.New("a number is too small: see -help"))
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		check(errors.New("redis-server is not installed: apt-get install redis-server"))
	}
	return o
}

// job is what one child process does.
type job struct {
	Build         string // or a Go benchmark, see runBenchmark
	Label         string // in the report; empty: the build
	Redis, WeChat string // URLs
	Class         producer.ClassName
	Messages      int     // in all
	Warm          int     // of them, before the measurement starts
	Backlog       int     // messages on the queue beyond them
	InFlight      int     // sends at once
	Servers       int     // asynq servers of bare
	Accounts      int     // of ours; all but the first are idle; zero: one
	Processes     int     // zero: one
	Rate          float64 // sends a second
	Quota         int64   // calls a day
	Open          bool    // run until stdin ends
	Profile       string  // file for a CPU profile; empty: none
}

// runChild reads a job from stdin, does it and writes the result to stdout.
func runChild(ctx context.Context, stdin io.Reader, stdout io.Writer) {
	var j job
	check(gob.NewDecoder(stdin).Decode(&j))
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute) // it ends when a message was lost
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // ends with the parent too
		stop()
	}()
	if j.Profile != "" {
		check(pprof.StartCPUProfile(must(os.Create(j.Profile))))
		defer pprof.StopCPUProfile()
	}
	check(gob.NewEncoder(stdout).Encode(do(ctx, j)))
}

// startChild starts a child process. The function returned waits for its result;
// with stop it first has the child end its job.
func startChild(ctx context.Context, j job, stderr io.Writer) (wait func(stop bool) reading) {
	cmd := exec.CommandContext(ctx, must(os.Executable()), childCommand)
	cmd.Stderr = stderr
	in, out := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
	check(cmd.Start())
	check(gob.NewEncoder(in).Encode(j))
	return func(stop bool) (r reading) {
		if stop {
			_ = in.Close()
		}
		err := gob.NewDecoder(out).Decode(&r)
		_ = in.Close()
		check(errors.Join(cmd.Wait(), err))
		return r
	}
}

const module = "github.com/wxnotify/wxnotify/"

// runBenchmark runs a Go benchmark in a process of its own, with as many operations as j has
// messages. j.Build is its package and its name, such as "producer Enqueue/asynq".
func (l *lab) runBenchmark(ctx context.Context, j job) reading {
	pkg, name, _ := strings.Cut(j.Build, " ")
	binary := filepath.Join(l.dir, filepath.Base(pkg)+".test")
	if _, err := os.Stat(binary); err != nil {
		l.output(exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, module+pkg))
	}
	text := l.output(exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench=^Benchmark"+strings.ReplaceAll(name, "/", "$/^")+"$",
		"-test.benchtime="+strconv.Itoa(j.Messages)+"x", "-test.cpuprofile="+j.Profile, "-test.timeout=10m"))
	r := reading{}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "Benchmark") {
			for i := 3; i < len(fields); i += 2 {
				r[fields[i]] = must(strconv.ParseFloat(fields[i-1], 64))
			}
		}
	}
	if r["ns/op"] == 0 {
		check(fmt.Errorf("%s measured nothing: %s", j.Build, text))
	}
	r[rate] = 1e9 / r["ns/op"]
	return r
}

// output runs a command and returns what it prints.
func (l *lab) output(cmd *exec.Cmd) string {
	cmd.Stderr = l.stderr
	text, err := cmd.Output()
	if err != nil {
		check(fmt.Errorf("%s: %w: %s", cmd, err, text))
	}
	return string(text)
}
