// Command bench measures what a message costs, side by side in one run:
//
//   - ours: wxnotify with all its guarantees, through its public API
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
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
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
	if len(args) > 0 && args[0] == childCommand {
		return exit(stderr, 1, capture(func() { runChild(ctx, stdin, stdout) }))
	}
	o, err := parse(args, stderr)
	if err != nil {
		return exit(stderr, 2, err)
	}
	return exit(stderr, 1, capture(func() { measure(ctx, o, stdout, stderr) }))
}

func exit(stderr io.Writer, code int, err error) int {
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
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.error
		default:
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

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	quick := slices.Contains(args, "-quick")
	size := func(into *int, name string, full, small int, usage string) {
		if quick {
			full = small
		}
		f.IntVar(into, name, full, usage)
	}
	f.Bool("quick", false, "one round with small numbers; other flags overrule it")
	size(&o.rounds, "rounds", 5, 1, "interleaved rounds of each comparison, 1 or more")
	size(&o.messages, "messages", 20_000, 8000, "messages of one build in one round, 200 or more")
	size(&o.backlog, "backlog", 1_000_000, 50_000, "messages that wait in P9 and P14, and that P7 enqueues, 1 or more")
	size(&o.samples, "samples", 100, 30, "messages timed in P8 and P9, 1 or more")
	f.StringVar(&o.doc, "doc", "", "file to write the report to, with CPU profiles of missed goals")
	only := f.String("only", "", "goals to measure, such as P1,P3; default all: "+strings.Join(goals(), ","))
	if err := f.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // names the flag
	}
	for _, goal := range strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }) {
		if !slices.Contains(goals(), goal) {
			return o, fmt.Errorf("-only %s: unknown goal: use %s", goal, strings.Join(goals(), ","))
		}
		o.only = append(o.only, goal)
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag: see -help", f.Arg(0))
	}
	if o.messages < 200 || min(o.rounds, o.backlog, o.samples) < 1 {
		return o, errors.New("a number is too small: see -help")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return o, errors.New("redis-server is not installed: apt-get install redis-server")
	}
	return o, nil
}

// job is what one child process does.
type job struct {
	Build         string
	Label         string // in the report; empty: the build
	Redis, WeChat string // URLs
	Listen        string // address of the build receive
	Prefix        string // of the message IDs
	Class         string

	Messages int     // in all
	Warm     int     // of them, before the measurement starts
	Backlog  int     // messages on the queue beyond them
	InFlight int     // sends at once
	Servers  int     // asynq servers of bare
	Accounts int     // of ours; all but the first are idle
	Rate     float64 // sends a second
	Quota    int64   // calls a day
	Repeat   bool    // enqueue the same IDs again
	Open     bool    // run until stdin ends
	Keep     bool    // leave what is in Redis
	Profile  string  // file for a CPU profile; empty: none
}

// runChild reads a job from stdin, does it and writes the result to stdout.
func runChild(ctx context.Context, stdin io.Reader, stdout io.Writer) {
	var j job
	check(gob.NewDecoder(stdin).Decode(&j))
	const limit = 10 * time.Minute // a message was lost
	ctx, stop := context.WithTimeout(ctx, limit)
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
