package worker

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// suppressFor is how long a recipient is not written to after an answer. 40003
// does not suppress: WeChat gave it for openids that had a receipt the day
// before. A state that may end soon (a follower who returns) is suppressed for a short time.
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
	// tokenPause starts short: a token that another system replaced is usable at once.
	tokenPause = 2 * time.Second
	// breakerPause is before the first probe. Later ones come every 30 s, when the
	// lease of a probe that was not reported ends.
	breakerPause = 5 * time.Second
	// quotaPause: WeChat tolerates one call an hour against a used-up quota.
	quotaPause = time.Hour
	// openidPause follows the alarm about a list of bad openids.
	openidPause = 10 * time.Minute
)

// closeGate closes the account's gate for a call with permit, and reports whether
// it did: of the many calls that fail together only one closes the gate, since
// the permits of the others were booked before that. The error is Redis'.
func (a *account) closeGate(ctx context.Context, h Hold, permit ratelimit.Permit) (bool, error) {
	pause := ratelimit.Pause{Reason: h.Reason, Detail: h.Detail, Probe: !h.Timed, Permit: permit}
	if h.Reason != ratelimit.ReasonMinute { // it ends with the minute of Redis' clock
		pause.Until = time.Now().Add(h.Wait)
		if h.At.After(pause.Until) {
			pause.Until = h.At
		}
	}
	if err := a.gate.Close(ctx, pause); err != nil {
		if errors.Is(err, ratelimit.ErrStale) {
			return false, nil
		}
		return false, err
	}
	a.log.Error("sending is paused", zap.String("reason", string(h.Reason)),
		zap.String("detail", h.Detail), until(pause.Until))
	return true, nil
}
