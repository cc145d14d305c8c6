// Command chaos breaks things on purpose and checks that the promise holds: no
// message is lost, seen twice or sent over the quota, whichever process dies.
//
// Each scenario runs its own worker processes, redis-server (or Sentinels, or a
// cluster), simulated WeChat, and a producer that enqueues while faults begin and
// end. When all messages have ended, three ledgers are compared: what producers
// were told, what recipients saw, and what Status says of each message.
//
//	go run ./internal/chaos                       # every scenario, small
//	go run ./internal/chaos -list
//	go run ./internal/chaos -seed 7 -faults redis-killed,together
//	go run ./internal/chaos -long -report docs/reliability.md
//
// A seed determines the messages, the faults, their victims and their times. It
// is printed, so that a failure can be repeated; the timing of the machine cannot.
// The full disk needs prlimit (util-linux), which is on Linux only.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a main makes it
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)                                    //nolint:forbidigo // a main reads them
	stop()
	os.Exit(code) //nolint:forbidigo // a main's code
}

// run returns the exit code: 0 the promise held, 1 it did not or the harness
// failed, 2 wrong usage or no redis-server.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err == nil && o.list {
		for _, s := range o.chosen {
			_, _ = fmt.Fprintf(stdout, "%-20s %s\n", s.Name, s.About)
		}
		return 0
	}
	code := 2
	if err == nil {
		_, err = exec.LookPath("redis-server")
	}
	if err == nil {
		code, err = 1, runAll(ctx, o, stdout)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "chaos:", err)
	return code
}

// options are the flags.
type options struct {
	seed     uint64
	chosen   []*scenario
	messages int
	length   time.Duration
	parallel int
	long     bool
	report   string
	list     bool
	verbose  bool
	command  string // as it was typed, for the report
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{command: strings.TrimSpace("go run ./internal/chaos " + strings.Join(args, " "))}
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Uint64Var(&o.seed, "seed", 0, "of messages and faults (default: a new one, printed)")
	names := f.String("faults", "", "scenarios to run, such as worker-killed,together (default all; -list names them)")
	f.IntVar(&o.messages, "messages", 0, "messages of each scenario (default: what suits it)")
	f.DurationVar(&o.length, "duration", 0, "how long each scenario enqueues and breaks (default: what suits it)")
	f.IntVar(&o.parallel, "parallel", 10, "scenarios at once")
	f.BoolVar(&o.long, "long", false, "100 000 messages through every fault, about a quarter of an hour")
	f.StringVar(&o.report, "report", "", "write the figures to this file")
	f.BoolVar(&o.list, "list", false, "list the scenarios")
	f.BoolVar(&o.verbose, "v", false, "print each fault as it begins and ends")
	if err := f.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // the flag package names the flag
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag: see -help", f.Arg(0))
	}
	if o.messages < 0 || o.length < 0 || o.parallel < 1 {
		return o, errors.New("-messages and -duration must not be negative, -parallel must be at least 1")
	}
	all, err := scenarios()
	if err != nil {
		return o, err
	}
	o.chosen, err = choose(all, strings.FieldsFunc(*names, func(r rune) bool { return r == ',' || r == ' ' }), o.long || o.list)
	return o, err
}

// longMessages is how many messages each scenario of the long run has: about
// 100 000 in all.
const longMessages = 2800

// runner runs scenarios, some at once.
type runner struct {
	options
	builds builds
	ports  ports
	out    *log.Logger
}

// runAll runs the chosen scenarios and prints the result of each. The error says
// that the promise did not hold, or that the harness failed.
func runAll(ctx context.Context, o options, out io.Writer) error {
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) //nolint:gosec // printed, and repeatable from then on
	}
	dir, err := os.MkdirTemp("", "chaos-build-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	logging.Disable() // failed connections are expected
	r := &runner{options: o, out: log.New(out, "", 0), builds: newBuilds(ctx, dir)}
	r.ports.next.Store(rand.Uint32()) //nolint:gosec // other runs may use ports too
	r.out.Printf("chaos: %d scenarios; the same again: go run ./internal/chaos -seed %d", len(o.chosen), o.seed)
	if _, err := r.builds[plainBuild](); err != nil {
		return err
	}
	began := time.Now()
	results := make([]*result, len(o.chosen))
	slots := make(chan struct{}, o.parallel)
	var group sync.WaitGroup
	for _, s := range o.chosen {
		for _, w := range s.Workers { // made while other scenarios run
			go func() { _, _ = r.builds[w.Build]() }()
		}
	}
	for i, s := range o.chosen {
		slots <- struct{}{}
		group.Go(func() {
			results[i] = r.one(ctx, s)
			<-slots
		})
	}
	group.Wait()
	rep := newReport(o, results, time.Since(began))
	r.out.Printf("%d scenarios in %s", len(results), rep.Took)
	if o.report != "" {
		text, err := render("report", rep)
		if err = errors.Join(err, os.WriteFile(o.report, []byte(text), 0o644)); err != nil { //nolint:gosec // a document for everyone
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if len(rep.Broken) > 0 {
		return fmt.Errorf("the promise was not kept in %s", strings.Join(rep.Broken, ", "))
	}
	return context.Cause(ctx)
}

// one runs one scenario. The directory of one that failed is kept, with the whole
// output of its processes.
func (r *runner) one(ctx context.Context, s *scenario) *result {
	e := &env{scenario: s, seed: scenarioSeed(r.seed, s.Name), builds: r.builds, ports: &r.ports, messages: s.Messages, show: func(...any) {}}
	length, limit := time.Duration(s.Seconds)*time.Second, settleLimit
	if r.long {
		e.messages, length, limit = longMessages, 4*length, 2*limit
	}
	if r.messages > 0 {
		e.messages = r.messages
	}
	if r.length > 0 {
		length = r.length
	}
	if r.verbose {
		e.show = r.out.Println
	}
	x := runScenario(ctx, e, length, limit)
	e.close()
	if x.Held() {
		_ = os.RemoveAll(e.dir)
	}
	x.Again = fmt.Sprintf("go run ./internal/chaos -seed %d -long=%t -faults %s", r.seed, r.long, s.Name)
	text, err := render("text", x)
	x.Err = errors.Join(x.Err, err)
	r.out.Print(text)
	return x
}

// report.tmpl has the text of one result and the document of a run.
//
//go:embed report.tmpl
var reportTemplate string

// report is a run, for the document.
type report struct {
	Command, Platform string
	Seed              uint64
	Took              time.Duration
	Results           []*result
	Messages, Faults  int
	Broken            []string // names of the scenarios that did not hold
}

func newReport(o options, results []*result, took time.Duration) report {
	platform := fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	r := report{Command: o.command, Platform: platform, Seed: o.seed, Took: took.Round(time.Second), Results: results}
	for _, x := range results {
		r.Messages += x.Tally.Messages
		r.Faults += len(x.Plan.Steps())
		if !x.Held() {
			r.Broken = append(r.Broken, x.Scenario.Name)
		}
	}
	return r
}

// render executes one of the templates: text of a result, report of a report.
func render(name string, data any) (string, error) {
	t := template.New("").Funcs(template.FuncMap{
		"seconds": func(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) },
		"broke": func(r *result, invariant string) (n int) {
			for _, v := range r.Violations {
				if v.Invariant == invariant {
					n = len(v.IDs)
				}
			}
			return n
		},
	})
	var b strings.Builder
	if err := template.Must(t.Parse(reportTemplate)).ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("report.tmpl: %w", err)
	}
	return b.String(), nil
}
