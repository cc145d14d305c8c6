package queue

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// Ref names a task.
type Ref struct {
	ID    string
	Class job.Class
}

// Search reads every task of the account, in any state, also those that another tool
// archived or whose record is gone, and returns those whose payload matches. A task
// that cannot be read does not match.
func (n *Inspector) Search(ctx context.Context, account string, matches func(id string, payload []byte) bool) ([]Ref, error) {
	var found []Ref
	err := n.eachPart(ctx, account, func(q keys, part []stored) error {
		for _, t := range part {
			if payload, ok := payloadOf(t.message); ok && matches(t.id, payload) {
				found = append(found, Ref{ID: t.id, Class: q.class})
			}
		}
		return nil
	})
	if err != nil {
		return found, wrap("search", err)
	}
	return found, nil
}

// stored is a task as asynq stores it.
type stored struct {
	id      string
	message []byte // asynq's TaskMessage
}

// eachPart calls do for all tasks of the account, some of one queue at a time.
func (n *Inspector) eachPart(ctx context.Context, account string, do func(q keys, part []stored) error) error {
	const batch = 256
	for _, q := range allKeysOf(account) {
		node, err := redisx.Node(ctx, n.rdb, q.tasks)
		if err != nil {
			return err
		}
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			var names []string
			if names, cursor, err = node.Scan(ctx, cursor, q.tasks+"*", batch).Result(); err != nil {
				return err //nolint:wrapcheck // as above
			}
			messages := make([]*redis.StringCmd, len(names))
			pipe := n.rdb.Pipeline()
			for i, name := range names {
				messages[i] = pipe.HGet(ctx, name, "msg")
			}
			if _, err := pipe.Exec(ctx); err != nil && !allMissing(messages) {
				return err //nolint:wrapcheck // as above
			}
			part := make([]stored, len(names))
			for i, name := range names {
				part[i] = stored{strings.TrimPrefix(name, q.tasks), []byte(messages[i].Val())}
			}
			if err := do(q, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// allMissing reports whether the commands failed for no other reason than that there
// was nothing to read: a task may end between SCAN and HGET.
func allMissing(cmds []*redis.StringCmd) bool {
	return !slices.ContainsFunc(cmds, func(c *redis.StringCmd) bool { return c.Err() != nil && !errors.Is(c.Err(), redis.Nil) })
}
