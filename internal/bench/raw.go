package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/producer"
)

// rawChunk is how many messages go in one pipeline.
const rawChunk = 500

// enqueueRaw runs the very scripts that the producer runs, with the same bytes,
// made ready before the clock starts: what is left is go-redis and Redis.
func enqueueRaw(ctx context.Context, t task, rdb redis.UniversalClient) (outcome, error) {
	first := messageID(t.Prefix, t.Messages)
	patterns, err := learn(ctx, rdb, first, t.Variant == rawRecords)
	if err != nil {
		return outcome{}, err
	}
	lines := make([][]any, 0, t.Messages*len(patterns))
	for i := range t.Messages {
		for _, pattern := range patterns {
			lines = append(lines, rename(pattern, first, messageID(t.Prefix, i)))
		}
	}
	chunk := rawChunk * len(patterns)
	return timed(ctx, t, rdb, func() error {
		for from := 0; from < len(lines); from += chunk {
			pipe := rdb.Pipeline()
			for _, line := range lines[from:min(from+chunk, len(lines))] {
				pipe.Do(ctx, line...)
			}
			if _, err := pipe.Exec(ctx); err != nil {
				return fmt.Errorf("redis: %w", err)
			}
		}
		return nil
	})
}

// learn enqueues one message and returns the script calls that did it.
func learn(ctx context.Context, rdb redis.UniversalClient, id string, records bool) ([][]any, error) {
	heard := &listener{}
	rdb.AddHook(heard)
	p, err := producer.New(rdb, producer.Config{Account: appID})
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }()
	if _, err := p.Enqueue(ctx, id, message(0)); err != nil {
		return nil, err
	}
	var patterns [][]any
	for _, line := range heard.lines(id) {
		key, _ := line[3].(string)
		if records || strings.HasPrefix(key, "asynq:") {
			patterns = append(patterns, line)
		}
	}
	want := 1
	if records {
		want = 2
	}
	if len(patterns) != want {
		return nil, fmt.Errorf("one message was enqueued by %d scripts instead of %d: mend the benchmark", len(patterns), want)
	}
	return patterns, nil
}

// rename is the call for another message, whose ID has the same length.
func rename(line []any, from, to string) []any {
	out := make([]any, len(line))
	for i, arg := range line {
		switch v := arg.(type) {
		case string:
			out[i] = strings.ReplaceAll(v, from, to)
		case []byte:
			out[i] = bytes.ReplaceAll(v, []byte(from), []byte(to))
		default:
			out[i] = v
		}
	}
	return out
}

// listener is a hook that remembers the script calls of pipelines.
type listener struct {
	mu    sync.Mutex
	deaf  bool
	calls []redis.Cmder
}

// lines are the successful calls about the ID, one per script. After them nothing
// more is remembered.
func (l *listener) lines(id string) [][]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = true
	var lines [][]any
	seen := map[any]bool{}
	for _, cmd := range l.calls {
		args := cmd.Args()
		if cmd.Err() != nil || len(args) < 4 || seen[args[1]] || !strings.Contains(fmt.Sprint(args[3]), id) {
			continue
		}
		seen[args[1]] = true
		lines = append(lines, args)
	}
	return lines
}

func (l *listener) note(cmds ...redis.Cmder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return
	}
	for _, cmd := range cmds {
		if cmd.Name() == "evalsha" {
			l.calls = append(l.calls, cmd)
		}
	}
}

// DialHook passes.
func (l *listener) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook notes a single call.
func (l *listener) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		l.note(cmd)
		return err
	}
}

// ProcessPipelineHook notes the calls of a pipeline.
func (l *listener) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		l.note(cmds...)
		return err
	}
}
