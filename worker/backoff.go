package worker

import (
	"math/rand/v2"
	"time"
)

// Policy is how much is tried for one message. The zero value is the default.
type Policy struct {
	// Backoff is the wait before each retry, so a message gets one attempt more
	// than there are waits. A random share of up to a half is added to each.
	// While it is not known whether WeChat has the message, a few later ones
	// follow until ReplayWindow closes. Default: 1, 2, 4, 8 and 16 s.
	Backoff []time.Duration
	// ReplayWindow is how long after an attempt of unknown outcome the message
	// may be sent again: WeChat drops a second message of the same
	// client_msg_id for ten minutes. Default 8 min, at most 10 min.
	ReplayWindow time.Duration
	// SendTimeout bounds one attempt, the token and its replay included. Attempts that
	// begin together share a timer, so one may end up to a tenth sooner. It is shorter
	// than the task's timeout. Default 10 s.
	SendTimeout time.Duration
}

const (
	replayWindow    = 8 * time.Minute
	maxReplayWindow = 10 * time.Minute
	sendTimeout     = 10 * time.Second
)

func (p Policy) withDefaults() Policy {
	if p.Backoff == nil {
		p.Backoff = backoff()
	}
	if p.ReplayWindow == 0 {
		p.ReplayWindow = replayWindow
	}
	if p.SendTimeout == 0 {
		p.SendTimeout = sendTimeout
	}
	return p
}

// backoff stays far inside the replay window, even when each wait gets its
// largest random share (46.5 s in all) and each attempt its whole timeout.
func backoff() []time.Duration {
	return []time.Duration{
		1 * time.Second,  // elapsed:  1 s
		2 * time.Second,  //           3 s
		4 * time.Second,  //           7 s
		8 * time.Second,  //          15 s
		16 * time.Second, //          31 s
	}
}

// frequencyBackoff is for a recipient who was written to too often (43117):
// WeChat does not say how long that lasts, reports say hours.
func frequencyBackoff() []time.Duration {
	return []time.Duration{
		1 * time.Hour,  // elapsed:  1 h
		2 * time.Hour,  //           3 h
		4 * time.Hour,  //           7 h
		8 * time.Hour,  //          15 h
		16 * time.Hour, //          31 h
	}
}

const (
	// unknownRetries is for an errcode outside the table, which may be anything.
	unknownRetries = 2
	// templateWait outlasts the flaps in which WeChat refuses valid templates.
	templateWait = time.Minute
	// replayWait follows backoff while the outcome of an attempt stays unknown:
	// some ten more replays fit into the window.
	replayWait = 30 * time.Second
	// overtimeReplays bounds those of a message that may be sent beyond it.
	overtimeReplays = 24
	// lastReplay is the shortest wait worth another replay at the window's end.
	lastReplay = 20 * time.Second
	// sameContentWait outlasts the minute in which WeChat refuses the same content.
	sameContentWait = 61 * time.Second
	// unreachableWait is between tries to connect. They are no attempts: WeChat
	// never saw them, and the breaker closes the gate when they go on.
	unreachableWait = 5 * time.Second
	// tokenWait follows a token that was refused twice: the next one is there soon.
	tokenWait = time.Second
)

// jitter adds up to a half, so that what failed together does not come back
// together.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(d/2+1)
}

// jitterLittle adds up to a twentieth: processes do not probe in step, and
// people still recognise the hour.
func jitterLittle(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(d/20+1)
}

// step is the wait at position n, the last one for all beyond it.
func step(waits []time.Duration, n int) time.Duration {
	if len(waits) == 0 {
		return 0
	}
	return waits[max(0, min(n, len(waits)-1))]
}
