package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrRedisFull is returned by Enqueue while Redis uses 75 % of maxmemory or
// more. At 100 % the workers would stop too: a fetch writes.
var ErrRedisFull = errors.New("broker: Redis is nearly full: raise maxmemory, or wait until the workers have drained the queues")

// fullAt is the share of maxmemory from which on Enqueue refuses.
const fullAt = 0.75

// Report is what Check found. Fields that the server does not tell are zero.
type Report struct {
	Version   string
	Policy    string // maxmemory-policy
	Used, Max int64  // bytes; Max is 0 without a limit
	AOF       bool
	// Warnings are sentences for the operator, each with its remedy.
	Warnings []string
}

// Check asks a server what it is. The error says why wxnotify cannot run on it:
// not reachable, or older than 6.2. A cluster is asked at one of its nodes.
func Check(ctx context.Context, rdb redis.UniversalClient) (Report, error) {
	if err := rdb.Ping(ctx).Err(); err != nil {
		return Report{}, fmt.Errorf("redis does not answer: start it, or correct the redis url: %w", err)
	}
	var r Report
	server := info(ctx, rdb, "server")
	r.Version = server["redis_version"]
	if r.Version != "" && older(r.Version, 6, 2) {
		return r, fmt.Errorf("redis %s is too old: wxnotify needs 6.2 or newer, install redis 7", r.Version)
	}
	memory := info(ctx, rdb, "memory")
	r.Used, _ = strconv.ParseInt(memory["used_memory"], 10, 64)
	r.Max, _ = strconv.ParseInt(memory["maxmemory"], 10, 64)
	r.Policy = memory["maxmemory_policy"]
	persistence := info(ctx, rdb, "persistence")
	r.AOF = persistence["aof_enabled"] == "1"
	r.warn(persistence["aof_enabled"] != "")
	return r, nil
}

func (r *Report) warn(tellsAOF bool) {
	if r.Policy != "" && r.Policy != "noeviction" {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"redis may throw messages away when its memory is full (maxmemory-policy %s): set maxmemory-policy noeviction", r.Policy))
	}
	if tellsAOF && !r.AOF {
		r.Warnings = append(r.Warnings,
			"redis forgets the queues when it restarts (appendonly no): set appendonly yes")
	}
	if r.Max > 0 && float64(r.Used) >= fullAt*float64(r.Max) {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"redis uses %d of %d bytes, so that new messages are refused: raise maxmemory, or let the workers drain the queues", r.Used, r.Max))
	}
}

// info reads a section of INFO; empty when the server does not know it.
func info(ctx context.Context, rdb redis.UniversalClient, section string) map[string]string {
	text, err := rdb.Info(ctx, section).Result()
	if err != nil {
		return nil
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

func older(version string, major, minor int) bool {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	x, err := strconv.Atoi(a)
	if err != nil {
		return false
	}
	y, _ := strconv.Atoi(b)
	return x < major || (x == major && y < minor)
}

// memoryGuard knows at most a second late whether Redis is nearly full, and
// sooner when this process fills it fast.
type memoryGuard struct {
	rdb  redis.UniversalClient
	full atomic.Pointer[string] // what to say; nil when there is room
	room atomic.Int64           // bytes that may be sent before the next look

	mu   sync.Mutex
	next time.Time
}

// unlimited is the room of a Redis without maxmemory.
const unlimited = math.MaxInt64

// allow refuses while Redis is nearly full. Callers share one look a second.
func (g *memoryGuard) allow(ctx context.Context) error {
	if g.mu.TryLock() {
		if now := time.Now(); now.After(g.next) || g.room.Load() < 0 {
			g.look(ctx)
			g.next = now.Add(time.Second)
		}
		g.mu.Unlock()
	}
	if said := g.full.Load(); said != nil {
		return fmt.Errorf("%w (%s)", ErrRedisFull, *said)
	}
	return nil
}

// spend counts what is sent, so that a fast caller does not fill Redis between
// two looks. A message takes its payload and about a kilobyte.
func (g *memoryGuard) spend(items, payload int) {
	if g.room.Load() != unlimited {
		g.room.Add(-int64(items*1024 + payload))
	}
}

// look keeps what it knew when the server does not answer: the enqueue itself
// will say what is wrong. In a cluster the fullest primary counts.
func (g *memoryGuard) look(ctx context.Context) {
	cluster, ok := g.rdb.(*redis.ClusterClient)
	if !ok {
		g.judge(info(ctx, g.rdb, "memory"))
		return
	}
	var mu sync.Mutex
	var worst map[string]string
	_ = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		memory := info(ctx, node, "memory")
		mu.Lock()
		defer mu.Unlock()
		if worst == nil || share(memory) > share(worst) {
			worst = memory
		}
		return nil
	})
	g.judge(worst)
}

func (g *memoryGuard) judge(memory map[string]string) {
	if memory == nil {
		return
	}
	g.room.Store(roomOf(memory))
	if share(memory) < fullAt {
		g.full.Store(nil)
		return
	}
	said := fmt.Sprintf("%s of %s bytes used", memory["used_memory"], memory["maxmemory"])
	g.full.Store(&said)
}

// roomOf is half of what is left until Enqueue refuses: others may be filling
// Redis too.
func roomOf(memory map[string]string) int64 {
	used, _ := strconv.ParseFloat(memory["used_memory"], 64)
	limit, _ := strconv.ParseFloat(memory["maxmemory"], 64)
	if limit <= 0 {
		return unlimited
	}
	return max(int64(fullAt*limit-used)/2, 0)
}

func share(memory map[string]string) float64 {
	used, _ := strconv.ParseFloat(memory["used_memory"], 64)
	limit, _ := strconv.ParseFloat(memory["maxmemory"], 64)
	if limit <= 0 {
		return 0
	}
	return used / limit
}
