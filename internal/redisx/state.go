package redisx

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ClockLimit is the difference of clocks at which workers stop fetching (package
// queue). A live worker's leases last 25 s at least, so that recovery, which goes by
// Redis' clock, never takes its tasks.
const ClockLimit = 10 * time.Second

// State is what INFO tells of a server; of a cluster the worst of each primary. What is
// not told is zero.
type State struct {
	Used, Max int64 // bytes, of the fullest node; Max is 0 without a limit
	Machine   int64 // bytes of memory of that node's machine
	Policy    string
	NoAOF     bool   // appendonly is off
	NotSaved  string // the line of INFO that says that the last write to disk failed
	Ahead     time.Duration
	Unsure    time.Duration // Ahead may be off by this: how long the answer took
}

// ReadState asks the server, or each primary of a cluster, with one INFO.
func ReadState(ctx context.Context, rdb redis.UniversalClient) (State, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return readNode(ctx, rdb)
	}
	var mu sync.Mutex
	var worst State
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
		return State{}, fmt.Errorf("read the state of the cluster: %w", err)
	}
	return worst, nil
}

// add keeps the worse of each.
func (s *State) add(node State) {
	worse := s.Limit() == 0 || float64(node.Used)/float64(max(node.Limit(), 1)) >= float64(s.Used)/float64(s.Limit())
	if node.Full() != s.Full() { // a node without maxmemory never refuses
		worse = node.Full()
	}
	if worse {
		s.Used, s.Max, s.Machine = node.Used, node.Max, node.Machine
	}
	if s.Policy == "" || node.Evicts() {
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

func readNode(ctx context.Context, node redis.Cmdable) (State, error) {
	asked := time.Now()
	info, err := Info(ctx, node)
	answered := time.Now()
	if err != nil {
		return State{}, fmt.Errorf("read the state of Redis: %w", err)
	}
	s := stateOf(info)
	if at, _ := strconv.ParseInt(info["server_time_usec"], 10, 64); at > 0 {
		// Round removes the monotonic reading: the wall clock may be set at any time.
		s.Ahead, s.Unsure = answered.Round(0).Sub(time.UnixMicro(at)), answered.Sub(asked)
	}
	return s, nil
}

// ParseState reads the text of INFO. Ahead and Unsure are zero.
func ParseState(info string) State { return stateOf(fields(info)) }

func stateOf(info map[string]string) State {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(info[name], 10, 64)
		return n
	}
	s := State{
		Used: number("used_memory"), Max: number("maxmemory"), Machine: number("total_system_memory"),
		Policy: info["maxmemory_policy"], NoAOF: info["aof_enabled"] == "0",
	}
	for _, name := range []string{"rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"} {
		if info[name] == "err" {
			s.NotSaved = name + ":err"
		}
	}
	return s
}

// Limit is maxmemory, or the machine's memory; 0: not known.
func (s State) Limit() int64 {
	if s.Max > 0 {
		return s.Max
	}
	return s.Machine
}

// Room is how many bytes may be written until FullAt of Limit is used; negative: fewer
// than none.
func (s State) Room() int64 { return int64(FullAt*float64(s.Limit())) - s.Used }

// Full reports whether new messages are refused; never without maxmemory.
func (s State) Full() bool { return s.Max > 0 && s.Room() <= 0 }

// Evicts reports whether Redis deletes keys when its memory is used up.
func (s State) Evicts() bool { return s.Policy != "" && s.Policy != "noeviction" }

// WrongClock reports whether this machine's clock differs from Redis' by more than
// ClockLimit, whenever in the time until its answer Redis read its own.
func (s State) WrongClock() bool { return s.Ahead.Abs()-s.Unsure > ClockLimit }
