package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
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
func ReplayPermit(gate Gate) func(context.Context) error {
	return func(ctx context.Context) error {
		s, _ := ctx.Value(sendKey{}).(sendInfo)
		if s.probe {
			return nil
		}
		p, err := gate.Take(ctx, s.tier)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoPermit, err)
		}
		wait := time.Until(p.At)
		if wait <= 0 || wait <= time.Second && redisx.Sleep(ctx, wait) == nil {
			return nil
		}
		gate.Return(p)
		return ErrNoPermit
	}
}

// returnPermit returns the permit of a message that did not reach WeChat.
func (d *delivery) returnPermit() {
	if d.permit != nil {
		d.gate.Return(*d.permit)
		d.permit = nil
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
