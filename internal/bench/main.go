// Command bench reads the first figures of what a message costs: wxnotify, bare
// asynq and the naive build side by side in one run, in interleaved rounds. It
// starts a redis-server and a simulated WeChat of its own on free loopback ports
// and prints a table of goals.
//
// Only ratios within one run mean something. What is measured runs in child
// processes of this same program, so that its processor time is its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a main makes it
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)                          //nolint:forbidigo // a main reads them
	stop()
	os.Exit(code) //nolint:forbidigo // a main's code
}

// childCommand as the first argument makes the program a child that reads its
// task from stdin.
const childCommand = "child"

const (
	exitFailed = 1
	exitUsage  = 2
)

// run returns the exit code: 0 measured, 1 failed, 2 wrong usage or no redis-server.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == childCommand {
		return code(runChild(ctx, stdin, stdout), stderr)
	}
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "bench:", err)
		return exitUsage
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		_, _ = fmt.Fprintln(stderr, "bench: redis-server is not installed, and figures from another server would mean nothing: apt-get install redis-server")
		return exitUsage
	}
	return code(measure(ctx, o, stdout, stderr), stderr)
}

func code(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "bench:", err)
	return exitFailed
}

// options are the flags.
type options struct {
	rounds   int
	messages int
	many     int // of P7
	backlog  int // of P9 and P14
	samples  int // of a latency
	only     []string
	latency  time.Duration
	inFlight int
	profile  string
	doc      string
	args     []string // as they were given
}

// million is the size of a large campaign.
const million = 1_000_000

// quickly is what -quick stands for, where a flag does not say otherwise.
func (o *options) quickly(f *flag.FlagSet) {
	given := map[string]bool{}
	f.Visit(func(one *flag.Flag) { given[one.Name] = true })
	for name, set := range map[string]struct {
		into  *int
		value int
	}{
		"rounds": {&o.rounds, 1}, "messages": {&o.messages, 8000}, "many": {&o.many, 50_000},
		"backlog": {&o.backlog, 50_000}, "samples": {&o.samples, 30},
	} {
		if !given[name] {
			*set.into = set.value
		}
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 3, "interleaved rounds of each comparison; medians are to be trusted to ± 5 % at 8, ± 10 % at 3")
	f.IntVar(&o.messages, "messages", 20_000, "messages of one variant in one round")
	f.IntVar(&o.many, "many", million, "messages of P7")
	f.IntVar(&o.backlog, "backlog", million, "messages that wait in P9 and P14")
	f.IntVar(&o.samples, "samples", 100, "messages whose time to the wire is taken")
	quick := f.Bool("quick", false, "a first look in some minutes: as -rounds 1 -messages 8000 -many 50000 -backlog 50000 -samples 30")
	f.StringVar(&o.doc, "doc", "", "file to write the report to as well, with profiles, such as docs/performance.md")
	f.StringVar(&only, "only", "", "goals to measure, such as P1,P5 (default all: "+strings.Join(goalNames(), ",")+")")
	f.DurationVar(&o.latency, "latency", 50*time.Millisecond, "of the simulated WeChat")
	f.IntVar(&o.inFlight, "inflight", 800, "sends at once, 1 to 1000")
	f.StringVar(&o.profile, "profile", "", "existing directory for profiles of the last round of each variant, such as send-wxnotify.cpu; they cost time, so compare no figures of such a run")
	if err := f.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // the flag package names the flag
	}
	if *quick {
		o.quickly(f)
	}
	for name := range strings.SplitSeq(only, ",") {
		if name = strings.ToUpper(strings.TrimSpace(name)); name == "" {
			continue
		}
		if !slices.Contains(goalNames(), name) {
			return o, fmt.Errorf("-only %s: not a goal of this program: use %s", name, strings.Join(goalNames(), ", "))
		}
		o.only = append(o.only, name)
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: see -help", f.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds %d: use 1 or more", o.rounds)
	case o.messages < 100:
		return o, fmt.Errorf("-messages %d: use 100 or more", o.messages)
	case o.many < 100 || o.backlog < 100 || o.samples < 1:
		return o, fmt.Errorf("-many %d -backlog %d -samples %d: use 100 or more, and 1 or more", o.many, o.backlog, o.samples)
	case o.inFlight < 1 || o.inFlight > 1000:
		return o, fmt.Errorf("-inflight %d: use 1 to 1000", o.inFlight)
	case o.latency < 0:
		return o, fmt.Errorf("-latency %s: use 0 or more", o.latency)
	}
	return o, nil
}
