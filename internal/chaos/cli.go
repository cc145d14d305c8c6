package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// cli runs redis-cli, which comes with redis-server.
func cli(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "redis-cli", args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("redis-cli: %w", err)
	}
	return string(out), nil
}

// asSentinel makes s a Sentinel of the primary named main. It rewrites its file.
func (s *server) asSentinel(primary string) error {
	file := filepath.Join(s.dir, "sentinel.conf")
	text := "sentinel monitor main 127.0.0.1 " + primary + " 2\n" +
		"sentinel down-after-milliseconds main 1500\n" +
		"sentinel failover-timeout main 6000\n" +
		"sentinel parallel-syncs main 1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a Sentinel's file: %w", err)
	}
	s.args, s.ready = []string{file, "--sentinel"}, "Sentinel ID is"
	return nil
}

// limitFiles bounds the size of the files that s may write, as a full disk does;
// empty lifts the bound.
func (s *server) limitFiles(ctx context.Context, bytes string) error {
	if bytes == "" {
		bytes = "unlimited"
	}
	out, err := exec.CommandContext(ctx, "prlimit", "--pid", s.pid(), "--fsize="+bytes+":unlimited").CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("prlimit (of util-linux): %w: %s", err, out))
	}
	return nil
}
