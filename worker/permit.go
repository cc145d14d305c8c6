package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// ErrNoPermit is what ReplayPermit's function returns while the quota or the
// rate has no call left.
var ErrNoPermit = errors.New("no permit for a replay")

// ReplayPermit returns a function for wechat.Config.BeforeReplay: the replay
// with a new token is one more call of the day's quota, so it takes one more
// permit. It waits at most a second for the permit's moment. A probe's replay
// takes none: a half-open gate has no second permit, and the first call may
// only have found that this process's token is an old one.
func ReplayPermit(gate broker.Gate) func(context.Context) error {
	return func(ctx context.Context) error {
		s, _ := ctx.Value(sendKey{}).(sendInfo)
		if s.probe {
			return nil
		}
		p, err := gate.Take(ctx, s.tier)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoPermit, err)
		}
		if waitUntil(ctx, p.At, time.Second) {
			return nil
		}
		gate.Return(p)
		return ErrNoPermit
	}
}

// takePermit is the second line: the broker takes a permit before it fetches,
// unless asynq's fetch has changed and is not recognised. A process that stood
// still after the fetch takes another one.
func (d *delivery) takePermit(ctx context.Context) error {
	if d.permit != nil {
		if time.Since(d.permit.At) <= stoodStill {
			return nil
		}
		d.giveBack() // its lease is over, and perhaps its day
	}
	p, err := d.gate.Take(ctx, tierOf(d.env.Class))
	if err != nil {
		var closed *ratelimit.ClosedError
		if errors.As(err, &closed) {
			return d.later(jitter(secondLineWait), "the gate is closed: "+string(closed.Reason))
		}
		return &broker.Later{After: jitter(redisWait), Cause: errors.New("no permit: Redis failed")}
	}
	d.permit = &p
	if !waitUntil(ctx, p.At, secondLineWait) {
		return d.later(max(time.Second, time.Until(p.At)), "its turn comes later")
	}
	return nil
}

// giveBack returns the permit of a message that did not reach WeChat.
func (d *delivery) giveBack() {
	if d.permit != nil {
		d.gate.Return(*d.permit)
		d.permit = nil
	}
}

// waitUntil reports whether the moment came, at most limit from now.
func waitUntil(ctx context.Context, at time.Time, limit time.Duration) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return true
	}
	if wait > limit {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tierOf: the reserve is for critical messages alone.
func tierOf(class job.Class) ratelimit.Tier {
	if class == job.Critical {
		return ratelimit.Reserved
	}
	return ratelimit.General
}

type sendKey struct{}

// sendInfo is what ReplayPermit, which the client calls, has to know.
type sendInfo struct {
	tier  ratelimit.Tier
	probe bool
}

func withSendInfo(ctx context.Context, s sendInfo) context.Context {
	return context.WithValue(ctx, sendKey{}, s)
}
