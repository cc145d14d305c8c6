package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wxnotify/wxnotify/internal/bench/figure"
)

// preface is what stands above the figures in the document.
const preface = `# Performance

Written by the command below, whole: do not edit it by hand.

- Compared in one run, in interleaved rounds: wxnotify with all its guarantees; **bare asynq**, a handler with the same HTTP client and no guarantee at all; the **naive** build, with Go's default transport, four Redis calls and a log line for each message; and the **floors**, the HTTP client alone and pipelined Redis alone.
- Figures are medians. Ratios are medians of the rounds' own ratios: what slowed the machine in a round is in both sides. Nothing but ratios and counts can be compared with another run's.
- Goals have numbers. P0 has no bound: it is WeChat at 0 ms. P1N is P1 by several processes.

`

// report is what the command prints, and writes to -doc.
func report(o options, found findings, notes string) (string, error) {
	var table strings.Builder
	if err := figure.Write(&table, found.rows); err != nil {
		return "", err
	}
	command := strings.Join(append([]string{"go run ./internal/bench"}, o.args...), " ")
	text := preface + "```\n$ " + command + "\n" + found.head + "\n\n" + table.String() + "```\n\n" + notes + "\n"
	if found.profiles != "" {
		text += "\n" + found.profiles
	}
	return text, nil
}

// view is one look at a profile.
type view struct {
	title string
	file  string
	args  []string
}

// walls are the looks that show where a message's cost lies.
func walls() []view {
	const packages = "-show=wxnotify|asynq|go-redis|net/http|syscall|gcBgMarkWorker|mallocgc$"
	objects := "-sample_index=alloc_objects"
	return []view{
		{"Processor time of the worker (P1, P3), by whom it is spent for", "send-" + ours + ".cpu", []string{"-cum", "-nodecount=32", packages}},
		{"Its allocations (P8b)", "send-" + ours + ".mem", []string{objects, "-cum", "-nodecount=32", packages}},
		{"Allocations of bare asynq with the same HTTP client (P8b)", "send-" + bare + ".mem", []string{objects, "-cum", "-nodecount=20", packages}},
		{"Processor time of EnqueueMany (P6)", "enqueue-" + many + ".cpu", []string{"-cum", "-nodecount=32", packages}},
		{"Processor time of Enqueue from 64 goroutines (P5)", "enqueue-" + oneByOne + ".cpu", []string{"-cum", "-nodecount=24", packages}},
	}
}

// profiles runs the dear parts once more with profiles and prints where their cost lies.
func (l *lab) profiles(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "bench-profile-")
	if err != nil {
		return "", fmt.Errorf("make a directory for profiles: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	own := *l
	own.o.profile = dir
	n := l.o.messages
	if _, err := own.rounds(ctx, 1,
		task{Role: "send", Variant: ours, Messages: n, Warm: n / 4, InFlight: l.o.inFlight},
		task{Role: "send", Variant: bare, Messages: n, Warm: n / 4, InFlight: l.o.inFlight},
		task{Role: "enqueue", Variant: many, Messages: 2 * n},
		task{Role: "enqueue", Variant: oneByOne, Messages: 2 * n},
	); err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString("## Where it goes\n\nProfiles of one more round, `go run ./internal/bench -profile DIR -only P1,P5,P6` and `go tool pprof`. Lines above one another contain one another.\n")
	for _, v := range walls() {
		args := append([]string{"tool", "pprof", "-top"}, v.args...)
		said, err := exec.CommandContext(ctx, "go", append(args, filepath.Join(dir, v.file))...).Output()
		if err != nil {
			return "", fmt.Errorf("go tool pprof: %w", errors.Join(err, context.Cause(ctx)))
		}
		_, _ = fmt.Fprintf(&out, "\n### %s\n\n```\n$ go %s '%s'\n%s```\n", v.title, strings.Join(args, " "), v.file, trimmed(string(said)))
	}
	return out.String(), nil
}

// trimmed drops what names the machine and the moment, and shortens names.
func trimmed(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "File:") || strings.HasPrefix(line, "Build ID:") || strings.HasPrefix(line, "Time:") {
			continue
		}
		line = strings.ReplaceAll(line, "github.com/wxnotify/wxnotify/", "")
		if cut := strings.Index(line, "[go.shape"); cut >= 0 {
			line = line[:cut] + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}
