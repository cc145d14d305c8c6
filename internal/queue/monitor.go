package queue

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// MonitorClient returns a client for asynqmon. asynq's estimate of a queue's memory fails
// when the message of one sampled task is missing, or Redis refuses MEMORY USAGE, and
// asynqmon then shows no queue at all: the estimate is zero then.
func (n *Inspector) MonitorClient() redis.UniversalClient { return monitorClient{n.rdb} }

type monitorClient struct{ redis.UniversalClient }

// EvalSha is what asynq calls first.
func (c monitorClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return orZero(keys, c.UniversalClient.EvalSha(ctx, sha, keys, args...))
}

// Eval is what asynq calls when the server does not know the script.
func (c monitorClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return orZero(keys, c.UniversalClient.Eval(ctx, script, keys, args...))
}

// orZero recognises the estimate by its keys: the six states, then the groups.
func orZero(keys []string, cmd *redis.Cmd) *redis.Cmd {
	var refused redis.Error
	if len(keys) == countedStates+1 && strings.HasSuffix(keys[countedStates], "}:groups") &&
		errors.As(cmd.Err(), &refused) && !redis.HasErrorPrefix(refused, "NOSCRIPT") {
		return redis.NewCmdResult(int64(0), nil)
	}
	return cmd
}
