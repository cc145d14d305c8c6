package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
)

// Pause is an admin's pause of a class. Its JSON is the value of the key by which asynq
// pauses a queue; other tools write a time there.
type Pause struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"` // for people: no secret, no openid
	Since  time.Time `json:"since"`
}

// Pause stops the fetching of a class in all processes until Resume. A class that
// is paused already, by any tool, stays paused under the new owner and reason.
func (n *Inspector) Pause(ctx context.Context, account string, class job.Class, owner, reason string) error {
	record, err := json.Marshal(Pause{Owner: owner, Reason: reason, Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return wrap("pause", err)
	}
	return wrap("pause", n.rdb.Set(ctx, keysOf(account, class).paused, record, 0).Err())
}

// Resume ends the pause of a class, whichever tool set it. A class that is not
// paused is not an error.
func (n *Inspector) Resume(ctx context.Context, account string, class job.Class) error {
	if err := n.rdb.Del(ctx, keysOf(account, class).paused).Err(); err != nil {
		return wrap("resume", err)
	}
	// Tells idle workers. If the call fails, they find the tasks within a second.
	_ = n.rdb.Publish(ctx, wakeChannel(account), string(class)).Err()
	return nil
}
