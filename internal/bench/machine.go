package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// machine says what the figures were read on.
func machine(ctx context.Context, rdb redis.UniversalClient, o options) (string, error) {
	server, err := info(ctx, rdb, "server")
	if err != nil {
		return "", err
	}
	parts := []string{
		fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		runtime.Version(), "Redis " + server["redis_version"],
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == "github.com/hibiken/asynq" || m.Path == "github.com/redis/go-redis/v9" {
				parts = append(parts, strings.TrimSuffix(m.Path[strings.Index(m.Path, "/")+1:], "/v9")+" "+m.Version)
			}
		}
	}
	parts = append(parts, fmt.Sprintf("%d rounds of %d messages, WeChat at %s, %d in flight", o.rounds, o.messages, o.latency, o.inFlight))
	return "machine: " + strings.Join(parts, "; "), nil
}

// noise is how much of the processors others took while we measured.
type noise struct {
	from ticks
	own  float64
}

func newNoise() (noise, error) {
	own, err := treeUse()
	if err != nil {
		return noise{}, err
	}
	from, err := readTicks()
	return noise{from, own}, err
}

// ticks are hundredths of processor seconds since the machine started: of all
// processors, not used, and given to other machines by a hypervisor. All are 0
// where there is no /proc.
type ticks struct{ all, idle, stolen float64 }

// ticksPerSecond is what Linux tells every program, whatever its own clock.
const ticksPerSecond = 100

func readTicks() (ticks, error) {
	text, err := os.ReadFile("/proc/stat")
	if os.IsNotExist(err) {
		return ticks{}, nil
	}
	if err != nil {
		return ticks{}, fmt.Errorf("read the machine's load: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return parseTicks(line)
}

// parseTicks reads "cpu user nice system idle iowait irq softirq steal guest …";
// guests are counted as user already.
func parseTicks(line string) (ticks, error) {
	const idle, waiting, stolen, last = 4, 5, 8, 8
	var t ticks
	for i, field := range strings.Fields(line) {
		if i == 0 || i > last {
			continue
		}
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return ticks{}, fmt.Errorf("read the machine's load: %w", err)
		}
		t.all += v
		switch i {
		case idle, waiting:
			t.idle += v
		case stolen:
			t.stolen += v
		}
	}
	return t, nil
}

// others is the share of the processors that somebody else used, between
// two readings; own is what we used, in seconds.
func others(from, till ticks, own float64) float64 {
	all := till.all - from.all
	if all <= 0 {
		return 0
	}
	busy := all - (till.idle - from.idle)
	return max(0, busy-own*ticksPerSecond) / all
}

// notes tell how far the figures are to be trusted.
func (n noise) notes(o options) (string, error) {
	own, err := treeUse()
	if err != nil {
		return "", err
	}
	till, err := readTicks()
	if err != nil {
		return "", err
	}
	share := others(n.from, till, own-n.own)
	lines := []string{
		fmt.Sprintf("Notes. Ratios are medians of %d interleaved rounds: trust them to ± 10 %% at 3 to 6 rounds, to ± 5 %% at 8.", o.rounds),
		"Absolute figures are this machine's at this hour, with Redis, worker and simulated WeChat on the same cores: compare none with another run's.",
		"Processor time and counts (trips, connections, allocations) are steadier than rates: judge by them first.",
	}
	if till.all > 0 {
		verdict := "."
		if share > 0.05 {
			verdict = ": over 5 %, so rates and their ratios say little. Measure again on a quiet machine."
		}
		lines = append(lines, fmt.Sprintf("Other programs and machines took %.1f %% of the processors during this run%s", 100*share, verdict))
	}
	return strings.Join(lines, "\n"), nil
}
