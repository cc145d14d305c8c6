package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// always makes the same fault.
func always(f fault) func(*rand.Rand) fault { return func(*rand.Rand) fault { return f } }

// redisRestarted is an orderly restart.
type redisRestarted struct{}

func (redisRestarted) String() string { return "restart Redis in good order" }

func (redisRestarted) begin(_ context.Context, s *stage) error { return s.redis.nodes[0].shut() }

func (redisRestarted) end(ctx context.Context, s *stage) error { return s.redis.nodes[0].start(ctx) }

// redisKilled is SIGKILL; it comes back with its append-only file.
type redisKilled struct{}

func (redisKilled) String() string { return "SIGKILL Redis, then start it on its append-only file" }

func (redisKilled) begin(_ context.Context, s *stage) error {
	s.redis.nodes[0].kill()
	return nil
}

func (redisKilled) end(ctx context.Context, s *stage) error { return s.redis.nodes[0].start(ctx) }

// redisStopped stands still with all connections open.
type redisStopped struct{}

func (redisStopped) String() string { return "SIGSTOP Redis, then SIGCONT" }

func (redisStopped) begin(_ context.Context, s *stage) error {
	return s.redis.nodes[0].signal(syscall.SIGSTOP)
}

func (redisStopped) end(_ context.Context, s *stage) error {
	return s.redis.nodes[0].signal(syscall.SIGCONT)
}

// redisCut ends all connections once, at whatever they are doing.
type redisCut struct{}

func (redisCut) String() string { return "cut every connection to Redis" }

func (redisCut) begin(_ context.Context, s *stage) error {
	s.redis.proxy.cutAll()
	return nil
}

func (redisCut) end(context.Context, *stage) error { return nil }

// redisTorn ends connections at a share of what they carry: before a command,
// in the middle of one, after it ran and before its reply, in the middle of that.
type redisTorn struct{ share float64 }

func (f redisTorn) String() string {
	return fmt.Sprintf("tear connections to Redis at %.1f %% of the pieces, mid-command too", 100*f.share)
}

func (f redisTorn) begin(_ context.Context, s *stage) error {
	s.redis.proxy.tear(f.share)
	return nil
}

func (f redisTorn) end(_ context.Context, s *stage) error {
	s.redis.proxy.pass()
	return nil
}

// redisAway is a network without a way to Redis.
type redisAway struct{ silent bool }

func (f redisAway) String() string {
	if f.silent {
		return "no byte passes to or from Redis, connections stay open"
	}
	return "Redis refuses every connection"
}

func (f redisAway) begin(_ context.Context, s *stage) error {
	if f.silent {
		s.redis.proxy.hold()
	} else {
		s.redis.proxy.refuse()
	}
	return nil
}

func (f redisAway) end(_ context.Context, s *stage) error {
	s.redis.proxy.pass()
	return nil
}

// scriptsForgotten is what a new primary does: it knows no script.
type scriptsForgotten struct{}

func (scriptsForgotten) String() string { return "SCRIPT FLUSH" }

func (scriptsForgotten) begin(ctx context.Context, s *stage) error {
	if _, err := ask(ctx, s.redis.nodes[0].addr, "SCRIPT", "FLUSH"); err != nil {
		s.note("not now: %v", err) // Redis stands still at this moment
	}
	return nil
}

func (scriptsForgotten) end(context.Context, *stage) error { return nil }

// memoryFull leaves no memory: under noeviction every write is refused.
type memoryFull struct{}

func (memoryFull) String() string { return "maxmemory below what is used: writes fail with OOM" }

func (memoryFull) begin(ctx context.Context, s *stage) error {
	_, err := ask(ctx, s.redis.nodes[0].addr, "CONFIG", "SET", "maxmemory", "700kb")
	return err
}

func (memoryFull) end(ctx context.Context, s *stage) error {
	_, err := ask(ctx, s.redis.nodes[0].addr, "CONFIG", "SET", "maxmemory", "0")
	return err
}

// diskFull lets the append-only file grow no more: every write is refused.
type diskFull struct{}

func (diskFull) String() string { return "the disk is full: the append-only file cannot grow" }

func (diskFull) begin(ctx context.Context, s *stage) error {
	node := s.redis.nodes[0]
	files, err := filepath.Glob(filepath.Join(node.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("find the append-only file: %w", errors.Join(err, os.ErrNotExist))
	}
	about, err := os.Stat(files[len(files)-1])
	if err != nil {
		return fmt.Errorf("the append-only file: %w", err)
	}
	return node.limitFiles(ctx, strconv.FormatInt(about.Size()+100, 10))
}

func (diskFull) end(ctx context.Context, s *stage) error { return s.redis.nodes[0].limitFiles(ctx, "") }

// primaryKilled is a fail-over: a primary dies under load and comes back later,
// as a replica.
type primaryKilled struct{ which uint }

func (f primaryKilled) String() string { return "SIGKILL a primary, start it again later" }

func (f primaryKilled) begin(ctx context.Context, s *stage) error {
	list := s.redis.primaries(ctx)
	if len(list) == 0 {
		return errors.New("no primary to kill")
	}
	victim := list[f.which%uint(len(list))]
	s.note("the victim is %s", victim.name)
	victim.kill()
	return nil
}

func (f primaryKilled) end(ctx context.Context, s *stage) error {
	for _, node := range s.redis.nodes {
		if !node.alive() {
			if err := node.start(ctx); err != nil {
				return err
			}
		}
	}
	whole := s.redis.watching
	if s.redis.kind == cluster {
		whole = s.redis.whole
	}
	if !until(ctx, patience, 200*time.Millisecond, func() bool { return whole(ctx) }) {
		return errors.New("the deployment did not come together again")
	}
	return nil
}

func anyPrimary() func(*rand.Rand) fault {
	return func(dice *rand.Rand) fault { return primaryKilled{uint(dice.IntN(60))} }
}
