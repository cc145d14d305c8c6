package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
)

const (
	// sweepEvery is the pause between sweeps of an account, all processes together.
	sweepEvery = 5 * time.Second
	// leaseSlack forgives clocks that differ. A living worker extends its leases
	// every 5 s, so that 25 s are left of each at least.
	leaseSlack = 5 * time.Second
	// reapBatch bounds the tasks that one script call looks at.
	reapBatch = 200
	// archiveKeep is the age at which an archived task is removed. asynq's own
	// limit of 90 days breaks its script when much is due at once.
	archiveKeep = 30 * 24 * time.Hour
	trimBatch   = 100
	trimRounds  = 20
	// archiveWarn is when to speak: asynq deletes what is over 9 999.
	archiveWarn = 5000
)

// Swept is what one sweep of an account mended.
type Swept struct {
	Ran       bool // false: another process swept a moment ago
	Recovered int  // tasks that nobody worked on, back at the head of their queue
	Missing   int  // IDs without a message, forgotten
	Stale     int  // leases without a task, removed
	Trimmed   int  // archived tasks older than 30 days, removed
	Mended    int  // tasks that waited in no set, due now
	Orphans   int  // archived tasks that asynq cut off but left in memory, deleted
	Opened    int  // pauses whose hour had come
	Archived  map[job.Class]int64
}

// Watchdog puts back what killed workers held, without asynq's wait of a minute
// and more, and mends what asynq leaks. Any number may run for one account: a
// short lock lets one of them sweep.
type Watchdog struct {
	rdb     redis.UniversalClient
	account string
	log     *zap.Logger
	queues  []queueKeys
	inspect *Inspector
	clock   *clock // nil: taken as right

	mu      sync.Mutex
	cursors map[string]uint64 // of the search for orphans, by node
	warned  map[job.Class]bool
}

// NewWatchdog does not talk to Redis.
func NewWatchdog(rdb redis.UniversalClient, account string, log *zap.Logger) *Watchdog {
	if log == nil {
		log = zap.NewNop()
	}
	return &Watchdog{
		rdb: rdb, account: account, log: log, queues: allKeysOf(account), inspect: NewInspector(rdb),
		cursors: map[string]uint64{}, warned: map[job.Class]bool{},
	}
}

// Run sweeps every 5 s until ctx ends. Each Server runs one.
func (w *Watchdog) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		swept, err := w.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.log.Warn("broker: the watchdog could not sweep, trying again", zap.String("account", w.account), zap.Error(err))
		default:
			w.report(swept)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watchdog) report(s Swept) {
	if s.Recovered+s.Missing+s.Stale+s.Mended+s.Orphans > 0 {
		w.log.Warn("broker: the watchdog mended the queues", zap.String("account", w.account),
			zap.Int("recovered", s.Recovered), zap.Int("without_message", s.Missing), zap.Int("stale_leases", s.Stale),
			zap.Int("due_again", s.Mended), zap.Int("orphans", s.Orphans))
	}
	for class, n := range s.Archived {
		if over := n > archiveWarn; over != w.warned[class] {
			w.warned[class] = over
			if over {
				w.log.Warn("broker: the archive is filling: look into the dead messages, asynq deletes what is over 9999",
					zap.String("account", w.account), zap.String("class", string(class)), zap.Int64("archived", n))
			}
		}
	}
}

// Sweep mends once, unless the account was swept less than 5 s ago.
func (w *Watchdog) Sweep(ctx context.Context) (Swept, error) {
	s := Swept{Archived: map[job.Class]int64{}}
	if w.clock.off() {
		return s, nil // its lock is for who can tell what is abandoned
	}
	free, err := w.rdb.SetNX(ctx, watchdogKey(w.account), 1, sweepEvery-500*time.Millisecond).Result()
	if err != nil || !free {
		return s, wrap("sweep", err)
	}
	s.Ran = true
	var errs []error
	for i := range w.queues {
		q := &w.queues[i]
		errs = append(errs, w.reap(ctx, q, &s), w.trim(ctx, q, &s), w.list(ctx, q, &s))
		opened, err := w.inspect.openDue(ctx, w.account, q.class)
		if opened {
			s.Opened++
		}
		errs = append(errs, err)
	}
	errs = append(errs, w.orphans(ctx, &s))
	return s, wrap("sweep", errors.Join(errs...))
}

func (w *Watchdog) reap(ctx context.Context, q *queueKeys, s *Swept) error {
	for {
		now := time.Now()
		n, err := reapScript.Run(ctx, w.rdb, []string{q.active, q.lease, q.pending},
			now.Add(-leaseSlack).Unix(), q.tasks, now.UnixNano(), reapBatch).Int64Slice()
		if err != nil {
			return err //nolint:wrapcheck // Sweep names itself
		}
		if len(n) != 3 {
			return fmt.Errorf("reap.lua answered %d numbers", len(n))
		}
		s.Recovered += int(n[0])
		s.Missing += int(n[1])
		s.Stale += int(n[2])
		if n[0] > 0 {
			w.wake(ctx, q)
		}
		if n[0]+n[1]+n[2] < reapBatch {
			return nil
		}
	}
}

// wake tells idle workers; when it fails they look by themselves in a second.
func (w *Watchdog) wake(ctx context.Context, q *queueKeys) {
	_ = wakeScript.Run(ctx, w.rdb, []string{idleKey(w.account, q.class)}, wakeChannel(w.account), string(q.class)).Err()
}

func (w *Watchdog) trim(ctx context.Context, q *queueKeys, s *Swept) error {
	before := time.Now().Add(-archiveKeep).Unix()
	for range trimRounds { // the rest next time
		n, err := trimScript.Run(ctx, w.rdb, []string{q.archived, q.lease}, before, q.tasks, trimBatch).Int()
		if err != nil {
			return err //nolint:wrapcheck // Sweep names itself
		}
		s.Trimmed += n
		if n < trimBatch {
			break
		}
	}
	return nil
}

// list keeps the queue on asynq's list, which consoles show and which a flushed
// Redis has lost, and counts the archive.
func (w *Watchdog) list(ctx context.Context, q *queueKeys, s *Swept) error {
	pipe := w.rdb.Pipeline()
	pipe.SAdd(ctx, allQueues, q.queue)
	archived := pipe.ZCard(ctx, q.archived)
	if _, err := pipe.Exec(ctx); err != nil {
		return err //nolint:wrapcheck // Sweep names itself
	}
	s.Archived[q.class] = archived.Val()
	return nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("broker: %s: %w", what, err)
}
