package ops

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// clockLimit is the difference of clocks at which workers stop fetching: queue's.
const clockLimit = 10 * time.Second

// serverState is what Redis tells about itself; of a cluster the worst of each
// primary. What it does not tell is zero.
type serverState struct {
	Used, Max int64 // bytes, of the fullest node; Max is 0 without a limit
	Policy    string
	NoAOF     bool   // appendonly is off
	NotSaved  string // the line of INFO that says that the last write to disk failed
	Ahead     time.Duration
	Unsure    time.Duration // Ahead may be off by this: how long the answer took
}

// readServer asks Redis, or each primary of a cluster.
func readServer(ctx context.Context, rdb redis.UniversalClient) (serverState, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return readNode(ctx, rdb)
	}
	var mu sync.Mutex
	var worst serverState
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		s, err := readNode(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			worst.add(s)
		}
		return err
	})
	if err != nil {
		return serverState{}, fmt.Errorf("read the state of the cluster: %w", err)
	}
	return worst, nil
}

// add keeps the worse of each.
func (s *serverState) add(node serverState) {
	if node.share() >= s.share() {
		s.Used, s.Max = node.Used, node.Max
	}
	if s.Policy == "" || node.evicts() {
		s.Policy = node.Policy
	}
	s.NoAOF = s.NoAOF || node.NoAOF
	if node.NotSaved != "" {
		s.NotSaved = node.NotSaved
	}
	if node.Ahead.Abs()-node.Unsure > s.Ahead.Abs()-s.Unsure {
		s.Ahead, s.Unsure = node.Ahead, node.Unsure
	}
}

// readNode takes all from one INFO, since a scrape must stay cheap.
func readNode(ctx context.Context, node redis.Cmdable) (serverState, error) {
	asked := time.Now()
	info, err := node.Info(ctx).Result()
	answered := time.Now()
	if err != nil {
		return serverState{}, fmt.Errorf("read the state of Redis: %w", err)
	}
	var s serverState
	if at := s.parse(info); at > 0 {
		// Round removes the monotonic reading: the wall clock may be set at any time.
		s.Ahead, s.Unsure = answered.Round(0).Sub(time.UnixMicro(at)), answered.Sub(asked)
	}
	return s, nil
}

// parse returns Redis' time in Unix microseconds; 0 when it does not tell.
func (s *serverState) parse(info string) (at int64) {
	for line := range strings.Lines(info) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "server_time_usec":
			at = n
		case "used_memory":
			s.Used = n
		case "maxmemory":
			s.Max = n
		case "maxmemory_policy":
			s.Policy = value
		case "aof_enabled":
			s.NoAOF = value == "0"
		case "aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status":
			if value == "err" {
				s.NotSaved = line
			}
		}
	}
	return at
}

func (s *serverState) share() float64 {
	if s.Max == 0 {
		return 0
	}
	return float64(s.Used) / float64(s.Max)
}

func (s *serverState) evicts() bool     { return s.Policy != "" && s.Policy != "noeviction" }
func (s *serverState) wrongClock() bool { return s.Ahead.Abs()-s.Unsure > clockLimit }

// faults lists what an admin must mend, with its remedy.
func (s *serverState) faults(t words) []problem {
	var out []problem
	if s.wrongClock() {
		ahead := s.Ahead.Round(time.Second)
		text := fmt.Sprintf(t.ClockAhead, ahead)
		if ahead < 0 {
			text = fmt.Sprintf(t.ClockBehind, -ahead)
		}
		out = append(out, problem{Name: "clock", Subject: t.Clock, Text: text, fatal: true})
	}
	if s.NotSaved != "" {
		out = append(out, problem{Name: "persistence", Subject: "Redis", Text: t.NotSaved, Detail: s.NotSaved})
	}
	if s.NoAOF {
		out = append(out, problem{Name: "persistence", Subject: "Redis", Text: t.NoAOF, Command: "CONFIG SET appendonly yes"})
	}
	if s.evicts() {
		out = append(out, problem{Name: "eviction", Subject: "Redis", Text: t.Evicts, Command: "CONFIG SET maxmemory-policy noeviction"})
	}
	if s.share() > fullShare {
		out = append(out, problem{Name: "memory", Subject: "Redis", Text: t.NearFull})
	}
	return out
}
