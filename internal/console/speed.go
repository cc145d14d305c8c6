package console

import (
	"time"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// sample is the count of the day's calls at one moment.
type sample struct {
	at   time.Time
	used int64
}

const (
	// sampleEvery bounds the samples that are kept, to some 150.
	sampleEvery = 5 * time.Second
	// minSpan is the least time that samples must span for a forecast. Until then the
	// history tells the speed: a burst of a minute says nothing of the day.
	minSpan = speedWindow / 2
	// nowSpan is how far back the speed of this moment is measured.
	nowSpan = time.Minute
)

// addSample forgets samples that are older than speedWindow, and all when the count has
// gone down: a new day has begun, or it was corrected.
func addSample(samples []sample, s sample) []sample {
	if n := len(samples); n > 0 && samples[n-1].used > s.used {
		samples = nil
	} else if n > 1 && s.at.Sub(samples[n-2].at) < sampleEvery {
		samples = samples[:n-1]
	}
	for len(samples) > 0 && s.at.Sub(samples[0].at) > speedWindow {
		samples = samples[1:]
	}
	return append(samples, s)
}

// speed is how fast the quota is used.
type speed struct {
	now       float64   // a second over nowSpan
	known     bool      // two samples within nowSpan tell now
	perSecond float64   // over up to speedWindow, for the forecast
	runsOut   time.Time // zero: not before the reset
}

// speedOf measures over the samples. The forecast uses recent while they span less than
// minSpan: attempts a second as the history has them.
func speedOf(samples []sample, s ratelimit.State, recent float64) speed {
	if len(samples) == 0 {
		return speed{}
	}
	last := samples[len(samples)-1]
	first := samples[0]
	out := speed{perSecond: recent}
	for _, s := range samples {
		if span := last.at.Sub(s.at); span <= nowSpan {
			if out.known = span >= time.Second; out.known {
				out.now = float64(last.used-s.used) / span.Seconds()
			}
			break
		}
	}
	if span := last.at.Sub(first.at); span >= minSpan {
		out.perSecond = float64(last.used-first.used) / span.Seconds()
	}
	if left := s.Cap - s.Used; !s.ResetsAt.IsZero() && s.Cap > 0 && left > 0 && out.perSecond > 0 {
		seconds := float64(left) / out.perSecond
		if untilReset := s.ResetsAt.Sub(last.at).Seconds(); seconds < untilReset {
			out.runsOut = last.at.Add(time.Duration(seconds * float64(time.Second)))
		}
	}
	return out
}
