package console

import (
	"errors"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/ratelimit"
)

func TestTheForecastFollowsTheSpeed(t *testing.T) {
	t.Parallel()
	reset := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	noon := reset.Add(-12 * time.Hour)
	state := ratelimit.State{Cap: 100_000, Used: 43_200, ResetsAt: reset}
	for _, row := range []struct {
		explanation string
		samples     []sample
		perSecond   float64
		runsOut     time.Duration // after noon; 0: not before the reset
	}{
		{"no sample", nil, 0, 0},
		{"one sample: the history", []sample{{noon, 43_200}}, 1, 0},
		{"ten minutes at 10 a second", []sample{{noon.Add(-10 * time.Minute), 37_200}, {noon, 43_200}}, 10, 5680 * time.Second},
		{"ten minutes at rest", []sample{{noon.Add(-10 * time.Minute), 43_200}, {noon, 43_200}}, 0, 0},
		{"a minute and a half: the history", []sample{{noon.Add(-90 * time.Second), 40_000}, {noon, 43_200}}, 1, 0},
		{"too short a span: the history", []sample{{noon.Add(-30 * time.Second), 40_000}, {noon, 43_200}}, 1, 0},
	} {
		got := speedOf(row.samples, state, 1)
		if got.perSecond != row.perSecond {
			t.Errorf("%s: %v a second, want %v", row.explanation, got.perSecond, row.perSecond)
		}
		if want := noon.Add(row.runsOut); (row.runsOut == 0 && !got.runsOut.IsZero()) || (row.runsOut != 0 && !got.runsOut.Equal(want)) {
			t.Errorf("%s: runs out at %s, want %s", row.explanation, got.runsOut, want)
		}
	}
}

// A burst is shown as it runs, and no longer when it is over.
func TestTheSpeedOfNowIsThatOfTheLastMinute(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	ago := func(seconds int, used int64) sample {
		return sample{noon.Add(-time.Duration(seconds) * time.Second), used}
	}
	for _, row := range []struct {
		explanation string
		samples     []sample
		now         float64
		known       bool
	}{
		{"no sample", nil, 0, false},
		{"one sample", []sample{ago(0, 100)}, 0, false},
		{"the other sample is too old", []sample{ago(61, 0), ago(0, 100)}, 0, false},
		{"the first two events of a stream", []sample{ago(2, 40), ago(0, 100)}, 30, true},
		{"the burst is over for a minute", []sample{ago(400, 0), ago(100, 2000), ago(50, 2000), ago(0, 2000)}, 0, true},
		{"the last minute alone", []sample{ago(300, 0), ago(60, 100), ago(0, 1300)}, 20, true},
	} {
		got := speedOf(row.samples, ratelimit.State{}, 7)
		if got.now != row.now || got.known != row.known {
			t.Errorf("%s: %v a second, known %v; want %v, %v", row.explanation, got.now, got.known, row.now, row.known)
		}
	}
}

func TestSamplesAreBoundedAndForgottenWithTheirDay(t *testing.T) {
	t.Parallel()
	var samples []sample
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for i := range 10_000 {
		samples = addSample(samples, sample{at.Add(time.Duration(i) * time.Second), int64(i)})
	}
	last := samples[len(samples)-1]
	if len(samples) > 160 || last.used != 9_999 || last.at.Sub(samples[0].at) < 9*time.Minute {
		t.Errorf("%d samples over %s", len(samples), last.at.Sub(samples[0].at))
	}
	if samples = addSample(samples, sample{last.at.Add(time.Second), 0}); len(samples) != 1 {
		t.Errorf("%d samples after the day has turned", len(samples))
	}
}

func TestSealsAreForOneUseAndOneProcess(t *testing.T) {
	t.Parallel()
	one, err := newSealer()
	if err != nil {
		t.Fatal(err)
	}
	other, err := newSealer()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := one.seal("id", "order-1")
	if err != nil {
		t.Fatal(err)
	}
	var id string
	if err := one.open("id", sealed, &id); err != nil || id != "order-1" {
		t.Errorf("%q, %v", id, err)
	}
	for explanation, err := range map[string]error{
		"another use": one.open("query", sealed, &id), "another process": other.open("id", sealed, &id), "no base64": one.open("id", "!", &id),
		"cut": one.open("id", sealed[:len(sealed)-2], &id), "empty": one.open("id", "", &id),
	} {
		if !errors.Is(err, errSealed) {
			t.Errorf("%s: %v", explanation, err)
		}
	}
}
