package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
)

// report writes the figures of a run as a document.
func report(o options, results []*result, took time.Duration) error {
	text := document(o, results, took)
	if err := os.WriteFile(o.report, []byte(text), 0o644); err != nil { //nolint:gosec // a document for everybody
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

const preamble = `# Reliability

<!-- Written by %[1]s; do not edit. -->

What the promise is worth when things break: real worker processes, real redis-server, a simulated WeChat over HTTP on loopback, and faults drawn by a seed. Afterwards three ledgers are compared: what was enqueued, what recipients saw, and what ` + "`Status`" + ` says of each message.

    %[1]s

ran %[2]d scenarios with %[3]d messages and %[4]d faults in %[5]s (%[6]s, %[7]d processors, seed %[8]d). **%[9]s** ` + "`make chaos`" + ` runs the same scenarios small, in CI too; ` + "`go run ./internal/chaos -list`" + ` lists them.

`

const invariants = `
## What is checked

| invariant | means |
| --- | --- |
| accepted by Enqueue = ended or still going | every ticket has a record, and its state came to an end within minutes after the last fault, but for what is scheduled for later |
| the state is true | accepted: seen; cancelled, expired, dead: not seen, and for its own reason |
| seen twice: 0 | by client_msg_id, whatever the caller, worker or Redis did twice |
| calls over the cap: 0 | WeChat refused none for a quota that nobody else uses |
| unknown only when WeChat could say no more | eight minutes after the message came, or after its own not-after |
| one ID, one body | of callers that enqueue one ID with different bodies at once, one gets a ticket, and its body is what is seen |
| nothing left | no task pending, active or to be retried, none stored outside a set; workers stop with exit code 0, without more goroutines or memory than at work |

Messages are of all classes; some are scheduled, some have a not-after of seconds, some are cancelled before or right after they were enqueued, some are enqueued by three callers at once with the same or with different bodies, some by callers that give up after an error.

## What a fail-over may cost

Sentinel and Cluster replicate asynchronously: a primary that dies may take with it what it acknowledged in its last moments. That loss is Redis', and the table counts it apart: a message counts as lost by us only when a replica is known (by WAIT) to have had it. [ADR 0031](adr/0031-what-a-fail-over-may-cost.md) says what to do about it.

## What this does not show

Time is short here: leases (30 s), pauses, probes and WeChat's window are the real ones, but no run lasts a day: what takes days is tested in virtual time. The platform is simulated: what WeChat does not document is an assumption, listed in [wechat.md](wechat.md). Machines do not lose power here, processes do: see [operations.md](operations.md) for what appendfsync everysec costs then.
`

func document(o options, results []*result, took time.Duration) string {
	var b strings.Builder
	var sum verdict.Tally
	faults, broken := 0, 0
	for _, x := range results {
		sum.Messages += x.tally.Messages
		faults += x.faults
		if !x.held() {
			broken++
		}
	}
	held := "All of them held."
	if broken > 0 {
		held = fmt.Sprintf("%d of them did not hold.", broken)
	}
	fmt.Fprintf(&b, preamble, o.command, len(results), sum.Messages, faults, took.Round(time.Second),
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), seedUsed(results), held)
	b.WriteString("| scenario | what breaks | messages | faults | seen once | calls | seen twice | lost | lost by Redis | unknown | expired | cancelled | dead | still scheduled | settled after | held |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n")
	for _, x := range results {
		t := x.tally
		word := "yes"
		if !x.held() {
			word = "**no**"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %.0f s | %s |\n",
			x.scenario.name, x.scenario.about, t.Messages, x.faults, t.SeenOnce, x.calls, x.count(verdict.Twice), x.count(verdict.Lost),
			t.Forgotten, t.Unknown, t.Expired, t.Cancelled, t.Dead, t.Going, x.settled.Seconds(), word)
	}
	b.WriteString("\n\"Calls\" are those that WeChat counted; more than were seen are its refusals, and replays that it dropped; of midnight they are those of the second day. A row again: `go run ./internal/chaos -long -seed SEED -faults SCENARIO`.\n")
	b.WriteString(invariants)
	return b.String()
}

// count of the messages that broke one invariant.
func (x *result) count(invariant string) int {
	for _, v := range x.violations {
		if v.Invariant == invariant {
			return max(1, len(v.IDs))
		}
	}
	return 0
}

func seedUsed(results []*result) uint64 {
	for _, x := range results {
		return x.seed
	}
	return 0
}
