package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
)

func TestTheSameSeedIsTheSamePlan(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		text := func(seed uint64) string {
			return fmt.Sprint(newPlan(seedOf(seed, s.name), s.troubles, s.span).steps(), errands(seedOf(seed, s.name), 200))
		}
		if first, second := text(7), text(7); first != second {
			t.Errorf("%s: seed 7 makes two plans", s.name)
		}
		if text(7) == text(8) {
			t.Errorf("%s: seeds 7 and 8 make one plan", s.name)
		}
	}
}

func TestFaultsOfAKindDoNotOverlapAndEnd(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		for seed := range uint64(20) {
			for _, line := range newPlan(seed, s.troubles, s.span) {
				free := time.Duration(0)
				for _, step := range line {
					if step.at < free || step.at >= s.span {
						t.Fatalf("%s, seed %d: %s begins before %s or after the span of %s", s.name, seed, step, free, s.span)
					}
					free = step.at + step.hold
				}
			}
		}
	}
}

func TestEveryMannerIsEnqueued(t *testing.T) {
	t.Parallel()
	count := map[manner]int{}
	ids := map[string]bool{}
	for _, e := range errands(1, 1000) {
		count[e.manner]++
		ids[e.id] = true
	}
	for m := plain; m <= abandoned; m++ {
		if count[m] == 0 {
			t.Errorf("no message of manner %d among 1000", m)
		}
	}
	if len(ids) != 1000 {
		t.Errorf("%d IDs for 1000 messages", len(ids))
	}
}

func TestTheDayTurnsAtTheMomentWanted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"2026-11-25T00:00:00Z", "2026-11-25T07:31:00Z", "2026-11-25T12:00:00Z", "2026-11-25T12:01:00Z", "2026-11-25T23:59:00Z"} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		zone, err := time.Parse("-07:00", utcOffset(at))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if local := at.In(zone.Location()); local.Hour() != 0 || local.Minute() != 0 {
			t.Errorf("at %s with offset %s it is %s", text, utcOffset(at), local.Format(time.Kitchen))
		}
	}
}

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-seed", "x"}, {"more"}, {"-messages", "-1"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != exitUsage || errs.Len() == 0 {
			t.Errorf("%v: exit %d, %q", args, code, errs.String())
		}
	}
	if _, err := choose(options{faults: []string{"no-such"}}); err == nil {
		t.Error("a scenario that does not exist was chosen")
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-list"}, &out, &out); code != 0 || !strings.Contains(out.String(), "sentinel") {
		t.Errorf("-list: exit %d: %s", code, out.String())
	}
}

// What a reader needs to run a failure again is all in what it prints.
func TestAFailureTellsHowToRunItAgain(t *testing.T) {
	t.Parallel()
	s := scenarios()[0]
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("m-%d", i))
	}
	x := &result{
		scenario: s, seed: 42, plan: newPlan(1, s.troubles, s.span), scene: []string{"the last lines of worker-0:"},
		violations: []verdict.Violation{{Invariant: verdict.Twice, Detail: "2 times", IDs: ids}}, err: errors.New("no luck"),
	}
	var out bytes.Buffer
	(&rehearsal{out: &out}).tell(x)
	for _, want := range []string{
		"BROKEN", "-seed 42 -faults " + s.name, verdict.Twice + ": 2 times (12 in all", "m-9", "the plan:",
		x.plan.steps()[0].String(), "the last lines of worker-0", "the harness: no luck",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "m-10") {
		t.Error("it lists more than ten IDs")
	}
	if !strings.Contains(document(options{command: "go run x"}, []*result{x}, time.Second), "**no**") {
		t.Error("the report hides it")
	}
}

func TestVariantsStillFitTheirSources(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(context.Context) (string, string, error){"newer": newerSource, "skewed": skewedSource} {
		if _, text, err := make(t.Context()); err != nil || text == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	var names []string
	for _, s := range scenarios() {
		if slices.Contains(names, s.name) {
			t.Errorf("two scenarios are named %s", s.name)
		}
		names = append(names, s.name)
	}
}
