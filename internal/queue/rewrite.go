package queue

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

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

// Rewrite replaces the payloads of the account's tasks by what change returns; nil leaves
// one as it is. left is how many were not replaced, since a worker has the task or it
// has changed: call Rewrite again. All else of a task stays, its place in its queue too.
func (n *Inspector) Rewrite(ctx context.Context, account string, change func(id string, payload []byte) []byte) (written, left int, err error) {
	err = n.eachPart(ctx, account, func(q keys, part []stored) error {
		var calls []redis.Cmder
		for _, t := range part {
			payload, ok := payloadOf(t.message)
			if !ok {
				continue
			}
			if payload = change(t.id, payload); payload != nil {
				calls = append(calls, rewriteScript.Call(ctx, []string{q.tasks + t.id}, t.message, withPayload(t.message, payload)))
			}
		}
		redisx.Exec(ctx, n.rdb, calls...)
		for _, call := range calls {
			reply, err := call.(*redisx.Call).Int()
			switch {
			case err != nil:
				return err //nolint:wrapcheck // wrapped below
			case reply == 1:
				written++
			default:
				left++
			}
		}
		return nil
	})
	if err != nil {
		return written, left, wrap("rewrite", err)
	}
	return written, left, nil
}
