// Command chaos breaks things on purpose and checks that the promise holds:
// never lost, never seen twice, never over the quota, whoever crashes.
//
// Each scenario is a world of its own: worker processes, a redis-server (or
// Sentinels, or a cluster), a simulated WeChat, and a producer that enqueues
// while faults come and go. When everything has settled, three ledgers are
// compared: what was enqueued, what recipients saw, and what Status says of each
// message.
//
//	go run ./internal/chaos                       # every scenario, small
//	go run ./internal/chaos -list
//	go run ./internal/chaos -seed 7 -faults redis-killed,together
//	go run ./internal/chaos -long -report docs/reliability.md
//
// A seed fixes the messages, the faults, their victims and their moments, and is
// printed, so that a failure can be run again. What it cannot fix is the
// machine's own timing. The full disk is played by prlimit (util-linux), so on Linux.
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
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a main makes it
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)                                    //nolint:forbidigo // a main reads them
	stop()
	os.Exit(code) //nolint:forbidigo // a main's code
}

const (
	exitFailed = 1
	exitUsage  = 2
)

// run returns the exit code: 0 the promise held, 1 it did not or the harness
// failed, 2 wrong usage or no redis-server.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "chaos:", err)
		return exitUsage
	}
	if o.list {
		list(stdout)
		return 0
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		_, _ = fmt.Fprintln(stderr, "chaos: redis-server is not installed: apt-get install redis-server")
		return exitUsage
	}
	if err := rehearse(ctx, o, stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, "chaos:", err)
		return exitFailed
	}
	return 0
}

// options are the flags.
type options struct {
	seed     uint64
	faults   []string
	messages int
	span     time.Duration
	parallel int
	long     bool
	report   string
	list     bool
	verbose  bool
	keep     bool
	command  string // as it was typed, for the report
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{command: strings.TrimSpace("go run ./internal/chaos " + strings.Join(args, " "))}
	var faults string
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Uint64Var(&o.seed, "seed", 0, "of messages and faults (default: a new one, printed)")
	f.StringVar(&faults, "faults", "", "scenarios to run, such as worker-killed,together (default all; -list names them)")
	f.IntVar(&o.messages, "messages", 0, "messages of each scenario (default: what suits it)")
	f.DurationVar(&o.span, "duration", 0, "how long each scenario enqueues and breaks (default: what suits it)")
	f.IntVar(&o.parallel, "parallel", 0, "scenarios at once (default 10, with -long 5)")
	f.BoolVar(&o.long, "long", false, "100 000 messages through every fault, about half an hour")
	f.StringVar(&o.report, "report", "", "write the figures to this file")
	f.BoolVar(&o.list, "list", false, "list the scenarios")
	f.BoolVar(&o.verbose, "v", false, "print each fault as it begins and ends")
	f.BoolVar(&o.keep, "keep", false, "keep the directories of failed scenarios")
	if err := f.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // the flag package names the flag
	}
	for name := range strings.SplitSeq(faults, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.faults = append(o.faults, name)
		}
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: see -help", f.Arg(0))
	case o.messages < 0 || o.span < 0 || o.parallel < 0:
		return o, errors.New("-messages, -duration and -parallel must not be negative")
	}
	return o, nil
}

func list(w io.Writer) {
	for _, s := range scenarios() {
		_, _ = fmt.Fprintf(w, "%-18s %s\n", s.name, s.about)
	}
}
