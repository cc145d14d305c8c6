package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
)

func TestMain(m *testing.M) {
	logging.Disable() // failed connections are expected
	os.Exit(m.Run())
}

func TestWrongFlagsAreUsageErrors(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-seed", "x"}, {"more"}, {"-messages", "-1"}, {"-duration", "-1s"}, {"-parallel", "0"}, {"-faults", "no-such"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || errs.Len() == 0 || out.Len() != 0 {
			t.Errorf("%v: exit %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, &out, &out); code != 0 || !strings.Contains(out.String(), "-faults") {
		t.Errorf("-help: exit %d: %s", code, out.String())
	}
}

func TestListNamesAllScenarios(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-list"}, &out, &out); code != 0 {
		t.Fatalf("exit %d: %s", code, out.String())
	}
	for _, s := range all(t) {
		if !strings.Contains(out.String(), s.Name+" ") || !strings.Contains(out.String(), s.About) {
			t.Errorf("-list leaves %s out", s.Name)
		}
	}
}

// broken is a result with everything that there is to tell.
func broken(t *testing.T) *result {
	t.Helper()
	s := all(t)[0]
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("m-%d", i))
	}
	return &result{
		Scenario: s, Plan: newPlan(1, s.Series, s.length()), Err: errors.New("no luck"), Again: "go run ./internal/chaos -seed 42",
		Violations: []verdict.Violation{{Invariant: verdict.Twice, Detail: "2 times", IDs: ids}, {Invariant: verdict.Lost, Detail: "gone", IDs: ids[:3]}},
		Tally:      verdict.Tally{Messages: 300, SeenOnce: 250, Forgotten: 7}, Settled: 90 * time.Second, History: []string{"1.0s begin: x"},
	}
}

// What a reader needs to repeat a failure is all in what is printed.
func TestAFailureTellsHowToRepeatIt(t *testing.T) {
	t.Parallel()
	x := broken(t)
	text, err := render("text", x)
	must(t, err)
	for _, want := range []string{
		"BROKEN", x.Again, verdict.Twice + ": 2 times (12 in all: m-0", "m-9)", "the plan:", x.Plan.Steps()[0].String(),
		"1.0s begin: x", "the harness: no luck", "settled 90 s", "lost by Redis 7",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "m-10") {
		t.Error("it lists more than ten IDs")
	}
}

func TestAScenarioThatHeldIsOneLine(t *testing.T) {
	t.Parallel()
	x := broken(t)
	x.Err, x.Violations = nil, nil
	text, err := render("text", x)
	if err != nil || strings.Contains(text, "\n") || !strings.HasPrefix(text, "held") || !strings.Contains(text, "300 messages") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestTheReportSumsUpAndHidesNoFailure(t *testing.T) {
	t.Parallel()
	held := broken(t)
	held.Err, held.Violations = nil, nil
	o := options{command: "go run ./internal/chaos -long", seed: 42}
	text, err := render("report", newReport(o, []*result{broken(t), held}, 90*time.Second))
	must(t, err)
	for _, want := range []string{
		"# Reliability", "    go run ./internal/chaos -long\n", "2 scenarios with 600 messages", "in 1m30s", "seed 42", "**1 of them did not hold.**",
		"| 300 | 1 | 250 | 0 | 12 | 3 | 7 |", "| 90 s | **no** |", "| 90 s | yes |", "## What is checked", "## What this does not show",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	text, err = render("report", newReport(o, []*result{held}, time.Second))
	if err != nil || !strings.Contains(text, "**All of them held.**") || strings.Contains(text, "**no**") {
		t.Errorf("a run that held: %v\n%s", err, text)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
