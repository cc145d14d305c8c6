package broker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
)

// ServerConfig of one account's servers in one process.
type ServerConfig struct {
	Redis       redis.UniversalClient
	Account     string
	Gate        Gate
	Handler     Handler
	Concurrency int // tasks in flight, all servers of the account. Default 64, at most 1000.
	Servers     int // asynq servers, which share fetches of several tasks. Default 4.
	// TaskTimeout bounds one handler call, whole seconds up to 50. Default 30 s.
	TaskTimeout time.Duration
	// DrainTimeout bounds the stop, longer than a send. Default 15 s.
	DrainTimeout time.Duration
	Logger       *zap.Logger
	// Hub is shared by the servers of one process and Redis, so that they hear
	// wake-ups over one connection. Default: one of its own.
	Hub *Hub
}

const (
	// maxConcurrency bounds the active list, which asynq scans at each completion.
	maxConcurrency = 1000
	// drainGrace is what a handler has to return after its context was cancelled,
	// before asynq puts its task back without it.
	drainGrace = 2 * time.Second
	// twinWait is how long a task waits whose ID is being handled already.
	twinWait = 2 * time.Second
	// checkEvery is asynq's pause between fetches that found nothing. The fetcher
	// does the waiting, so it can be short.
	checkEvery = 2 * time.Millisecond
)

// Server fetches and handles one account's tasks.
type Server struct{ cfg ServerConfig }

// NewServer checks cfg and names every fault.
func NewServer(cfg ServerConfig) (*Server, error) {
	var faults []error
	refuse := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New("broker: "+text))
		}
	}
	orDefault(&cfg.Concurrency, 64)
	orDefault(&cfg.Servers, 4)
	orDefault(&cfg.TaskTimeout, 30*time.Second)
	orDefault(&cfg.DrainTimeout, 15*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	refuse(cfg.Redis == nil, "Redis is missing: pass the client that Dial made")
	refuse(cfg.Account == "" || strings.ContainsAny(cfg.Account, "{}: \t\r\n"), "Account: use the appid as WeChat shows it")
	refuse(cfg.Gate == nil, "Gate is missing: nothing may be fetched without one")
	refuse(cfg.Handler == nil, "Handler is missing")
	refuse(cfg.Concurrency < 1 || cfg.Concurrency > maxConcurrency, "Concurrency: use 1 to 1000")
	refuse(cfg.Servers < 1, "Servers: use 1 or more")
	refuse(cfg.TaskTimeout < time.Second || cfg.TaskTimeout > 50*time.Second || cfg.TaskTimeout%time.Second != 0,
		"TaskTimeout: use whole seconds from 1s to 50s")
	refuse(cfg.DrainTimeout < 0, "DrainTimeout: use 0 for the default of 15s, or more")
	cfg.Servers = min(cfg.Servers, max(cfg.Concurrency, 1))
	if cfg.Hub == nil && cfg.Redis != nil {
		cfg.Hub = NewHub(cfg.Redis)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg}, nil
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Run fetches until ctx ends, then drains: handlers go on for at most
// DrainTimeout, then their context is cancelled and what they did not finish
// goes back to the head of its queue. It returns nil after a clean drain.
func (s *Server) Run(ctx context.Context) error {
	lasting := context.WithoutCancel(ctx)
	fetching, stopFetching := context.WithCancel(lasting)
	defer stopFetching()
	work, interrupt := context.WithCancel(lasting)
	defer interrupt()

	r := &run{cfg: &s.cfg, work: work, twins: map[string]bool{}}
	r.asynqLog = newAsynqLog(s.cfg.Logger.With(zap.String("account", s.cfg.Account)))
	r.fetcher = newFetcher(fetching, &s.cfg)
	defer r.fetcher.giveBack() //nolint:contextcheck // its own has ended by then
	stopListening := s.cfg.Hub.listen(lasting, s.cfg.Account, r.fetcher.stir)
	defer stopListening()

	r.fetcher.clock.look(ctx) // before asynq acts by it
	servers, err := r.start(newClient(s.cfg.Redis, r.fetcher))
	if err == nil {
		var side sync.WaitGroup
		defer side.Wait()
		watchdog := NewWatchdog(s.cfg.Redis, s.cfg.Account, s.cfg.Logger)
		watchdog.clock = r.fetcher.clock
		side.Go(func() { watchdog.Run(ctx) })
		side.Go(func() { r.fetcher.clock.run(ctx) })
		side.Go(r.fetcher.keep)
		<-ctx.Done()
	}
	stopFetching()
	return errors.Join(err, r.drain(servers, interrupt))
}

// run is one Run of a Server.
type run struct {
	cfg      *ServerConfig
	fetcher  *fetcher
	asynqLog *asynqLog       // one for all servers, which complain of the same things
	work     context.Context //nolint:containedctx // ends when the drain has lasted too long
	inFlight atomic.Int64
	mu       sync.Mutex
	twins    map[string]bool // IDs being handled
}

func (r *run) start(c *client) ([]*asynq.Server, error) {
	var servers []*asynq.Server
	for i := range r.cfg.Servers {
		// The remainder goes to the first servers.
		slots := (r.cfg.Concurrency + r.cfg.Servers - 1 - i) / r.cfg.Servers
		srv := asynq.NewServerFromRedisClient(c, r.config(slots, i == 0))
		if err := srv.Start(asynq.HandlerFunc(r.process)); err != nil {
			return servers, fmt.Errorf("broker: start: %w", err)
		}
		servers = append(servers, srv)
	}
	return servers, nil
}

func (r *run) config(slots int, reports bool) asynq.Config {
	cfg := asynq.Config{
		Concurrency: slots,
		// asynq shows the weights; the order is the fetcher's.
		Queues: map[string]int{
			Queue(r.cfg.Account, job.Critical): 6,
			Queue(r.cfg.Account, job.Default):  3,
			Queue(r.cfg.Account, job.Bulk):     1,
		},
		TaskCheckInterval:        checkEvery,
		DelayedTaskCheckInterval: forwardEvery,
		JanitorInterval:          10 * time.Minute, // nothing is retained
		ShutdownTimeout:          r.cfg.DrainTimeout + drainGrace,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		Logger:                   r.asynqLog,
		LogLevel:                 asynq.WarnLevel,
	}
	if reports {
		cfg.HealthCheckFunc = r.health()
	}
	return cfg
}

// health says once that Redis went away and once that it is back.
func (r *run) health() func(error) {
	var down atomic.Bool
	return func(err error) {
		if was := down.Swap(err != nil); was == (err != nil) {
			return
		}
		if err != nil {
			r.cfg.Logger.Error("broker: redis does not answer", zap.String("account", r.cfg.Account), zap.Error(err))
			return
		}
		r.cfg.Logger.Info("broker: redis answers again", zap.String("account", r.cfg.Account))
	}
}

func (r *run) drain(servers []*asynq.Server, interrupt func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var group sync.WaitGroup
		for _, srv := range servers {
			group.Go(srv.Shutdown)
		}
		group.Wait()
	}()
	timer := time.NewTimer(r.cfg.DrainTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	late := r.inFlight.Load()
	interrupt()
	<-done
	if late == 0 {
		return nil
	}
	return fmt.Errorf("broker: %d tasks of %s did not end within %s and are back on their queue: raise DrainTimeout",
		late, r.cfg.Account, r.cfg.DrainTimeout)
}

// process is asynq's handler.
func (r *run) process(ctx context.Context, t *asynq.Task) error {
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	permit, ended := r.fetcher.begun(taskKey{queue, id})
	defer ended()
	if !r.enter(id) {
		// Asynq keeps leases and cancellations by ID, and frees the slot of a
		// handler that is deaf to its timeout: two of one ID never run at once.
		if permit != nil {
			r.fetcher.gate.Return(*permit)
		}
		return &deferral{twinWait, "another task of this ID is being handled"}
	}
	defer r.leave(id)

	// Not asynq's base context: asynq gives a task back the moment its context
	// ends, while the handler still runs.
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TaskTimeout)
	defer cancel()
	defer context.AfterFunc(r.work, cancel)() //nolint:contextcheck // the run ends its tasks
	err := r.call(ctx, Task{ID: id, Queue: queue, Payload: t.Payload(), Permit: permit})

	var later *Later
	switch {
	case errors.As(err, &later):
		return &deferral{later.After, later.Error()}
	case err != nil && r.work.Err() != nil && errors.Is(err, context.Canceled):
		return &deferral{0, "the worker stopped"}
	}
	return err
}

// call keeps a panic's value away from asynq, which would store it: it may hold
// the payload.
func (r *run) call(ctx context.Context, t Task) (err error) {
	defer func() {
		if x := recover(); x != nil {
			r.cfg.Logger.Error("broker: the handler panicked", zap.String("account", r.cfg.Account),
				zap.String("id", t.ID), zap.String("value_type", fmt.Sprintf("%T", x)), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("the handler panicked with a value of type %T: see the worker's log", x)
		}
	}()
	return r.cfg.Handler(ctx, t)
}

func (r *run) enter(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.twins[id] {
		return false
	}
	r.twins[id] = true
	r.inFlight.Add(1)
	return true
}

func (r *run) leave(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.twins, id)
	r.inFlight.Add(-1)
}
