package ops

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

const (
	// freshFor lets several scrapers and pages share one look at Redis.
	freshFor = 3 * time.Second
	// lookTimeout bounds one look; what was not read by then is left out.
	lookTimeout = 2 * time.Second
)

// snapshot is everything that metrics and the index page show.
type snapshot struct {
	At        time.Time
	Queues    []*queueStat
	QueuesErr error
	Memory    redisMemory
	MemoryErr error
	Gates     []gateStat
	Gauges    []Gauge
}

// redisMemory is of the fullest node. Max is 0 when Redis has no bound.
type redisMemory struct {
	Used, Max int64
	Policy    string
}

type gateStat struct {
	Account string
	State   ratelimit.State
	Err     error
}

// watcher takes snapshots, at most one each freshFor.
type watcher struct {
	cfg    Config
	queues *queueReader
	turn   chan struct{} // of who takes the snapshot
	last   *snapshot
}

func newWatcher(cfg Config, queues *queueReader) *watcher {
	return &watcher{cfg: cfg, queues: queues, turn: make(chan struct{}, 1)}
}

// look returns a snapshot not older than freshFor. The error is ctx's.
func (w *watcher) look(ctx context.Context) (*snapshot, error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a look at the queues: %w", ctx.Err())
	}
	if w.last != nil && time.Since(w.last.At) < freshFor {
		return w.last, nil
	}
	// Not the caller's context: who goes away early must not spoil it for others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	s := &snapshot{At: time.Now()}
	var names []string
	if names, s.QueuesErr = w.queues.names(ctx); s.QueuesErr == nil {
		s.Queues = w.queues.read(ctx, names)
	}
	s.Memory, s.MemoryErr = readMemory(ctx, w.cfg.Redis)
	if w.cfg.Gate != nil {
		for _, account := range w.cfg.Accounts {
			g := gateStat{Account: account}
			g.State, g.Err = w.cfg.Gate(ctx, account)
			s.Gates = append(s.Gates, g)
		}
	}
	if w.cfg.Gauges != nil {
		s.Gauges = w.cfg.Gauges(ctx)
	}
	w.last = s
	return s, nil
}

// readMemory asks each primary of a cluster and keeps the fullest.
func readMemory(ctx context.Context, rdb redis.UniversalClient) (redisMemory, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return memoryOf(rdb.Info(ctx, "memory"))
	}
	nodes := make(chan redisMemory, 1)
	nodes <- redisMemory{}
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		m, err := memoryOf(node.Info(ctx, "memory"))
		if err != nil {
			return err
		}
		fullest := <-nodes
		if m.share() >= fullest.share() {
			fullest = m
		}
		nodes <- fullest
		return nil
	})
	if err != nil {
		return redisMemory{}, fmt.Errorf("read the memory of the cluster: %w", err)
	}
	return <-nodes, nil
}

func (m redisMemory) share() float64 {
	if m.Max == 0 {
		return 0
	}
	return float64(m.Used) / float64(m.Max)
}

func memoryOf(cmd *redis.StringCmd) (redisMemory, error) {
	text, err := cmd.Result()
	if err != nil {
		return redisMemory{}, fmt.Errorf("read the memory of Redis: %w", err)
	}
	var m redisMemory
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "used_memory":
			m.Used = n
		case "maxmemory":
			m.Max = n
		case "maxmemory_policy":
			m.Policy = value
		}
	}
	return m, nil
}

// broken lists the queues that need a hand.
func (s *snapshot) broken() []*queueStat {
	return slices.DeleteFunc(slices.Clone(s.Queues), func(q *queueStat) bool { return !q.Broken() })
}
