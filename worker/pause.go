package worker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// suppressFor is how long a recipient is not written to after an answer. 40003
// does not suppress: WeChat gave it for openids that had a receipt the day
// before. What comes back by itself (a follower who returns) is short.
func suppressFor(code wechat.Code) time.Duration {
	const day = 24 * time.Hour
	switch code {
	case wechat.CodeNotFollower, 50005: // not a follower; flaps for real followers are reported
		return day
	case 48002: // muted the account
		return 7 * day
	case 43019, 46004: // in the account's blacklist; gone
		return 30 * day
	default:
		return 0
	}
}

// accountWait is the time until a probe while an account problem lasts. The gate
// doubles it with each probe that fails, up to ten minutes.
func accountWait(code wechat.Code) time.Duration {
	switch code {
	case wechat.CodeIPNotListed: // the IP list of the console takes 5 minutes to act
		return 5 * time.Minute
	case 89501, 89503: // an admin has to confirm
		return 10 * time.Minute
	case 89507: // an admin refused: again after an hour
		return time.Hour
	case 89506: // an admin refused: again after a day
		return 24 * time.Hour
	default:
		return time.Minute
	}
}

const (
	// tokenPause starts short: a token that another system replaced is back at once.
	tokenPause = 2 * time.Second
	// breakerPause is before the first probe; later ones come every 30 s, since
	// a probe that nobody reports on is followed by another then.
	breakerPause = 5 * time.Second
	// quotaPause: WeChat tolerates a call an hour against a used-up quota.
	quotaPause = time.Hour
	// stragglers is how long after a closure sends still begin: a permit granted
	// before it is good for a second.
	stragglers = 1500 * time.Millisecond
	// openidPause follows the alarm about a list of bad openids.
	openidPause = 10 * time.Minute
)

// pauser closes the account's gate, once for the many sends that fail together.
type pauser struct {
	gate Gate
	log  *zap.Logger

	mu     sync.Mutex
	closed map[ratelimit.Reason]time.Time // when, for the last time
}

func newPauser(gate Gate, log *zap.Logger) *pauser {
	return &pauser{gate: gate, log: log, closed: make(map[ratelimit.Reason]time.Time)}
}

// close closes the gate for a send that began at sent, and reports whether it
// did: not when the send is a straggler from before the gate was closed for the
// same reason. The error is Redis'.
func (p *pauser) close(ctx context.Context, h Hold, sent time.Time) (bool, error) {
	before, first := p.enter(h.Reason, sent)
	if !first {
		return false, nil
	}
	pause := ratelimit.Pause{Reason: h.Reason, Detail: h.Detail, Until: p.until(ctx, h), Probe: !h.Timed}
	if err := p.gate.Close(ctx, pause); err != nil {
		p.forget(h.Reason, before)
		return false, err
	}
	p.log.Error("sending is paused", zap.String("reason", string(h.Reason)),
		zap.String("detail", h.Detail), zap.Time("until", pause.Until))
	return true, nil
}

// until leaves to the gate what follows Redis' clock: the next minute, and the
// next day when that comes before the next hour.
func (p *pauser) until(ctx context.Context, h Hold) time.Time {
	now := time.Now()
	if h.Reason == ratelimit.ReasonMinute {
		return time.Time{}
	}
	until := now.Add(h.Wait)
	if h.At.After(until) {
		until = h.At
	}
	if h.Reason != ratelimit.ReasonRefused {
		return until
	}
	if state, err := p.gate.State(ctx); err == nil && state.ResetsAt.After(now) && state.ResetsAt.Before(until) {
		return time.Time{}
	}
	return until
}

func (p *pauser) enter(reason ratelimit.Reason, sent time.Time) (before time.Time, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.closed[reason]
	if known && !sent.After(before.Add(stragglers)) {
		return before, false
	}
	p.closed[reason] = time.Now()
	return before, true
}

// forget lets the next failure try again.
func (p *pauser) forget(reason ratelimit.Reason, before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed[reason] = before
}
