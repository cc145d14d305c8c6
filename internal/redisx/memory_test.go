package redisx_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// told answers INFO in a server's place.
type told struct {
	asked int
	info  string
	err   error
}

func (*told) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*told) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (i *told) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		answer, ok := cmd.(*redis.StringCmd)
		if !ok || cmd.Name() != "info" {
			return next(ctx, cmd)
		}
		i.asked++
		answer.SetVal(i.info)
		answer.SetErr(i.err)
		return i.err
	}
}

func TestMemoryGuard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info   string
		err    error
		full   bool
		atOnce int // questions for 64 messages of 1 KB
	}{
		"room for few":         {info: "used_memory:700000\r\nmaxmemory:1000000\r\n", atOnce: 3},
		"no limit":             {info: "used_memory:700000\r\nmaxmemory:0\r\n", atOnce: 1},
		"full":                 {info: "used_memory:750000\r\nmaxmemory:1000000\r\n", full: true, atOnce: 1},
		"the user may not ask": {err: errors.New("NOPERM"), atOnce: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				server := &told{info: c.info, err: c.err}
				rdb.AddHook(server)
				g := redisx.NewMemoryGuard(rdb)
				for range 64 {
					if err := g.Allow(t.Context(), 1, 0); errors.Is(err, redisx.ErrFull) != c.full {
						t.Fatal(err)
					}
				}
				if server.asked != c.atOnce {
					t.Errorf("asked %d times at once, want %d", server.asked, c.atOnce)
				}
				time.Sleep(time.Second + 1) // virtual
				_ = g.Allow(t.Context(), 1, 0)
				if asked := server.asked - c.atOnce; asked != 1 {
					t.Errorf("asked %d times a second later, want once", asked)
				}
			})
		})
	}
}
