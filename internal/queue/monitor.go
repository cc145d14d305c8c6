package queue

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// MonitorClient returns a client for asynqmon. It computes asynq's estimate of a
// queue's memory itself, because asynq's script fails when the data of one
// sampled task is missing or Redis refuses MEMORY USAGE, and asynqmon then shows
// no queue at all. That script also reads every group of the queue.
func (n *Inspector) MonitorClient() redis.UniversalClient {
	return &monitorClient{UniversalClient: n.rdb, inspector: n}
}

type monitorClient struct {
	redis.UniversalClient
	inspector *Inspector
}

// EvalSha implements redis.Scripter. asynq's estimate is recognised by its keys:
// the six states, then the groups.
func (c *monitorClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	const estimateKeys = 7
	if len(keys) == estimateKeys {
		queue, _ := strings.CutSuffix(strings.TrimPrefix(keys[estimateKeys-1], "asynq:{"), "}:groups")
		if keys[estimateKeys-1] == asynqKey(queue, "groups") {
			state := c.inspector.read(ctx, []string{queue})[0]
			return redis.NewCmdResult(state.Memory, state.Err)
		}
	}
	return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
}
