package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
)

// Pause is an admin's pause of a class. asynq's own record of a pause is its time.
type Pause struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"` // for people: no secret, no openid
	Since  time.Time `json:"since"`
}

// parsePause returns nil unless record describes the pause that began at the Unix
// second at: another tool leaves no record, or the record of an earlier pause.
func parsePause(record string, at int64) *Pause {
	var p Pause
	if json.Unmarshal([]byte(record), &p) != nil || p.Since.Unix() != at {
		return nil
	}
	return &p
}

// Pause stops the fetching of a class in all processes until Resume. A class that
// is paused already, by any tool, stays paused under the new owner and reason.
func (n *Inspector) Pause(ctx context.Context, account string, class job.Class, owner, reason string) error {
	now := time.Now().UTC().Truncate(time.Second)
	record, err := json.Marshal(Pause{Owner: owner, Reason: reason, Since: now})
	if err != nil {
		return wrap("pause", err)
	}
	// The two keys are in different cluster slots. The record goes first: without
	// asynq's key it has no effect.
	if err := n.rdb.Set(ctx, pauseKey(account, class), record, 0).Err(); err != nil {
		return wrap("pause", err)
	}
	q := keysOf(account, class)
	return wrap("pause", n.rdb.Set(ctx, q.paused, now.Unix(), 0).Err())
}

// Resume ends the pause of a class, whichever tool set it. A class that is not
// paused is not an error.
func (n *Inspector) Resume(ctx context.Context, account string, class job.Class) error {
	q := keysOf(account, class)
	if err := n.rdb.Del(ctx, q.paused).Err(); err != nil {
		return wrap("resume", err)
	}
	if err := n.rdb.Del(ctx, pauseKey(account, class)).Err(); err != nil {
		return wrap("resume", err)
	}
	n.wake(ctx, account, class)
	return nil
}
