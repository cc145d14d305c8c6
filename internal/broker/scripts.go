package broker

import (
	"context"
	_ "embed" // the scripts below

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/wake.lua
	wakeSource string
	//go:embed lua/requeue.lua
	requeueSource string
	//go:embed lua/forward.lua
	forwardSource string
	//go:embed lua/giveback.lua
	giveBackSource string
	//go:embed lua/reap.lua
	reapSource string
	//go:embed lua/trim.lua
	trimSource string
	//go:embed lua/orphan.lua
	orphanSource string
	//go:embed lua/delete.lua
	deleteSource string
	//go:embed lua/run.lua
	runSource string
)

// Compiled once and never changed: scripts are constants that the language
// cannot say.
var (
	wakeScript     = redis.NewScript(wakeSource)
	requeueScript  = redis.NewScript(requeueSource)
	forwardScript  = redis.NewScript(forwardSource)
	giveBackScript = redis.NewScript(giveBackSource)
	reapScript     = redis.NewScript(reapSource)
	trimScript     = redis.NewScript(trimSource)
	orphanScript   = redis.NewScript(orphanSource)
	deleteScript   = redis.NewScript(deleteSource)
	runScript      = redis.NewScript(runSource)
)

// firstKey is the place of a script's first key: a cluster is routed by it.
const firstKey = 3

// scriptCommand builds EVALSHA or EVAL for a pipeline.
func scriptCommand(ctx context.Context, verb, script string, keys []string, args []any) *redis.Cmd {
	a := make([]any, 0, 3+len(keys)+len(args))
	a = append(a, verb, script, len(keys))
	for _, k := range keys {
		a = append(a, k)
	}
	cmd := redis.NewCmd(ctx, append(a, args...)...)
	cmd.SetFirstKeyPos(firstKey)
	return cmd
}
