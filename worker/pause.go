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

// accountWaits is the time between probes while an account problem lasts.
func accountWaits(code wechat.Code) []time.Duration {
	switch code {
	case wechat.CodeIPNotListed: // the IP list of the console takes 5 minutes to act
		return []time.Duration{5 * time.Minute}
	case 89501, 89503: // an admin has to confirm
		return []time.Duration{10 * time.Minute}
	case 89507: // an admin refused: again after an hour
		return []time.Duration{time.Hour}
	case 89506: // an admin refused: again after a day
		return []time.Duration{24 * time.Hour}
	default:
		return []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
	}
}

// tokenWaits starts short: a token that another system replaced is back at once.
func tokenWaits() []time.Duration {
	return []time.Duration{2 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute}
}

func breakerWaits() []time.Duration {
	return []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute}
}

// probeWaits follow a probe that failed for another reason than its pause.
func probeWaits(reason ratelimit.Reason) []time.Duration {
	switch reason {
	case ratelimit.ReasonBreaker:
		return breakerWaits()
	case ratelimit.ReasonToken:
		return tokenWaits()
	default:
		return accountWaits(0)
	}
}

// pauser closes the account's gate, once for the many sends that fail together
// and for longer each time that a probe fails too.
type pauser struct {
	gate Gate
	log  *zap.Logger

	mu    sync.Mutex
	rungs map[ratelimit.Reason]*rung
}

// rung is how far the waits of one reason have grown.
type rung struct {
	step  int
	until time.Time
}

func newPauser(gate Gate, log *zap.Logger) *pauser {
	return &pauser{gate: gate, log: log, rungs: make(map[ratelimit.Reason]*rung)}
}

// close reports whether the gate is closed; it is not when Redis fails.
func (p *pauser) close(ctx context.Context, h Hold) bool {
	now := time.Now()
	until, first := p.climb(h, now)
	if !first {
		return true
	}
	if h.Reason == ratelimit.ReasonRefused {
		until = p.notPastReset(ctx, until)
	}
	err := p.gate.Close(ctx, ratelimit.Pause{Reason: h.Reason, Detail: h.Detail, Until: until, Probe: !h.Timed})
	if err != nil {
		p.forget(h.Reason)
		p.log.Warn("cannot close the gate: Redis fails", zap.String("reason", string(h.Reason)), zap.Error(err))
		return false
	}
	p.log.Error("sending is paused", zap.String("reason", string(h.Reason)),
		zap.String("detail", h.Detail), zap.Time("until", until))
	return true
}

// climb returns until when, and whether the gate is to be closed: not when this
// process did so already for the same spell.
func (p *pauser) climb(h Hold, now time.Time) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rungs[h.Reason]
	if r == nil {
		r = &rung{}
		p.rungs[h.Reason] = r
	}
	if now.Before(r.until) {
		return r.until, false
	}
	r.until = now.Add(jitterLittle(step(h.Waits, r.step)))
	if h.Reason == ratelimit.ReasonMinute {
		r.until = now.Truncate(time.Minute).Add(jitterLittle(time.Minute))
	}
	if h.At.After(r.until) {
		r.until = h.At
	}
	r.step++
	return r.until, true
}

// notPastReset probes soon after the quota's day turns, since WeChat's count
// starts again then.
func (p *pauser) notPastReset(ctx context.Context, until time.Time) time.Time {
	state, err := p.gate.State(ctx)
	if err != nil || state.ResetsAt.IsZero() || !state.ResetsAt.After(time.Now()) {
		return until
	}
	if reset := state.ResetsAt.Add(jitter(10 * time.Second)); reset.Before(until) {
		return reset
	}
	return until
}

// forget lets the next failure close the gate at once.
func (p *pauser) forget(reason ratelimit.Reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rungs, reason)
}

// recovered starts the waits anew for each reason whose time has passed. An
// answer to a send from before the pause proves nothing.
func (p *pauser) recovered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for reason, r := range p.rungs {
		if !now.Before(r.until) {
			delete(p.rungs, reason)
		}
	}
}
