package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Twice has rdb run the next command twice that begins with name, in lower case, and has
// part in an argument: go-redis repeats a command when its answer is lost. "eval" is a
// script. The returned function reports whether it did.
func Twice(rdb *redis.Client, name, part string) (repeated func() bool) {
	h := &twice{name: name, part: part}
	rdb.AddHook(h)
	return h.done.Load
}

type twice struct {
	name, part string
	done       atomic.Bool
}

// DialHook is go-redis'.
func (*twice) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook leaves pipelines alone.
func (*twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook repeats a command that Redis has run.
func (h *twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && !errors.Is(err, redis.Nil) || !h.is(cmd) || h.done.Swap(true) {
			return err
		}
		cmd.SetErr(nil)
		err = next(ctx, cmd)
		cmd.SetErr(err)
		return err
	}
}

func (h *twice) is(cmd redis.Cmder) bool {
	if !strings.HasPrefix(strings.ToLower(cmd.Name()), h.name) {
		return false
	}
	for _, arg := range cmd.Args() {
		if key, ok := arg.(*string); ok {
			arg = *key
		}
		if strings.Contains(fmt.Sprint(arg), h.part) {
			return true
		}
	}
	return false
}
