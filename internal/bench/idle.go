package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/worker"
)

const (
	// settle is how long a worker may come to rest after it started.
	settle = 2 * time.Second
	// wireLimit is how long a message may take to the wire.
	wireLimit = 20 * time.Second
)

// idle is the child that enqueues a message now and then while nothing else is
// there to do, and takes the time until it is on the wire.
func idle(ctx context.Context, t task) (outcome, error) {
	sent := make(chan time.Time, 1)
	start := idleOurs
	if t.Variant == bare {
		start = idleBare
	}
	put, stop, err := start(ctx, t, sent)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{Messages: t.Messages}
	err = rest(ctx, settle)
	for i := 0; i < t.Messages && err == nil; i++ {
		// Unlike the poll's period, so that no sample hits the same moment of it.
		if err = rest(ctx, 100*time.Millisecond+rand.N(300*time.Millisecond)); err != nil { //nolint:gosec // no secret
			break
		}
		var took time.Duration
		took, err = sample(ctx, i, put, sent)
		out.Latencies = append(out.Latencies, float64(took)/float64(time.Millisecond))
	}
	return out, errors.Join(err, stop())
}

// sample enqueues one message and waits until it is on the wire.
func sample(ctx context.Context, i int, put func(int) error, sent <-chan time.Time) (time.Duration, error) {
	from := time.Now()
	if err := put(i); err != nil {
		return 0, err
	}
	limit := time.NewTimer(wireLimit)
	defer limit.Stop()
	select {
	case at := <-sent:
		return at.Sub(from), nil
	case <-limit.C:
		return 0, errors.New("a message did not reach the wire within " + wireLimit.String())
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func idleOurs(ctx context.Context, t task, sent chan<- time.Time) (func(int) error, func() error, error) {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return nil, nil, err
	}
	p, err := producer.New(rdb, producer.Config{Account: appID})
	if err != nil {
		return nil, nil, err
	}
	t.Rate = noLimit
	s, err := newStack(rdb, t, wired(func(at time.Time) { sent <- at }), func(worker.Event) {})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	put := func(i int) error {
		_, err := p.Enqueue(ctx, messageID(t.Prefix, i), message(i))
		return err
	}
	stop := func() error {
		cancel()
		return errors.Join(<-ended, p.Close(), rdb.Close())
	}
	return put, stop, nil
}

// idleBare is asynq as it comes: it looks once a second when there was nothing.
func idleBare(ctx context.Context, t task, sent chan<- time.Time) (func(int) error, func() error, error) {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return nil, nil, err
	}
	hc := wired(func(at time.Time) { sent <- at })
	url, err := sendURL(ctx, t, hc)
	if err != nil {
		return nil, nil, err
	}
	shutdown, err := serve(rdb, 10, 1, asynq.Config{}, func(ctx context.Context, task *asynq.Task) error {
		_, body, _ := bytes.Cut(task.Payload(), []byte("\n"))
		return post(ctx, hc, url, body)
	})
	if err != nil {
		return nil, nil, err
	}
	client := asynq.NewClientFromRedisClient(rdb)
	put := func(i int) error {
		item, err := plainItem(producer.Message{ID: messageID(t.Prefix, i), Message: message(i)})
		if err != nil {
			return err
		}
		_, err = client.EnqueueContext(ctx, asynq.NewTask(job.TaskType, item.Payload),
			asynq.Queue(broker.Queue(appID, job.Default)), asynq.TaskID(item.ID))
		return err //nolint:wrapcheck // the child names its role
	}
	stop := func() error {
		shutdown()
		return rdb.Close()
	}
	return put, stop, nil
}
