package broker

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// capture is the client that asynq's Client enqueues with: it keeps the script
// call for a pipeline and answers "done" at once. Scripts, keys and arguments
// are asynq's own and pass as they are. Safe for concurrent use: each call
// brings in its context where its command goes.
type capture struct {
	redis.UniversalClient
	scripts *sync.Map // text by SHA
	done    *redis.Cmd
}

type caught struct{ cmd *redis.Cmd }

type caughtKey struct{}

func newCapture(rdb redis.UniversalClient, scripts *sync.Map) *capture {
	c := &capture{UniversalClient: rdb, scripts: scripts, done: &redis.Cmd{}} // never sent: it needs no context
	c.done.SetVal(int64(1))
	return c
}

// EvalSha keeps the call, once the script's text is known: the server may not
// have the script, and the pipeline then has to teach it.
func (c *capture) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	to, _ := ctx.Value(caughtKey{}).(*caught)
	if to == nil {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	if _, known := c.scripts.Load(sha); !known {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(noScript{}) // asynq now calls Eval, which brings the text
		return cmd
	}
	to.cmd = scriptCommand(ctx, "evalsha", sha, keys, args)
	return c.done
}

// Eval learns the text of a script and keeps the call.
func (c *capture) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	to, _ := ctx.Value(caughtKey{}).(*caught)
	if to == nil {
		return c.UniversalClient.Eval(ctx, script, keys, args...)
	}
	sha := redis.NewScript(script).Hash()
	c.scripts.Store(sha, script)
	to.cmd = scriptCommand(ctx, "evalsha", sha, keys, args)
	return c.done
}

// noScript is what a server says that does not know a script.
type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT the text is not known yet" }

// RedisError marks it as a server's answer.
func (noScript) RedisError() {}
