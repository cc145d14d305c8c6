package ops

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
)

const (
	// freshFor is how long a snapshot is reused by other scrapes and pages.
	freshFor = 3 * time.Second
	// readTimeLimit bounds one snapshot. What was not read in time has an error.
	readTimeLimit = 2 * time.Second
)

// snapshot is what metrics and the index page show.
type snapshot struct {
	At        time.Time
	Queues    []queue.State
	QueuesErr error
	Memory    redisMemory
	MemoryErr error
	Gates     []gateState
}

// redisMemory is that of the fullest node. Max is 0 when Redis has no limit.
type redisMemory struct {
	Used, Max int64
	Policy    string
}

type gateState struct {
	Account string
	State   ratelimit.State
	Err     error
}

// stateCount is the number of a queue's tasks in one of asynq's states.
type stateCount struct {
	name  string
	tasks int64
}

// statesOf lists the states in the order of the index page.
func statesOf(q *queue.State) []stateCount {
	return []stateCount{
		{"pending", q.Pending},
		{"active", q.Active},
		{"scheduled", q.Scheduled},
		{"retry", q.Retry},
		{"archived", q.Archived},
		{"completed", q.Completed},
	}
}

// watcher takes snapshots, at most one each freshFor.
type watcher struct {
	cfg       Config
	inspector *queue.Inspector
	reading   chan struct{} // held by the caller that reads
	last      *snapshot
}

func newWatcher(cfg Config, inspector *queue.Inspector) *watcher {
	return &watcher{cfg: cfg, inspector: inspector, reading: make(chan struct{}, 1)}
}

// read returns a snapshot not older than freshFor. The error is ctx's.
func (w *watcher) read(ctx context.Context) (*snapshot, error) {
	select {
	case w.reading <- struct{}{}:
		defer func() { <-w.reading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a snapshot: %w", ctx.Err())
	}
	if w.last != nil && time.Since(w.last.At) < freshFor {
		return w.last, nil
	}
	// Other callers reuse the snapshot: it must not fail because this client left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeLimit)
	defer cancel()
	s := &snapshot{At: time.Now()}
	s.Queues, s.QueuesErr = w.inspector.AllQueues(ctx)
	s.Memory, s.MemoryErr = readMemory(ctx, w.cfg.Redis)
	if w.cfg.Gate != nil {
		for _, account := range w.cfg.Accounts {
			g := gateState{Account: account}
			g.State, g.Err = w.cfg.Gate(ctx, account)
			s.Gates = append(s.Gates, g)
		}
	}
	w.last = s
	return s, nil
}

// readMemory returns the memory of Redis, of a cluster that of the fullest primary.
func readMemory(ctx context.Context, rdb redis.UniversalClient) (redisMemory, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return parseMemory(rdb.Info(ctx, "memory"))
	}
	var mu sync.Mutex
	var fullest redisMemory
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		m, err := parseMemory(node.Info(ctx, "memory"))
		mu.Lock()
		defer mu.Unlock()
		if err == nil && m.share() >= fullest.share() {
			fullest = m
		}
		return err
	})
	if err != nil {
		return redisMemory{}, fmt.Errorf("read the memory of the cluster: %w", err)
	}
	return fullest, nil
}

func (m redisMemory) share() float64 {
	if m.Max == 0 {
		return 0
	}
	return float64(m.Used) / float64(m.Max)
}

func parseMemory(cmd *redis.StringCmd) (redisMemory, error) {
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
