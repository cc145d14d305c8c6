package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
)

// This file has all that the harness knows of the keys in Redis, and of Redis'
// own figures.

// queueKey is a key of asynq's queue of a class.
func queueKey(class producer.ClassName, name string) string {
	return "asynq:{" + appID + ":" + string(class) + "}:" + name
}

// recordKey has the slot of all records of the account.
const recordKey = "wxn:{" + appID + "}:"

// queues counts what is in the queues of all classes.
func (e *env) queues(ctx context.Context) (verdict.Queues, error) {
	var q verdict.Queues
	pipe := e.direct.Pipeline()
	counts := map[*int64][]*redis.IntCmd{}
	for _, class := range []producer.ClassName{producer.Critical, producer.Default, producer.Bulk} {
		counts[&q.Pending] = append(counts[&q.Pending], pipe.LLen(ctx, queueKey(class, "pending")))
		counts[&q.Active] = append(counts[&q.Active], pipe.LLen(ctx, queueKey(class, "active")))
		counts[&q.Scheduled] = append(counts[&q.Scheduled], pipe.ZCard(ctx, queueKey(class, "scheduled")))
		counts[&q.Retry] = append(counts[&q.Retry], pipe.ZCard(ctx, queueKey(class, "retry")))
		counts[&q.Archived] = append(counts[&q.Archived], pipe.ZCard(ctx, queueKey(class, "archived")))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return q, fmt.Errorf("count the queues: %w", err)
	}
	for sum, cmds := range counts {
		for _, cmd := range cmds {
			*sum += cmd.Val()
		}
	}
	return q, nil
}

// tasks counts the stored tasks of messages, whether they are in a set or not. SCAN may
// return a key twice. Tasks of webhooks are not counted: one whose answer was lost waits
// for its lease after all is told.
func (e *env) tasks(ctx context.Context) (int64, error) {
	found := map[string]bool{}
	var errs []error
	for _, s := range e.redis.primaries(ctx) {
		c := node(s.addr)
		for _, class := range job.Classes() {
			keys := c.Scan(ctx, 0, queueKey(class, "t:*"), 1000).Iterator()
			for keys.Next(ctx) {
				found[keys.Val()] = true
			}
			errs = append(errs, keys.Err())
		}
		errs = append(errs, c.Close())
	}
	return int64(len(found)), errors.Join(errs...)
}

// classApart finds a class whose queue is on another primary of the cluster than
// the records, and that primary.
func (e *env) classApart(ctx context.Context) (producer.ClassName, *redisServer, error) {
	c, ok := e.direct.(*redis.ClusterClient)
	if !ok {
		return "", nil, errors.New("no cluster")
	}
	records, err := c.MasterForKey(ctx, recordKey)
	if err != nil {
		return "", nil, fmt.Errorf("find the primary of the records: %w", err)
	}
	for _, class := range []producer.ClassName{producer.Default, producer.Bulk, producer.Critical} {
		queue, err := c.MasterForKey(ctx, queueKey(class, "pending"))
		if err != nil {
			return "", nil, fmt.Errorf("find the primary of a queue: %w", err)
		}
		addr := queue.Options().Addr
		at := slices.IndexFunc(e.redis.nodes, func(s *redisServer) bool { return s.addr == addr })
		if at >= 0 && addr != records.Options().Addr {
			return class, e.redis.nodes[at], nil
		}
	}
	return "", nil, errors.New("all queues are on the primary of the records")
}

// barrierEvery is the pause between two barriers.
const barrierEvery = 250 * time.Millisecond

// confirmDurable finds out, until ctx ends, which acknowledged messages Redis
// cannot lose any more: those before a barrier, when the same primaries served
// since the barrier before. Replication is asynchronous, and with appendfsync
// everysec Redis holds back its writes to the file for up to two seconds when
// the disk is busy: a Redis that is killed may lose what it acknowledged. That
// loss is counted apart from ours.
func (e *env) confirmDurable(ctx context.Context) {
	before, from := "", time.Now()
	for ; ctx.Err() == nil; pause(ctx, barrierEvery) {
		at := time.Now()
		call, cancel := context.WithTimeout(ctx, 3*time.Second)
		primaries, err := e.barrier(call)
		cancel()
		if err != nil {
			before = ""
			continue
		}
		if primaries == before {
			e.load.markDurable(from, at)
		}
		before, from = primaries, at
	}
}

// barrier returns the run IDs of the primaries when none of them can lose what
// was written to it before the call.
func (e *env) barrier(ctx context.Context) (string, error) {
	var ids []string
	for _, s := range e.redis.primaries(ctx) {
		c := node(s.addr)
		id, err := confirm(ctx, c, e.redis.topology)
		_ = c.Close()
		if err != nil {
			return "", err
		}
		ids = append(ids, id)
	}
	if len(ids) != e.redis.primaryCount() {
		return "", errors.New("a primary is missing")
	}
	return strings.Join(ids, " "), nil
}

// confirm returns the run ID of a primary once a replica has confirmed all
// writes, or, without replicas, when all of them have been written to the file.
func confirm(ctx context.Context, c *redis.Client, t topology) (string, error) {
	err := errors.New("no key")
	for i := 0; i < 64 && err != nil; i++ { // of a cluster, each primary serves one of them
		err = c.Set(ctx, "chaos:barrier:"+strconv.Itoa(i), "", time.Minute).Err()
	}
	confirmed := int64(1)
	if err == nil && t != single {
		confirmed, err = c.Do(ctx, "wait", 1, 1000).Int64()
	}
	info, infoErr := c.Info(ctx).Result()
	if confirmed < 1 || t == single && infoField(info, "aof_buffer_length") != "0" {
		err = errors.Join(err, errors.New("a write may be lost"))
	}
	return infoField(info, "run_id"), errors.Join(err, infoErr)
}

// infoField is a field of the answer to INFO; empty: there is none.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
