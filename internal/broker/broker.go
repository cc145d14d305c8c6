// Package broker is asynq, tamed. It alone knows asynq's keys.
package broker

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// Queue names the asynq queue of an account and class: "<appid>:critical".
func Queue(account string, class job.Class) string { return account + ":" + string(class) }

// Item is one task to enqueue.
type Item struct {
	Account   string
	Class     job.Class
	ID        string
	Payload   []byte
	ProcessAt time.Time // zero: now
}

// Result of one item.
type Result struct {
	Duplicate bool // a task of this ID is in the queue already
	Err       error
}

// Enqueuer puts many tasks on queues in few round trips with asynq's own script.
// Concurrent callers share a pipeline. Safe for concurrent use.
type Enqueuer struct{ rdb redis.UniversalClient }

// NewEnqueuer does not talk to Redis.
func NewEnqueuer(rdb redis.UniversalClient) *Enqueuer { panic("not built") }

// Enqueue runs before(pipe) for each item index, then asynq's script for the
// item, all in shared pipelines. before may be nil. The error is for the whole
// call; each item has its own in Result.
func (q *Enqueuer) Enqueue(ctx context.Context, items []Item, before func(pipe redis.Pipeliner, i int)) ([]Result, error) {
	panic("not built")
}

// Close flushes and stops; rdb stays open.
func (q *Enqueuer) Close() error { panic("not built") }

// Gate is asked before each fetch.
type Gate interface {
	Take(ctx context.Context, tier ratelimit.Tier) (ratelimit.Permit, error)
	Return(p ratelimit.Permit)
	Changed() <-chan struct{}
}

// Task is a fetched task. Permit is spent by the handler or returned.
type Task struct {
	ID, Queue string
	Payload   []byte
	Permit    *ratelimit.Permit // nil when the fetch was not recognised and took none
}

// Handler handles a task. nil completes it; a *Later puts it back; an error
// that wraps asynq.SkipRetry archives it; any other error is retried in 5 s.
type Handler func(ctx context.Context, t Task) error

// Later puts a task back without counting a failure.
type Later struct {
	After time.Duration // zero: to the head of its queue at once
	Cause error         // its text is stored by asynq: no secret, no openid
}

func (l *Later) Error() string { return l.Cause.Error() }

// Unwrap returns the cause.
func (l *Later) Unwrap() error { return l.Cause }

// ServerConfig of one account's servers in one process.
type ServerConfig struct {
	Redis       redis.UniversalClient
	Account     string
	Gate        Gate
	Handler     Handler
	Concurrency int // tasks in flight, all servers of the account. Default 64.
	Servers     int // asynq servers; asynq fetches one task per round trip. Default 4.
	// TaskTimeout bounds one handler call, whole seconds. Default 30 s.
	TaskTimeout time.Duration
	// DrainTimeout bounds the stop, longer than a send. Default 15 s.
	DrainTimeout time.Duration
	Logger       *zap.Logger
}

// Server fetches and handles one account's tasks.
type Server struct{ cfg ServerConfig }

// NewServer checks cfg.
func NewServer(cfg ServerConfig) (*Server, error) { panic("not built") }

// Run fetches until ctx ends, then drains for at most DrainTimeout. It returns
// nil after a clean drain.
func (s *Server) Run(ctx context.Context) error { panic("not built") }
