package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// A side queue carries work beside the messages: it has no gate and no record, and is
// asynq as it comes. A task is tried until its retries are used up, and is archived
// then.

// sideKept is how long a side queue knows the ID of a task that is done: longer than a
// process that was killed before it noted what it had put is away.
const sideKept = 10 * time.Minute

// SideName is the name of a side queue of an account.
func SideName(account, name string) string { return account + ":" + name }

// PutSide puts a task on a side queue, unless one with this ID waits, runs, was given up,
// or was done in the last ten minutes. The payload holds no secret and no openid.
func PutSide(ctx context.Context, rdb redis.UniversalClient, account, name, id string, payload []byte, retries int) error {
	task := asynq.NewTask("wechat:"+name, payload)
	_, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(ctx, task,
		asynq.Queue(SideName(account, name)), asynq.TaskID(id), asynq.MaxRetry(retries), asynq.Timeout(taskLimit), asynq.Retention(sideKept))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("queue: put on %s: %w", name, err)
	}
	return nil
}

// Side handles the tasks of a side queue.
type Side struct {
	Redis       redis.UniversalClient
	Account     string
	Name        string
	Concurrency int
	Handle      func(ctx context.Context, payload []byte) error
	// Delays are the waits before the retries.
	Delays func(retried int) time.Duration
	Log    *zap.Logger
}

// Run handles tasks until ctx ends; what runs then has ten seconds to finish.
func (s Side) Run(ctx context.Context) error {
	server := asynq.NewServerFromRedisClient(base{s.Redis}, asynq.Config{
		Concurrency:     s.Concurrency,
		Queues:          map[string]int{SideName(s.Account, s.Name): 1},
		RetryDelayFunc:  func(n int, _ error, _ *asynq.Task) time.Duration { return s.Delays(n) },
		ShutdownTimeout: 10 * time.Second,
		Logger:          newAsynqLog(s.Log),
		LogLevel:        asynq.WarnLevel,
		BaseContext:     func() context.Context { return context.WithoutCancel(ctx) },
	})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error { return s.Handle(ctx, t.Payload()) }))
	if err != nil {
		return fmt.Errorf("queue: start %s: %w", s.Name, err)
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}
