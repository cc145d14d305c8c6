package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// parts are where the CPU time of a message goes. A sample belongs to the first part that
// has a word of its stack.
//
//nolint:gochecknoglobals // never changed
var parts = []struct {
	name, why string
	words     []string
}{
	{"garbage collector", "the stack of a send that waits for WeChat is deeper, and as many wait", []string{"gcBgMarkWorker", "gcAssistAlloc", "gcStart", "bgsweep", "bgscavenge"}},
	{"stacks that grow", "asynq starts a goroutine for each task; ours grows once", []string{"runtime.newstack"}},
	{"log line", "one for each message", []string{"go.uber.org/zap"}},
	{"net/http with its system calls", "the same client", []string{"net/http"}},
	{"calls to Redis", "shared by up to 64 messages; bare makes two for each", []string{"redis/go-redis"}},
	{"shared calls: Begin, Accepted, done", "the record that keeps a message from being lost or sent twice", []string{"wxnotify/internal/ledger", "redisx.(*Group"}},
	{"fetch loop and gate", "permits, pace, order of classes", []string{"queue.(*fetcher)", "wxnotify/ratelimit"}},
	{"handler", "envelope, request, verdict, event", []string{"wxnotify/worker", "wxnotify/wechat", "wxnotify/internal/"}},
	{"asynq", "goroutines, contexts and heartbeats", []string{"hibiken/asynq"}},
	{"scheduler and network poller", "", []string{""}},
}

// where tells where the CPU time of a message goes in bare and in ours, whose profile there
// is already.
func (l *lab) where(ctx context.Context, profile string) string {
	n, other := l.o.messages, filepath.Join(filepath.Dir(profile), "bare")
	l.start(ctx, job{Build: bare, Messages: 3 * n, Warm: n, Profile: other})(false)
	shares := make([][]float64, 2)
	for i, file := range []string{other, profile} {
		shares[i] = sharesOf(string(must(exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-unit=us", file).Output())))
	}
	var text strings.Builder
	text.WriteString("\nThe worker's CPU time, µs/message:\n\n| part | bare | wxnotify | why |\n| --- | --: | --: | --- |\n")
	for i, p := range parts {
		_, _ = fmt.Fprintf(&text, "| %s | %.1f | %.1f | %s |\n", p.name, shares[0][i]/float64(3*n), shares[1][i]/float64(3*n), p.why)
	}
	return text.String()
}

// sharesOf sums the samples of `pprof -traces -unit=us` by parts, in µs. A line begins a
// sample's stack with its time; the callers follow.
func sharesOf(traces string) []float64 {
	sums := make([]float64, len(parts))
	for sample := range strings.SplitSeq(traces, "-----------+") {
		_, stack, _ := strings.Cut(sample, "\n")
		first, _, _ := strings.Cut(strings.TrimSpace(stack), "us ")
		spent, err := strconv.ParseFloat(first, 64)
		if err != nil {
			continue // the head of the list, and its end
		}
		for i, p := range parts {
			if slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(stack, word) }) {
				sums[i] += spent
				break
			}
		}
	}
	return sums
}
