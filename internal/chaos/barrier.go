package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// barrierEvery is the pause between barriers.
const barrierEvery = 250 * time.Millisecond

// barriers find out which acknowledged messages Redis cannot lose any more: a
// replica has confirmed all that was written before, or the append-only file has
// it. Replication is asynchronous, and with appendfsync everysec a busy disk
// makes Redis hold back its writes to the file for up to two seconds, so without
// that a Redis that is killed may take what it acknowledged with it: Redis'
// loss, not ours.
func barriers(ctx context.Context, k kind, rdb redis.UniversalClient, l *load) {
	var before string
	from := time.Now()
	for ctx.Err() == nil {
		at := time.Now()
		call, cancel := context.WithTimeout(ctx, 3*time.Second)
		who, err := barrier(call, k, rdb)
		cancel()
		if err != nil {
			before = ""
		} else {
			if who == before {
				l.durable(from, at)
			}
			before, from = who, at
		}
		pause(ctx, barrierEvery)
	}
}

// barrier returns the run IDs of the primaries, none of which can lose what was
// written to it before.
func barrier(ctx context.Context, k kind, rdb redis.UniversalClient) (string, error) {
	if k == single {
		return written(ctx, rdb)
	}
	c, spread := rdb.(*redis.ClusterClient)
	if !spread {
		conn := rdb.(*redis.Client).Conn() //nolint:forcetypeassert // Dial makes no third kind
		defer func() { _ = conn.Close() }()
		return confirmed(ctx, conn, []string{"chaos:barrier"})
	}
	keys := make([]string, 64) // more than enough that each primary serves one
	for i := range keys {
		keys[i] = "chaos:barrier:" + strconv.Itoa(i)
	}
	var mu sync.Mutex
	var all []string
	err := c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		conn := node.Conn()
		defer func() { _ = conn.Close() }()
		who, err := confirmed(ctx, conn, keys)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, who)
		return err
	})
	if len(all) != 3 && err == nil {
		err = errors.New("a primary is missing")
	}
	slices.Sort(all)
	return strings.Join(all, " "), err
}

// confirmed writes one of the keys and waits for a replica to have it.
func confirmed(ctx context.Context, conn *redis.Conn, keys []string) (who string, err error) {
	for _, key := range keys {
		if err = conn.Set(ctx, key, time.Now().UnixNano(), time.Minute).Err(); err == nil {
			break
		}
	}
	if err != nil {
		return "", err //nolint:wrapcheck // only whether it failed counts
	}
	n, err := conn.Do(ctx, "wait", 1, 1000).Int()
	if err != nil {
		return "", err //nolint:wrapcheck // only whether it failed counts
	}
	if n < 1 {
		return "", errors.New("no replica confirmed")
	}
	text, err := conn.Info(ctx, "server").Result()
	if err != nil {
		return "", err //nolint:wrapcheck // only whether it failed counts
	}
	return field(text, "run_id")
}

// written: all that was acknowledged before has left Redis for the file.
func written(ctx context.Context, rdb redis.UniversalClient) (who string, err error) {
	text, err := rdb.Info(ctx).Result()
	if err != nil {
		return "", err //nolint:wrapcheck // only whether it failed counts
	}
	held, err := field(text, "aof_buffer_length")
	if err != nil || held != "0" {
		return "", errors.Join(errors.New("writes are held back"), err)
	}
	return field(text, "run_id")
}

// field of an answer to INFO.
func field(info, name string) (string, error) {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.New("no " + name)
}
