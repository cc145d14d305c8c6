package ops

import (
	"context"
	"time"

	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
)

const (
	// freshFor is how long a snapshot is reused by other scrapes and pages.
	freshFor = 3 * time.Second
	// readTimeLimit bounds one snapshot. What was not read in time has an error.
	readTimeLimit = 2 * time.Second
)

// snapshot is what metrics show.
type snapshot struct {
	Queues    []queue.State
	QueuesErr error
	Server    redisx.State
	ServerErr error
	Gates     []gateState
	Workers   []workersState
}

type gateState struct {
	Account string
	State   ratelimit.State
	Err     error
}

// stateCount is the number of a queue's tasks in one of asynq's states.
type stateCount struct {
	name  string
	tasks int64
}

// statesOf lists the states.
func statesOf(q *queue.State) []stateCount {
	return []stateCount{
		{"pending", q.Pending},
		{"active", q.Active},
		{"scheduled", q.Scheduled},
		{"retry", q.Retry},
		{"archived", q.Archived},
		{"completed", q.Completed},
	}
}

// takeSnapshot reads all that metrics show.
func takeSnapshot(ctx context.Context, cfg Config, inspector *queue.Inspector) *snapshot {
	s := &snapshot{}
	s.Queues, s.QueuesErr = inspector.AllQueues(ctx)
	s.Server, s.ServerErr = redisx.ReadState(ctx, cfg.Redis)
	if cfg.Gate != nil {
		for _, account := range cfg.Accounts {
			g := gateState{Account: account}
			g.State, g.Err = cfg.Gate(ctx, account)
			s.Gates = append(s.Gates, g)
		}
	}
	s.Workers = readWorkers(ctx, cfg.Redis, cfg.Accounts, s.Queues)
	return s
}
