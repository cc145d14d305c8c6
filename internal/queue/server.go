package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
)

// ServerConfig of one account's tasks in one process. All fields are required, and checked
// by who takes them from a user.
type ServerConfig struct {
	Redis   redis.UniversalClient
	Account string
	Gate    Gate
	Handler Handler
	// Concurrency is tasks in flight, see Task.FreeSlot: 1 to MaxConcurrency.
	Concurrency int
	// TaskTimeout bounds one handler call, give or take a second: whole seconds, at most
	// MaxTaskTimeout.
	TaskTimeout time.Duration
	// DrainTimeout bounds the stop. It is longer than a send.
	DrainTimeout time.Duration
	Logger       *zap.Logger
}

const (
	// MaxConcurrency bounds the active list: the time of a completion grows with it.
	MaxConcurrency = 1000
	// MaxTaskTimeout leaves time until taskLimit.
	MaxTaskTimeout = 50 * time.Second
	// spareSlots are those of asynq beyond Concurrency: for tasks that WeChat has accepted,
	// while their record and their completion each wait to share a call of Redis.
	spareSlots = 2 * maxFetch
	// drainGrace is what a handler has to return after its context was cancelled,
	// before asynq puts its task back without it.
	drainGrace = 2 * time.Second
	// twinWait is how long a task waits while a handler runs one of the same ID.
	twinWait = 2 * time.Second
	// checkEvery is asynq's pause between fetches that found nothing. Our client
	// does the waiting, so it can be short.
	checkEvery = 2 * time.Millisecond
	// never is the interval of asynq's actors whose work is ours.
	never = 24 * time.Hour
	// startTime is how long asynq may take until its first fetch.
	startTime = 5 * time.Second
)

// Serve fetches and handles tasks until ctx ends, then drains: handlers go on for at most DrainTimeout,
// then their context is cancelled and what they did not finish goes back to the head
// of its queue. It returns nil after a clean drain.
func Serve(ctx context.Context, cfg ServerConfig) error {
	lasting := context.WithoutCancel(ctx)
	fetching, stopFetching := context.WithCancel(ctx)
	defer stopFetching()
	work, interrupt := context.WithCancel(lasting)
	defer interrupt()

	cfg.Logger = sampled(cfg.Logger.With(zap.String("account", cfg.Account)))
	r := &run{cfg: &cfg, work: work, fetcher: newFetcher(&cfg)}

	r.fetcher.look(ctx) // before anything goes by the clock
	c := newClient(fetching, cfg.Redis, r.fetcher)
	server := asynq.NewServerFromRedisClient(c, r.config())
	if err := server.Start(asynq.HandlerFunc(r.process)); err != nil {
		return fmt.Errorf("queue: start asynq: %w", err)
	}
	var background sync.WaitGroup
	background.Go(func() { r.fetcher.tend(fetching) })
	background.Go(func() { r.fetcher.listen(fetching) })
	err := c.awaitFirstFetch(ctx)
	if err == nil {
		<-ctx.Done()
	}
	stopFetching()
	background.Wait()
	server.Stop() // asks for no more tasks
	r.fetcher.giveBack(lasting)
	err = errors.Join(err, r.drain(server, interrupt))
	for _, d := range r.fetcher.inFlight.takeBack(0) {
		cfg.Gate.Return(d.permit) // asynq never started it; it is recovered when its lease ends
	}
	return err
}

// awaitFirstFetch proves that asynq's dequeue is the one that we know. Otherwise no
// task would ever come.
func (c *client) awaitFirstFetch(ctx context.Context) error {
	timer := time.NewTimer(startTime)
	defer timer.Stop()
	select {
	case <-c.first:
	case <-ctx.Done():
	case <-timer.C:
		return errUnknownFetch()
	}
	return nil
}

// run is one call of Serve.
type run struct {
	cfg     *ServerConfig
	fetcher *fetcher
	work    context.Context //nolint:containedctx // of all handlers; ends when the drain lasts too long
	bounds  Bounds
}

// config is asynq's. One server is enough: it asks for one task after the other, but
// a fetch brings several.
func (r *run) config() asynq.Config {
	return asynq.Config{
		Concurrency: r.cfg.Concurrency + spareSlots,
		// asynq asks for critical first; the order of tasks is the fetch loop's.
		Queues: map[string]int{
			Name(r.cfg.Account, job.Critical): 3,
			Name(r.cfg.Account, job.Default):  2,
			Name(r.cfg.Account, job.Bulk):     1,
		},
		StrictPriority:           true,
		TaskCheckInterval:        checkEvery,
		DelayedTaskCheckInterval: never, // see tend
		JanitorInterval:          never, // nothing is retained
		ShutdownTimeout:          r.cfg.DrainTimeout + drainGrace,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		Logger:                   newAsynqLog(r.cfg.Logger),
		LogLevel:                 asynq.WarnLevel,
	}
}

func (r *run) drain(server *asynq.Server, interrupt func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Shutdown()
	}()
	timer := time.NewTimer(r.cfg.DrainTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	late := r.fetcher.inFlight.count()
	interrupt()
	<-done
	if late == 0 {
		return nil
	}
	return fmt.Errorf("queue: %d tasks of %s did not end within %s and are back on their queue: raise DrainTimeout",
		late, r.cfg.Account, r.cfg.DrainTimeout)
}

// growStack has the goroutine's stack grown once to what a send needs, instead of
// three times on the way down: asynq starts a goroutine for each task, and growing
// copies. Its frame counts, its body does not run.
//
//go:noinline
func growStack(run bool) (sum byte) {
	if run {
		var frame [12 << 10]byte
		for i := range frame {
			frame[i] = byte(i)
			sum += frame[(i*7)%len(frame)]
		}
	}
	return sum
}

// process is asynq's handler.
func (r *run) process(ctx context.Context, t *asynq.Task) (err error) {
	growStack(false)
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	d, ok := r.fetcher.inFlight.start(taskKey{queue, id})
	if d != nil {
		// asynq ends the context when it has put the task where it goes. Until then no other
		// task is fetched in the place of one that goes back, which would overtake it.
		defer context.AfterFunc(ctx, func() { r.fetcher.inFlight.left(d) })
	}
	if !ok {
		if d != nil {
			r.fetcher.gate.Return(d.permit)
		}
		return &Later{twinWait, "another task of this ID is being handled"}
	}
	defer func() {
		if x := recover(); x != nil { // asynq would store its value, which may hold the payload
			r.cfg.Logger.Error("queue: the handler panicked",
				zap.String("id", id), zap.String("value_type", fmt.Sprintf("%T", x)), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("the handler panicked with a value of type %T: see the worker's log", x)
		}
		r.fetcher.inFlight.end(id)
		if err == nil {
			r.fetcher.inFlight.freeSlot(d)
		}
	}()
	// Not asynq's context: asynq gives a task back the moment that ends, while the
	// handler still runs.
	bound := r.bounds.Of(r.work, r.cfg.TaskTimeout, time.Second)
	err = r.cfg.Handler(bound, Task{ //nolint:contextcheck // of the run
		ID: id, Queue: queue, Payload: t.Payload(), Permit: d.permit, Delivery: d.number, Redelivered: d.redelivered,
		inFlight: r.fetcher.inFlight, delivery: d,
	})
	if r.work.Err() != nil && errors.Is(err, context.Canceled) {
		err = &Later{Reason: "the worker stopped"}
	}
	return err
}

// headDelay asks for the head of the queue: a retry that is due before 1970. Should the
// client not recognise it, it is the first of the due retries.
const headDelay = -100 * 365 * 24 * time.Hour

// retryDelay is asynq's RetryDelayFunc.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	var later *Later
	switch {
	case errors.As(err, &later):
		if later.After > 0 {
			return max(later.After, time.Second)
		}
		return headDelay
	case errors.Is(err, asynq.ErrLeaseExpired), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		// Soon: WeChat drops a repeated message for ten minutes only. Spread, so
		// that what one outage ended does not start again at one moment.
		return time.Second + rand.N(4*time.Second)
	}
	return 5 * time.Second
}

// isFailure is asynq's IsFailure: tasks put back and crashes are none.
func isFailure(err error) bool {
	var later *Later
	return err != nil && !errors.As(err, &later) && !errors.Is(err, asynq.ErrLeaseExpired)
}
