package broker

import "github.com/hibiken/asynq"

// Dead archives the task: asynq's consoles list it, and an admin may run it
// again. The record in the ledger is what counts.
type Dead struct {
	Cause string // stored by asynq: no secret, no openid
}

// Error is the cause alone; the text of asynq.SkipRetry would be shown to people.
func (d *Dead) Error() string { return d.Cause }

// Is says yes to asynq.SkipRetry, by which asynq archives at once.
func (d *Dead) Is(target error) bool { return target == asynq.SkipRetry }
