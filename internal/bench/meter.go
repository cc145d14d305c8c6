package main

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// reading is what was measured, by its unit: of a Go benchmark those that it reports.
type reading map[string]float64

// The figures of a build that sends. Those with /op are for a message.
const (
	rate        = "msg/s"
	ownCPU      = "cpu-µs/op"      // of the process
	redisCPU    = "redis-µs/op"    // of Redis
	allCPU      = "both-µs/op"     // of both
	platformCPU = "platform-µs/op" // of the parent, which is the simulated WeChat
	idle        = "idle-µs/op"     // of all cores: the machine had nothing to do
	allocations = "allocs/op"
	peak        = "peak-MB"      // resident at most
	scripts     = "scripts/op"   // EVALSHA and EVAL calls, by INFO commandstats
	commands    = "commands/op"  // all commands, those inside scripts too, by INFO commandstats
	trips       = "trips/op"     // round trips to Redis
	gateTrips   = "gate/op"      // of them, those of the gate
	ledgerTrips = "ledger/op"    // of them, those that touch other keys of wxnotify's own
	dials       = "dials/1000op" // connections opened to WeChat, less one per slot
)

// meter counts messages and reads what they cost.
type meter struct {
	warm, total  int64
	warmed, done chan struct{}
	count        atomic.Int64
	redis        tripCounter
	start        time.Time
}

func newMeter(warm, total int) *meter {
	return &meter{warm: int64(warm), total: int64(total), warmed: make(chan struct{}), done: make(chan struct{}), start: time.Now()}
}

// add counts one more message.
func (m *meter) add() {
	switch m.count.Add(1) {
	case m.warm:
		close(m.warmed)
	case m.total:
		close(m.done)
	}
}

// measure runs a build and reads the cost from the warm-up to the last message.
func (m *meter) measure(ctx context.Context, j job, rdb redis.UniversalClient, run build) reading {
	building, stop := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() {
		err := capture(func() { run(building, j, rdb, m) })
		if err == nil && m.count.Load() < m.total {
			err = errors.New("ended before the last message")
		}
		if err != nil {
			stop(err)
		}
		ended <- err
	}()
	r := reading{}
	for i, reached := range []chan struct{}{m.warmed, m.done} {
		select {
		case <-reached:
		case <-building.Done():
			check(context.Cause(building))
		}
		for unit, v := range m.read(ctx, rdb) {
			r[unit] += v * float64(2*i-1)
		}
	}
	stop(nil)
	check(<-ended)
	for unit := range r {
		if strings.HasSuffix(unit, "/op") {
			r[unit] /= r[messages]
		}
	}
	r[rate], r[peak] = r[messages]/r[seconds], float64(must(cost.Memory()).Most)/(1<<20)
	return r
}

// The sums from which the figures of a message are made.
const messages, seconds = "messages", "seconds"

// read returns sums since the start.
func (m *meter) read(ctx context.Context, rdb redis.UniversalClient) reading {
	r := reading{messages: float64(m.count.Load()), seconds: time.Since(m.start).Seconds()}
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	used := must(cost.Read(ctx, rdb))
	r[allocations], r[ownCPU], r[redisCPU], r[allCPU] = float64(heap.Mallocs), 1e6*used.Process, 1e6*used.Redis, 1e6*(used.Process+used.Redis)
	r[platformCPU], r[idle] = 1e6*must(cost.Process(os.Getppid())), 1e6*must(cost.Machine()).Idle
	r[trips], r[gateTrips], r[ledgerTrips] = float64(m.redis.all.Load()), float64(m.redis.gate.Load()), float64(m.redis.own.Load())
	for name, text := range must(redisx.Info(ctx, rdb, "commandstats")) {
		calls, _, _ := strings.Cut(strings.TrimPrefix(text, "calls="), ",")
		n := must(strconv.ParseFloat(calls, 64))
		r[commands] += n
		if name == "cmdstat_evalsha" || name == "cmdstat_eval" {
			r[scripts] += n
		}
	}
	return r
}

// tripCounter is a hook of a Redis client that counts round trips: all, the gate's, and
// those that touch other keys of wxnotify's own.
type tripCounter struct{ all, gate, own atomic.Int64 }

func (c *tripCounter) note(cmds ...redis.Cmder) {
	var gate, own int64
	for _, cmd := range cmds {
		if key := firstKey(cmd); strings.HasSuffix(key, "}:gate") {
			gate = 1
		} else if strings.HasPrefix(key, "wxn:") {
			own = 1
		}
	}
	c.all.Add(1)
	c.gate.Add(gate)
	c.own.Add(own)
}

// firstKey is the first key of wxnotify's or asynq's in a command; empty: it has none.
func firstKey(cmd redis.Cmder) string {
	for _, arg := range cmd.Args() {
		text, _ := arg.(string)
		if p, ok := arg.(*string); ok {
			text = *p
		}
		if strings.HasPrefix(text, "wxn:") || strings.HasPrefix(text, "asynq:") {
			return text
		}
	}
	return ""
}

// DialHook does nothing.
func (*tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts a single command.
func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.note(cmd)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook counts a pipeline.
func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.note(cmds...)
		return next(ctx, cmds)
	}
}

// load is CPU time in seconds: of the machine, and of this process, its ended children
// and Redis.
type load struct {
	cost.Time
	own float64
}

func readLoad(ctx context.Context, rdb redis.UniversalClient) load {
	used := must(cost.Read(ctx, rdb))
	return load{must(cost.Machine()), used.Process + used.Children + used.Redis}
}

// others is the share of the machine that other programs, and other virtual
// machines on the same hardware, used between two readings.
func (l load) others(later load) float64 {
	busy, idle := later.Busy-l.Busy, later.Idle-l.Idle
	return max(0, busy-(later.own-l.own)) / max(busy+idle, 0.01)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// percentile is the smallest value that a share of all values does not exceed.
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(int(math.Ceil(share*float64(len(sorted)))), 1)-1]
}
