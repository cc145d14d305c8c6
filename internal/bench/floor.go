package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// The floors: what no build can go below, each alone.
const (
	floorHTTP  = "HTTP alone"
	floorRedis = "Redis alone"
)

// floor is the child that only posts messages, or only fetches and completes
// tasks in deep pipelines.
func floor(ctx context.Context, t task) (outcome, error) {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = rdb.Close() }()
	if t.Variant == floorHTTP {
		return postAlone(ctx, t, rdb)
	}
	return pipelineAlone(ctx, t, rdb)
}

// postAlone sends from as many goroutines as there are slots, with the same HTTP
// client as the builds.
func postAlone(ctx context.Context, t task, rdb redis.UniversalClient) (outcome, error) {
	m := newMeter(ctx, rdb, t)
	hc := tuned(m.dials)
	url, err := sendURL(ctx, t, hc)
	if err != nil {
		return outcome{}, err
	}
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, t.InFlight)
	for c := range t.InFlight {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < t.Messages && errs[c] == nil; i = int(next.Add(1)) - 1 {
				own := message(i)
				own.ClientMsgID = messageID(t.Prefix, i)
				var body []byte
				if body, errs[c] = wechat.MarshalBody(own); errs[c] == nil {
					errs[c] = post(ctx, hc, url, body)
				}
				m.tick()
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return outcome{}, err
	}
	return m.outcome()
}

// floorChunk is how many calls go in one pipeline.
const floorChunk = 200

// pipelineAlone fetches and completes tasks with asynq's own calls and does
// nothing with them.
func pipelineAlone(ctx context.Context, t task, rdb redis.UniversalClient) (outcome, error) {
	first := messageID(t.Prefix, t.Messages) // beside the ones to be measured
	fetch, done, err := asynqCalls(ctx, rdb, first)
	if err != nil {
		return outcome{}, err
	}
	return timed(ctx, t, rdb, func() error {
		for from := 0; from < t.Messages; from += floorChunk {
			fetches, completions := rdb.Pipeline(), rdb.Pipeline()
			for i := from; i < min(from+floorChunk, t.Messages); i++ {
				fetches.Do(ctx, fetch...)
				completions.Do(ctx, rename(done, first, messageID(t.Prefix, i))...)
			}
			if _, err := fetches.Exec(ctx); err != nil {
				return fmt.Errorf("redis: %w", err)
			}
			if _, err := completions.Exec(ctx); err != nil {
				return fmt.Errorf("redis: %w", err)
			}
		}
		return nil
	})
}

// asynqCalls has asynq handle one task on a queue of its own and returns the calls
// with which it fetched and completed it, as they are for the account's queue.
func asynqCalls(ctx context.Context, rdb redis.UniversalClient, id string) (fetch, done []any, err error) {
	const queue = "learn"
	heard := &ear{}
	rdb.AddHook(heard)
	client := asynq.NewClientFromRedisClient(rdb)
	if _, err := client.EnqueueContext(ctx, asynq.NewTask(job.TaskType, nil), asynq.Queue(queue), asynq.TaskID(id)); err != nil {
		return nil, nil, fmt.Errorf("enqueue: %w", err)
	}
	handled := make(chan struct{})
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 1, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		close(handled)
		return nil
	})); err != nil {
		return nil, nil, fmt.Errorf("start asynq: %w", err)
	}
	<-handled
	srv.Shutdown()
	fetch, done = heard.find(":pending", ":paused"), heard.find(":active", ":lease")
	if fetch == nil || done == nil {
		return nil, nil, errors.New("asynq's calls were not heard: mend the benchmark")
	}
	own := broker.Queue(appID, job.Default)
	return rename(fetch, queue, own), rename(done, queue, own), nil
}

// ear remembers all script calls of a client.
type ear struct {
	mu    sync.Mutex
	calls []redis.Cmder
}

// DialHook passes.
func (*ear) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook notes a single call that went well.
func (e *ear) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if name := cmd.Name(); err == nil && (name == "evalsha" || name == "eval") {
			e.mu.Lock()
			e.calls = append(e.calls, cmd)
			e.mu.Unlock()
		}
		return err
	}
}

// ProcessPipelineHook passes.
func (*ear) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// find returns the call whose first two keys end so, by the script's name.
func (e *ear) find(first, second string) []any {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, cmd := range e.calls {
		args := cmd.Args()
		const key = 3
		if len(args) < key+2 || !strings.HasSuffix(fmt.Sprint(args[key]), first) || !strings.HasSuffix(fmt.Sprint(args[key+1]), second) {
			continue
		}
		if text, _ := args[1].(string); cmd.Name() == "eval" {
			args[0], args[1] = "evalsha", redis.NewScript(text).Hash()
		}
		return args
	}
	return nil
}
