package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// ErrHeld is returned by Pause and Unpause for a class that an admin paused:
// only ManualOpen opens it.
var ErrHeld = errors.New("queue: an admin paused this queue: open it by hand")

// Pause says who paused a class, why and until when. asynq's own pause knows
// none of it.
type Pause struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`         // for people: no secret, no openid
	Until  time.Time `json:"until,omitzero"` // zero: until somebody opens it
	Since  time.Time `json:"since"`
	Manual bool      `json:"manual,omitempty"` // an admin's: never opened by the program
}

func parsePause(text string) (*Pause, error) {
	var p Pause
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("queue: pause record: %w", err)
	}
	return &p, nil
}

// Pause makes a class's closure visible where asynq's consoles look, and stops
// fetching in all processes. The watchdog opens it when Until has passed. What
// an admin paused stays the admin's: the error is then ErrHeld.
func (n *Inspector) Pause(ctx context.Context, account string, class job.Class, p Pause) error {
	held, err := n.held(ctx, account, class)
	if err != nil {
		return err
	}
	if held {
		return ErrHeld
	}
	p.Manual = false
	return n.pause(ctx, account, class, p)
}

// Unpause opens what Pause closed. The error is ErrHeld for an admin's pause; a
// class that is not paused is no error.
func (n *Inspector) Unpause(ctx context.Context, account string, class job.Class) error {
	held, err := n.held(ctx, account, class)
	if err != nil {
		return err
	}
	if held {
		return ErrHeld
	}
	return n.open(ctx, account, class)
}

// ManualHold pauses a class for an admin, over a pause of the program's too.
// Call it as well when an admin paused with another tool, so that it is known.
func (n *Inspector) ManualHold(ctx context.Context, account string, class job.Class, p Pause) error {
	p.Manual, p.Until = true, time.Time{}
	return n.pause(ctx, account, class, p)
}

// ManualOpen opens a class, whoever paused it.
func (n *Inspector) ManualOpen(ctx context.Context, account string, class job.Class) error {
	return n.open(ctx, account, class)
}

// held reports a pause that is not the program's: an admin's, or one that
// somebody made without a record.
func (n *Inspector) held(ctx context.Context, account string, class job.Class) (bool, error) {
	p, paused, err := n.pauseOf(ctx, account, class)
	return paused && (p == nil || p.Manual), err
}

func (n *Inspector) pauseOf(ctx context.Context, account string, class job.Class) (*Pause, bool, error) {
	q := keysOf(account, class)
	pipe := n.rdb.Pipeline()
	since := pipe.Get(ctx, q.paused)
	record := pipe.Get(ctx, pauseKey(account, class))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, wrap("pause", err)
	}
	p, err := parsePause(record.Val())
	if err != nil || since.Val() != strconv.FormatInt(p.Since.Unix(), 10) {
		p = nil // no record of this pause: then it is an admin's
	}
	return p, since.Err() == nil, nil
}

// pause writes the record first: a crash in between leaves a record without a
// pause, which nobody takes for one.
func (n *Inspector) pause(ctx context.Context, account string, class job.Class, p Pause) error {
	p.Since = time.Now().UTC().Truncate(time.Second)
	record, err := json.Marshal(p)
	if err != nil {
		return wrap("pause", err)
	}
	if err := n.rdb.Set(ctx, pauseKey(account, class), record, 0).Err(); err != nil {
		return wrap("pause", err)
	}
	q := keysOf(account, class)
	return wrap("pause", n.rdb.Set(ctx, q.paused, p.Since.Unix(), 0).Err())
}

// open lifts the pause before its record, so that a crash in between leaves no
// pause that looks like an admin's.
func (n *Inspector) open(ctx context.Context, account string, class job.Class) error {
	q := keysOf(account, class)
	if err := n.rdb.Del(ctx, q.paused).Err(); err != nil {
		return wrap("unpause", err)
	}
	if err := n.rdb.Del(ctx, pauseKey(account, class)).Err(); err != nil {
		return wrap("unpause", err)
	}
	n.wake(ctx, account, class)
	return nil
}

// openDue opens a pause of the program's whose hour has come.
func (n *Inspector) openDue(ctx context.Context, account string, class job.Class) (bool, error) {
	p, paused, err := n.pauseOf(ctx, account, class)
	if err != nil || !paused || p == nil || p.Manual || p.Until.IsZero() || time.Now().Before(p.Until) {
		return false, err
	}
	return true, n.open(ctx, account, class)
}
