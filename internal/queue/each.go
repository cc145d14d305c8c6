package queue

import (
	"context"
	"errors"
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

// rewriteScript: KEYS[1] the task. ARGV: its message as it was read, and the new one.
// Returns 1: written; 0: it has ended or changed since; 2: a worker has it, which would
// write the earlier message back.
var rewriteScript = redisx.NewScript(`
local now = redis.call('HMGET', KEYS[1], 'state', 'msg')
if now[1] == 'active' then
  return 2
end
if now[2] ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'msg', ARGV[2])
return 1`)

// Each calls do for every task of the account that can be read, in any state, also those
// that another tool archived or whose record is gone. A payload that do returns replaces
// that of the task, which keeps its place in its queue; nil leaves it as it is. written is
// how many were replaced. left is how many were not, since a worker has the task or it has
// changed: call Each again.
func (n *Inspector) Each(ctx context.Context, account string, do func(t Ref, payload []byte) []byte) (written, left int, err error) {
	const batch = 256
	for _, q := range allKeysOf(account) {
		node, err := redisx.Node(ctx, n.rdb, q.tasks)
		if err != nil {
			return written, left, wrap("read the tasks", err)
		}
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			var tasks []string
			if tasks, cursor, err = node.Scan(ctx, cursor, q.tasks+"*", batch).Result(); err != nil {
				return written, left, wrap("read the tasks", err)
			}
			w, l, err := n.some(ctx, q, tasks, do)
			written, left = written+w, left+l
			if err != nil {
				return written, left, wrap("read the tasks", err)
			}
		}
	}
	return written, left, nil
}

func (n *Inspector) some(ctx context.Context, q keys, tasks []string, do func(t Ref, payload []byte) []byte) (written, left int, err error) {
	reads := make([]redis.Cmder, len(tasks))
	for i, task := range tasks {
		reads[i] = redis.NewStringCmd(ctx, "hget", task, "msg")
	}
	redisx.Exec(ctx, n.rdb, reads...)
	var writes []redis.Cmder
	for i, task := range tasks {
		message, err := reads[i].(*redis.StringCmd).Bytes()
		if err != nil && !errors.Is(err, redis.Nil) { // a task may end between the two
			return 0, 0, err //nolint:wrapcheck // wrapped by Each
		}
		if payload, ok := payloadOf(message); ok {
			if payload = do(Ref{strings.TrimPrefix(task, q.tasks), q.class}, payload); payload != nil {
				writes = append(writes, rewriteScript.Call(ctx, []string{task}, message, withPayload(message, payload)))
			}
		}
	}
	redisx.Exec(ctx, n.rdb, writes...)
	for _, call := range writes {
		reply, err := call.(*redisx.Call).Int()
		switch {
		case err != nil:
			return written, left, err //nolint:wrapcheck // wrapped by Each
		case reply == 1:
			written++
		default:
			left++
		}
	}
	return written, left, nil
}
