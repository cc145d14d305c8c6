package broker

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
)

// ParseQueue is the inverse of Queue; ok is false for a queue that is not ours.
func ParseQueue(queue string) (account string, class job.Class, ok bool) {
	account, name, found := strings.Cut(queue, ":")
	if !found || account == "" || name == "" {
		return "", "", false
	}
	class, err := job.ParseClass(name)
	return account, class, err == nil
}

// NoteHold records that an admin is about to pause a class with another tool,
// which sets asynq's pause itself. Until it does, the record changes nothing.
func (n *Inspector) NoteHold(ctx context.Context, account string, class job.Class, p Pause) error {
	p.Manual, p.Until, p.Since = true, time.Time{}, time.Now().UTC().Truncate(time.Second)
	record, err := json.Marshal(p)
	if err != nil {
		return wrap("pause", err)
	}
	return wrap("pause", n.rdb.Set(ctx, pauseKey(account, class), record, 0).Err())
}

// NoteOpen forgets the record of a pause that an admin is about to lift with
// another tool, and wakes the fetchers.
func (n *Inspector) NoteOpen(ctx context.Context, account string, class job.Class) error {
	if err := n.rdb.Del(ctx, pauseKey(account, class)).Err(); err != nil {
		return wrap("unpause", err)
	}
	n.wake(ctx, account, class)
	return nil
}
