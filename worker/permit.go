package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// ErrNoPermit is the error of a send that may not be replayed: the quota or the rate has
// no call left.
var ErrNoPermit = errors.New("no permit for a replay")

// permitReplay takes one more permit: the replay with a new token is one more call of the
// day's quota. It waits at most a second for the permit's moment. A probe's replay
// takes none: a half-open gate has no second permit, and the first call may
// only have found that this process's token is an old one.
func (d *delivery) permitReplay(ctx context.Context) error {
	if d.probe {
		return nil
	}
	gate := d.gate.Gate
	p, err := gate.Take(ctx, queue.TierOf(d.env.Class))
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

// returnPermit returns the permit of a message that did not reach WeChat.
func (d *delivery) returnPermit() {
	if d.permit != nil {
		d.gate.Return(*d.permit)
		d.permit = nil
	}
}
