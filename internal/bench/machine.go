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

// noise is how much of the machine neighbours took.
type noise struct{ stolen, all float64 }

func newNoise() (noise, error) {
	stolen, all, err := ticks()
	return noise{stolen, all}, err
}

// ticks reads the processor's time, and what a hypervisor gave to others. Both
// are 0 where there is no /proc.
func ticks() (stolen, all float64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if os.IsNotExist(err) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the machine's load: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const steal, last = 8, 8 // fields of the first line; those of guests are in others
	for i, field := range strings.Fields(line) {
		if i == 0 || i > last {
			continue
		}
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read the machine's load: %w", err)
		}
		all += v
		if i == steal {
			stolen = v
		}
	}
	return stolen, all, nil
}

// notes tell how far the figures are to be trusted.
func (n noise) notes(o options) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Notes. Ratios are medians of %d interleaved rounds; a ratio within ± 10 %% of its bound at 3 rounds, ± 5 %% at 8, may be noise.\n", o.rounds)
	out.WriteString("Absolute figures are this machine's at this hour, with Redis, worker and simulated WeChat on the same cores: compare none with another run's.\n")
	out.WriteString("Processor time and counts (trips, connections, allocations) are steadier than rates: judge by them first.")
	stolen, all, err := ticks()
	if share := (stolen - n.stolen) / (all - n.all); err == nil && all > n.all {
		fmt.Fprintf(&out, "\nNeighbours took %.1f %% of the processor during this run", 100*share)
		if share > 0.05 {
			out.WriteString(": over 5 %, measure again")
		}
		out.WriteString(".")
	}
	return out.String()
}
