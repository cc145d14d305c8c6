package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func all(t *testing.T) []*scenario {
	t.Helper()
	list, err := scenarios()
	must(t, err)
	return list
}

func (s *scenario) length() time.Duration { return time.Duration(s.Seconds) * time.Second }

func TestScenariosAreComplete(t *testing.T) {
	t.Parallel()
	var names []string
	kinds, used := faults(), map[string]bool{}
	made := newBuilds(t.Context(), "") // none is built
	for _, s := range all(t) {
		if s.Name == "" || s.About == "" || slices.Contains(names, s.Name) {
			t.Errorf("%q (%s): a name or a text is missing or comes twice", s.Name, s.About)
		}
		names = append(names, s.Name)
		if s.Redis != single && s.Redis != sentinel && s.Redis != cluster {
			t.Errorf("%s: %q is no topology", s.Name, s.Redis)
		}
		for _, w := range s.Workers {
			if made[w.Build] == nil {
				t.Errorf("%s: %q is no build", s.Name, w.Build)
			}
		}
		for _, line := range s.Series {
			if len(line.Faults) == 0 {
				t.Errorf("%s: a series without faults", s.Name)
			}
			for _, f := range line.Faults {
				used[f.Kind] = true
				if kinds[f.Kind].begin == nil {
					t.Errorf("%s: %q is no kind of fault", s.Name, f.Kind)
				}
				checkFault(t, s, f)
			}
		}
	}
	for kind := range kinds {
		if !used[kind] {
			t.Errorf("no scenario has the fault %s", kind)
		}
	}
}

// checkFault checks what only some kinds need.
func checkFault(t *testing.T, s *scenario, f faultSpec) {
	t.Helper()
	switch f.Kind {
	case "wechat":
		if f.Name == "" || len(f.Answers) == 0 && len(f.Begin) == 0 {
			t.Errorf("%s: a fault of WeChat without a name, or that does nothing: %s", s.Name, f)
		}
	case "connection-forgotten":
		if f.Of != "workers" && f.Of != "producer" {
			t.Errorf("%s: no proxy is of %q", s.Name, f.Of)
		}
	case "connections-torn":
		if f.Share <= 0 || f.Share > 1 {
			t.Errorf("%s: %v of the chunks are torn", s.Name, f.Share)
		}
	case "workers-upgraded":
		if _, ok := edits()[f.Build]; !ok {
			t.Errorf("%s: %q is no build", s.Name, f.Build)
		}
	case "producer-killed":
		if s.Redis != cluster {
			t.Errorf("%s: records and tasks are apart on a cluster only", s.Name)
		}
	}
	if strings.HasPrefix(f.Kind, "connection") && s.Redis != single {
		t.Errorf("%s: only a single server is behind proxies", s.Name)
	}
}

func TestTheSameSeedMakesTheSamePlan(t *testing.T) {
	t.Parallel()
	for _, s := range all(t) {
		text := func(seed uint64) string {
			seed = scenarioSeed(seed, s.Name)
			return fmt.Sprint(newPlan(seed, s.Series, s.length()), newCases(seed, 200))
		}
		if first, second := text(7), text(7); first != second {
			t.Errorf("%s: seed 7 makes two plans", s.Name)
		}
		if text(7) == text(8) {
			t.Errorf("%s: seeds 7 and 8 make one plan", s.Name)
		}
	}
	if scenarioSeed(7, "sentinel") == scenarioSeed(7, "cluster") {
		t.Error("two scenarios have one seed")
	}
}

func TestFaultsOfASeriesBeginInTimeAndDoNotOverlap(t *testing.T) {
	t.Parallel()
	for _, s := range all(t) {
		for seed := range uint64(20) {
			for i, line := range newPlan(seed, s.Series, s.length()) {
				if len(line) == 0 {
					t.Errorf("%s, seed %d: series %d has no fault", s.Name, seed, i)
				}
				end := time.Duration(0)
				for _, step := range line {
					if step.at < end || step.at >= s.length() {
						t.Fatalf("%s, seed %d: %s begins before %s or after %s", s.Name, seed, step, end, s.length())
					}
					end = step.at + step.hold
				}
			}
		}
	}
}

func TestASeriesTakesItsFaultsInTurn(t *testing.T) {
	t.Parallel()
	second := span{1, 1}
	p := newPlan(1, []series{
		{Faults: []faultSpec{{Kind: "a"}, {Kind: "b"}}, First: second, Hold: second, Gap: second},
		{Faults: []faultSpec{{Kind: "c"}}, First: second, Hold: second, Gap: second, Times: 2},
		{Faults: []faultSpec{{Kind: "d"}}, First: second, UntilEnd: true},
	}, 8*time.Second)
	var got []string
	for _, s := range p.Steps() {
		got = append(got, fmt.Sprintf("%s %s %s", s.Kind, s.at, s.hold))
	}
	want := []string{"a 1s 1s", "b 3s 1s", "a 5s 1s", "b 7s 1s", "c 1s 1s", "c 3s 1s", "d 1s 7s"}
	if !slices.Equal(got, want) {
		t.Errorf("plan %q, want %q", got, want)
	}
}

func TestASpanIsDrawnBetweenItsEnds(t *testing.T) {
	t.Parallel()
	list := []series{{Faults: []faultSpec{{}}, First: span{2, 4}, Hold: span{0.1, 0.5}, Times: 1}}
	seen := map[time.Duration]bool{}
	for seed := range uint64(50) {
		s := newPlan(seed, list, time.Minute).Steps()[0]
		if s.at < 2*time.Second || s.at > 4*time.Second || s.hold < time.Second/10 || s.hold > time.Second/2 {
			t.Errorf("seed %d: %s", seed, s)
		}
		seen[s.at] = true
	}
	if len(seen) < 40 {
		t.Errorf("%d times drawn by 50 seeds", len(seen))
	}
}

func TestChooseTakesNamesAndLeavesLongScenariosToLongRuns(t *testing.T) {
	t.Parallel()
	list := all(t)
	short, err := choose(list, nil, false)
	if err != nil || len(short) == 0 || slices.ContainsFunc(short, func(s *scenario) bool { return s.LongOnly }) {
		t.Errorf("the small run: %d scenarios, %v", len(short), err)
	}
	if long, err := choose(list, nil, true); err != nil || len(long) != len(list) {
		t.Errorf("the long run: %d scenarios of %d, %v", len(long), len(list), err)
	}
	named, err := choose(list, []string{"window-passed", "sentinel"}, false)
	if err != nil || len(named) != 2 {
		t.Errorf("two names: %d scenarios, %v", len(named), err)
	}
	if _, err := choose(list, []string{"sentinel", "no-such"}, true); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("a name that does not exist: %v", err)
	}
}

func TestInjectFaultsRepairsWhatItBreaks(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	e := &env{scenario: &scenario{Name: "test"}, show: func(...any) {}, redis: &deployment{proxies: map[string]*proxy{"workers": p}}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- e.injectFaults(ctx, []step{{faultSpec: faultSpec{Kind: "connections-refused"}, hold: time.Hour}}, time.Now())
	}()
	if !until(t.Context(), 10*time.Second, time.Millisecond, func() bool { return exchange(dial()) != nil }) {
		t.Error("nothing is refused")
	}
	cancel() // ends the hold
	must(t, <-done)
	if err := exchange(dial()); err != nil {
		t.Errorf("after the end of the fault: %v", err)
	}
	if len(e.history) != 2 || !strings.Contains(e.history[0], "begin: connections-refused") || !strings.Contains(e.history[1], "end: connections-refused") {
		t.Errorf("history: %q", e.history)
	}
}

func TestInjectFaultsEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := &env{scenario: &scenario{}, show: func(...any) {}}
	if err := e.injectFaults(ctx, []step{{at: time.Hour}}, time.Now()); err == nil {
		t.Error("no error")
	}
}

func TestTheDayTurnsAtTheMomentWanted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"2026-11-25T00:00:00Z", "2026-11-25T07:31:00Z", "2026-11-25T12:00:00Z", "2026-11-25T12:01:00Z", "2026-11-25T23:59:00Z"} {
		at, err := time.Parse(time.RFC3339, text)
		must(t, err)
		for _, most := range []int{0, 12 * 60, 24*60 - 1} {
			zone, err := time.Parse("-07:00", utcOffset(at, most))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			local := at.In(zone.Location())
			_, seconds := local.Zone()
			if local.Hour() != 0 || local.Minute() != 0 || seconds > most*60 || seconds <= (most-24*60)*60 {
				t.Errorf("at %s with offset %s it is %s; the offset is to be at most %d minutes", text, utcOffset(at, most), local, most)
			}
		}
	}
}

// The second midnight of a run is a minute after the first, and the day before it
// is the day after the first.
func TestTheOffsetOfTheSecondMidnightKeepsTheDay(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, 11, 25, 17, 3, 0, 0, time.UTC)
	day := func(at time.Time, offset string) int64 {
		zone, err := time.Parse("-07:00", offset)
		must(t, err)
		_, seconds := zone.Zone()
		return (at.Unix() + int64(seconds)) / (24 * 60 * 60)
	}
	first, second := utcOffset(midnight, 0), utcOffset(midnight.Add(time.Minute), 24*60-1)
	before, between, after := midnight.Add(-time.Second), midnight.Add(30*time.Second), midnight.Add(61*time.Second)
	if day(before, first)+1 != day(between, first) || day(between, first) != day(between, second) || day(between, second)+1 != day(after, second) {
		t.Errorf("days %d, %d; %d, %d", day(before, first), day(between, first), day(between, second), day(after, second))
	}
}
