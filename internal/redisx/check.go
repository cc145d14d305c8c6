package redisx

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

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
