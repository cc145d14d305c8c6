package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// startRedis runs a redis-server on a free loopback port, without persistence,
// and returns its URL and what ends it.
func startRedis(ctx context.Context) (url string, stop func(), err error) {
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "bench-redis-")
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for redis: %w", err)
	}
	cmd := exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no")
	stop = func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		_ = os.RemoveAll(dir)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start redis-server: %w", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() {
				for lines.Scan() { // a full pipe would block the server
				}
			}()
			return fmt.Sprintf("redis://127.0.0.1:%d/0", port), stop, nil
		}
	}
	stop()
	return "", nil, fmt.Errorf("redis-server did not start on port %d", port)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

// info reads one section of INFO as names and texts.
func info(ctx context.Context, rdb redis.UniversalClient, section string) (map[string]string, error) {
	text, err := rdb.Info(ctx, section).Result()
	if err != nil {
		return nil, fmt.Errorf("redis INFO %s: %w", section, err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// redisCPU is the processor time that Redis has used, in seconds.
func redisCPU(ctx context.Context, rdb redis.UniversalClient) (float64, error) {
	fields, err := info(ctx, rdb, "cpu")
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, name := range []string{"used_cpu_sys", "used_cpu_user"} {
		v, err := strconv.ParseFloat(fields[name], 64)
		if err != nil {
			return 0, fmt.Errorf("redis INFO cpu: %s: %w", name, err)
		}
		sum += v
	}
	return sum, nil
}

// scriptCalls is how often clients have run scripts. A script cannot run another,
// so unlike other commands these are counted once each.
func scriptCalls(ctx context.Context, rdb redis.UniversalClient) (int64, error) {
	fields, err := info(ctx, rdb, "commandstats")
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, name := range []string{"cmdstat_evalsha", "cmdstat_eval"} {
		calls, _, _ := strings.Cut(strings.TrimPrefix(fields[name], "calls="), ",")
		if calls == "" {
			continue
		}
		n, err := strconv.ParseInt(calls, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("redis INFO commandstats: %s: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}

// usedMemory is what the data of Redis takes, in bytes: values, keys and the
// tables of keys and expiries, but no buffers of clients.
func usedMemory(ctx context.Context, rdb redis.UniversalClient) (float64, error) {
	list, err := rdb.Do(ctx, "MEMORY", "STATS").Slice()
	if err != nil {
		return 0, fmt.Errorf("redis MEMORY STATS: %w", err)
	}
	stats := pairs(list)
	data, ok := stats["dataset.bytes"].(int64)
	if !ok {
		return 0, errors.New("redis MEMORY STATS names no dataset.bytes: use Redis 6.2 or later")
	}
	tables, _ := stats["db.0"].([]any) // none while it is empty
	for _, v := range pairs(tables) {
		n, _ := v.(int64)
		data += n
	}
	return float64(data), nil
}

// pairs reads a list of names and values.
func pairs(list []any) map[string]any {
	fields := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		if name, ok := list[i].(string); ok {
			fields[name] = list[i+1]
		}
	}
	return fields
}
