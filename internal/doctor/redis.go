package doctor

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	// messageBytes is what a queued message takes in Redis, with a payload of some 200
	// bytes (P13 of docs/performance.md).
	messageBytes = 1500
)

func redisCheck(in Installation, rdb redis.UniversalClient) Check {
	c := Check{Name: "redis", Run: noRedis}
	clock := Check{Name: "clock", Run: func(ctx context.Context, n *Notes) { checkClock(ctx, n, rdb) }}
	memory := Check{Name: "memory", Run: func(ctx context.Context, n *Notes) { checkMemory(ctx, n, in, rdb) }}
	c.Then = []Check{clock, memory}
	for _, a := range in.Accounts {
		c.Then = append(c.Then, fleetChecks(in, a, rdb)...)
	}
	if rdb == nil {
		return c
	}
	c.Run = func(ctx context.Context, n *Notes) {
		report, err := in.Redis.Check(ctx)
		if err != nil {
			n.Add("redis-refused", "cause", err.Error())
			n.Stop()
			return
		}
		noteReport(n, report, rdb)
	}
	return c
}

// noteReport notes what Server.Check found, without what checkMemory finds.
func noteReport(n *Notes, r redisconn.Report, rdb redis.UniversalClient) {
	if r.Refused != nil {
		n.Add("redis-refuses-writes", "cause", r.Refused.Error())
	}
	if r.NoInfo {
		n.Add("redis-silent", "user", userOf(rdb))
		return
	}
	if r.AnyPassword {
		n.Add("redis-any-password")
	}
	if r.NoPassword {
		n.Add("redis-no-password")
	}
	aof := "yes"
	if r.NoAOF {
		n.Add("redis-forgets")
		aof = "no"
	}
	n.Detail("version {version}, appendonly {aof}, maxmemory-policy {policy}", "版本 {version}，appendonly {aof}，maxmemory-policy {policy}",
		"version", r.Version, "aof", aof, "policy", r.Policy)
}

func userOf(rdb redis.UniversalClient) string {
	if node, ok := rdb.(*redis.Client); ok && node.Options().Username != "" {
		return node.Options().Username
	}
	return "default"
}

// checkClock compares this machine's clock with Redis'. The answer may have taken any
// part of the time between question and answer.
func checkClock(ctx context.Context, n *Notes, rdb redis.UniversalClient) {
	asked := time.Now()
	theirs, err := rdb.Time(ctx).Result()
	if err != nil {
		n.Skip("Redis does not tell its time: {cause}", "Redis 没有提供时间：{cause}", "cause", err.Error())
		return
	}
	answered := time.Now()
	ahead := answered.Round(0).Sub(theirs) // Round: without the monotonic reading
	if ahead.Abs()-answered.Sub(asked) > redisx.ClockLimit {
		n.Add("redis-clock", clockFields(n, ahead)...)
		return
	}
	n.Detail("{off} from Redis'", "与 Redis 相差 {off}", "off", ahead.Abs().Round(time.Millisecond).String())
}

// clockFields are off and direction of a clock that is ahead of Redis' by this much.
func clockFields(n *Notes, ahead time.Duration) []string {
	direction := text{"ahead of", "快"}
	if ahead < 0 {
		direction = text{"behind", "慢"}
	}
	return []string{"off", ahead.Abs().Round(time.Second).String(), "direction", direction.in(n.lang)}
}

// checkMemory finds a Redis that evicts, cannot save, is full, or too small for what the
// accounts may still send today.
func checkMemory(ctx context.Context, n *Notes, in Installation, rdb redis.UniversalClient) {
	s, err := redisx.ReadState(ctx, rdb)
	if err != nil {
		n.Skip("Redis does not tell: {cause}", "Redis 没有提供：{cause}", "cause", err.Error())
		return
	}
	noteStorage(n, s)
	if s.Limit() == 0 {
		return
	}
	n.Detail("{used} of {max} MB", "{used} / {max} MB", "used", megabytes(s.Used), "max", megabytes(s.Limit()))
	if s.Full() {
		n.Add("redis-full", "used", megabytes(s.Used), "max", megabytes(s.Max))
		return
	}
	day := dayLeft(ctx, in, rdb)
	if lacking := day*messageBytes - s.Room(); lacking > 0 {
		n.Add("redis-small", "room", strconv.FormatInt(max(s.Room(), 0)/messageBytes, 10), "day", strconv.FormatInt(day, 10),
			"need", megabytes(int64(float64(lacking)/redisx.FullAt)+1<<20-1))
	}
}

// noteStorage notes a Redis that evicts or cannot save.
func noteStorage(n *Notes, s redisx.State) {
	if s.Evicts() {
		n.Add("redis-evicts", "policy", s.Policy)
	}
	if s.NotSaved != "" {
		n.Add("redis-not-saved", "line", s.NotSaved)
	}
}

// dayLeft is how many messages the accounts may still send today.
func dayLeft(ctx context.Context, in Installation, rdb redis.UniversalClient) (left int64) {
	for _, a := range in.Accounts {
		if a.Gate == nil {
			continue
		}
		gate, err := a.Gate(rdb)
		if err != nil {
			continue
		}
		if s, err := gate.State(ctx); err == nil {
			left += max(s.Cap-s.Used, 0)
		}
	}
	return left
}

func megabytes(n int64) string { return strconv.FormatInt(n>>20, 10) }
