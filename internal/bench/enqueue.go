package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// The ways to fill a queue.
const (
	oneByOne      = "one by one"
	oneByOnePlain = "asynq one by one"
	many          = "many"
	manyTasks     = "many tasks" // without records
	rawTasks      = "raw tasks"
	rawRecords    = "raw tasks and records"
	stream        = "stream"
)

// callers enqueue at once, one message each.
const callers = 64

// enqueue is the child that fills a queue.
func enqueue(ctx context.Context, t task) (outcome, error) {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = rdb.Close() }()
	if t.Variant == oneByOnePlain {
		return enqueuePlain(ctx, t, rdb)
	}
	p, err := producer.New(rdb, producer.Config{Account: appID})
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = p.Close() }()
	switch t.Variant {
	case oneByOne:
		return timed(ctx, t, rdb, func() error {
			return fromMany(t.Messages, func(i int) error {
				_, err := p.Enqueue(ctx, messageID(t.Prefix, i), message(i))
				return err
			})
		})
	case many:
		list := slices.Collect(messages(t.Prefix, t.Messages))
		return timed(ctx, t, rdb, func() error {
			_, err := p.EnqueueMany(ctx, list)
			return err
		})
	case stream:
		return twice(ctx, t, rdb, func() error { return enqueueStream(ctx, t, p) })
	case manyTasks:
		return enqueueTasks(ctx, t, rdb)
	case rawTasks, rawRecords:
		return enqueueRaw(ctx, t, rdb)
	}
	return outcome{}, errors.New("unknown")
}

// timed reads what do costs.
func timed(ctx context.Context, t task, rdb redis.UniversalClient, do func() error) (outcome, error) {
	m := newMeter(ctx, rdb, t)
	m.warm = 0
	m.take(&m.from)
	if err := do(); err != nil {
		return outcome{}, err
	}
	m.take(&m.till)
	return m.outcome()
}

// twice does it, and again when every message is there already.
func twice(ctx context.Context, t task, rdb redis.UniversalClient, do func() error) (outcome, error) {
	out, err := timed(ctx, t, rdb, do)
	if err != nil {
		return out, err
	}
	again, err := timed(ctx, t, rdb, do)
	out.Again, out.Peak = again.Seconds, again.Peak
	return out, err
}

func fromMany(n int, call func(i int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, callers)
	for c := range callers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[c] == nil; i = int(next.Add(1)) - 1 {
				errs[c] = call(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// enqueuePlain is asynq's own client with the least that its caller must do: give
// the task an ID, and encode the body.
func enqueuePlain(ctx context.Context, t task, rdb redis.UniversalClient) (outcome, error) {
	client := asynq.NewClientFromRedisClient(rdb)
	queue := asynq.Queue(broker.Queue(appID, job.Default))
	return twice(ctx, t, rdb, func() error {
		return fromMany(t.Messages, func(i int) error {
			body, err := wechat.MarshalBody(message(i))
			if err != nil {
				return err
			}
			_, err = client.EnqueueContext(ctx, asynq.NewTask(job.TaskType, body), queue, asynq.TaskID(messageID(t.Prefix, i)))
			if errors.Is(err, asynq.ErrTaskIDConflict) {
				return nil
			}
			return err //nolint:wrapcheck // the child names its role
		})
	})
}

func enqueueStream(ctx context.Context, t task, p *producer.Producer) error {
	for r := range p.EnqueueSeq(ctx, messages(t.Prefix, t.Messages)) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func enqueueTasks(ctx context.Context, t task, rdb redis.UniversalClient) (outcome, error) {
	items := make([]broker.Item, 0, t.Messages)
	for m := range messages(t.Prefix, t.Messages) {
		item, err := plainItem(m)
		if err != nil {
			return outcome{}, err
		}
		items = append(items, item)
	}
	q := broker.NewEnqueuer(rdb)
	defer func() { _ = q.Close() }()
	return timed(ctx, t, rdb, func() error {
		results, err := q.Enqueue(ctx, items, nil)
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
}
