package ops

import (
	"context"
	"fmt"
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
	At        time.Time
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

// watcher takes snapshots, at most one each freshFor.
type watcher struct {
	cfg       Config
	inspector *queue.Inspector
	reading   chan struct{} // held by the caller that reads
	last      *snapshot
}

func newWatcher(cfg Config, inspector *queue.Inspector) *watcher {
	return &watcher{cfg: cfg, inspector: inspector, reading: make(chan struct{}, 1)}
}

// read returns a snapshot not older than freshFor. The error is ctx's.
func (w *watcher) read(ctx context.Context) (*snapshot, error) {
	select {
	case w.reading <- struct{}{}:
		defer func() { <-w.reading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a snapshot: %w", ctx.Err())
	}
	if w.last != nil && time.Since(w.last.At) < freshFor {
		return w.last, nil
	}
	// Other callers reuse the snapshot: it must not fail because this client left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeLimit)
	defer cancel()
	s := &snapshot{At: time.Now()}
	s.Queues, s.QueuesErr = w.inspector.AllQueues(ctx)
	s.Server, s.ServerErr = redisx.ReadState(ctx, w.cfg.Redis)
	if w.cfg.Gate != nil {
		for _, account := range w.cfg.Accounts {
			g := gateState{Account: account}
			g.State, g.Err = w.cfg.Gate(ctx, account)
			s.Gates = append(s.Gates, g)
		}
	}
	s.Workers = readWorkers(ctx, w.cfg.Redis, w.cfg.Accounts, s.Queues)
	w.last = s
	return s, nil
}
