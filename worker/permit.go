package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/queue"
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
		tier := ratelimit.General
		if d, ok := ctx.Value(sendKey{}).(*delivery); ok {
			if d.probe {
				return nil
			}
			tier = queue.TierOf(d.env.Class)
		}
		p, err := gate.Take(ctx, tier)
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

// sendKey is the context's key of the *delivery that is being sent, for ReplayPermit,
// which the client calls.
type sendKey struct{}
