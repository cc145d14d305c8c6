package queue

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// ErrActive is returned for a task that a worker is processing.
var ErrActive = errors.New("queue: a worker is sending this message: try again when the attempt has ended")

// ErrNotFound is returned for a task that is not in the queue.
var ErrNotFound = errors.New("queue: no such message in this queue: check the account, class and ID")

// sampleSize is the number of tasks per state whose size is measured.
const sampleSize = 5

var (
	//go:embed lua/state.lua
	stateLua string
	//go:embed lua/delete.lua
	deleteLua string

	stateScript  = redisx.NewScript(stateLua)
	deleteScript = redisx.NewScript(deleteLua)
)

// Inspector reads queues and acts on them. It is used in place of asynq's
// inspector, which takes no context, returns an error for a queue that was never
// used, and fails for every queue when the data of one task is missing.
type Inspector struct{ rdb redis.UniversalClient }

// NewInspector does not talk to Redis.
func NewInspector(rdb redis.UniversalClient) *Inspector { return &Inspector{rdb: rdb} }

// State is one queue at one moment.
type State struct {
	Name      string    // as asynq lists it: "<appid>:<class>" for a queue of wxnotify
	Class     job.Class // empty for a queue of another program
	Pending   int64
	Active    int64
	Scheduled int64
	Retry     int64
	Archived  int64 // tasks that asynq gave up; wxnotify archives none
	Completed int64
	// Processed counts completed and failed attempts since the queue was created,
	// Failed the failed ones. A task that was put back counts in neither. The Today
	// counters start at 00:00 UTC, asynq's day.
	Processed, Failed           int64
	ProcessedToday, FailedToday int64
	Paused                      bool
	Pause                       *Pause        // nil: not paused, or paused by another tool
	Latency                     time.Duration // since the next task became pending; zero without one
	Memory                      int64         // bytes, estimated from a sample; 0 when Redis refuses MEMORY USAGE
	Missing                     int           // sampled tasks whose message is gone: evicted or deleted by hand
	Err                         error         // the queue could not be read; the counts are zero
}

// Queues reads the account's queues, most urgent first, in one round trip. A
// queue that was never used is empty, not an error.
func (n *Inspector) Queues(ctx context.Context, account string) ([]State, error) {
	var names []string
	for _, class := range job.Classes() {
		names = append(names, Name(account, class))
	}
	states := n.read(ctx, names)
	for i := range states {
		if err := states[i].Err; err != nil {
			return nil, wrap("queues", err)
		}
	}
	return states, nil
}

// AllQueues reads every queue that asynq lists, sorted by name, in two round
// trips. A queue that cannot be read has Err set; the others are still read.
func (n *Inspector) AllQueues(ctx context.Context) ([]State, error) {
	names, err := n.rdb.SMembers(ctx, allQueues).Result()
	if err != nil {
		return nil, wrap("list the queues", err)
	}
	slices.Sort(names)
	return n.read(ctx, names), nil
}

func (n *Inspector) read(ctx context.Context, names []string) []State {
	now := time.Now()
	states := make([]State, len(names))
	replies := make([]*redisx.Call, len(names))
	pauses := make([]*redis.StringCmd, len(names)) // nil for a queue of another program
	var cmds []redis.Cmder
	for i, name := range names {
		states[i].Name = name
		replies[i] = stateScript.Call(ctx, stateKeys(name, now), asynqKey(name, "t:"), sampleSize)
		cmds = append(cmds, replies[i])
		if account, class, ok := ParseName(name); ok {
			states[i].Class = class
			pauses[i] = redis.NewStringCmd(ctx, "get", pauseKey(account, class))
			cmds = append(cmds, pauses[i])
		}
	}
	redisx.Exec(ctx, n.rdb, cmds...)
	for i := range states {
		states[i].set(now, replies[i], pauses[i])
	}
	return states
}

// stateKeys are the keys of state.lua.
func stateKeys(name string, now time.Time) []string {
	day := now.UTC().Format(":" + time.DateOnly)
	keys := []string{
		"active", "pending", "scheduled", "retry", "archived", "completed", "paused",
		"processed", "failed", "processed" + day, "failed" + day,
	}
	for i := range keys {
		keys[i] = asynqKey(name, keys[i])
	}
	return keys
}

// set reads the reply of state.lua and the record of the pause.
func (s *State) set(now time.Time, state *redisx.Call, pause *redis.StringCmd) {
	numbers, err := state.Int64Slice()
	var paused, pausedAt, since, missing int64
	into := []*int64{
		&s.Active, &s.Pending, &s.Scheduled, &s.Retry, &s.Archived, &s.Completed, &paused, &pausedAt,
		&s.Processed, &s.Failed, &s.ProcessedToday, &s.FailedToday, &since, &s.Memory, &missing,
	}
	if err == nil && len(numbers) != len(into) {
		err = fmt.Errorf("state.lua returned %d numbers", len(numbers))
	}
	var record string
	if err == nil && pause != nil {
		if record, err = pause.Result(); errors.Is(err, redis.Nil) {
			err = nil
		}
	}
	if err != nil {
		s.Err = fmt.Errorf("read the queue %s: %w", s.Name, err)
		return
	}
	for i, n := range numbers {
		*into[i] = n
	}
	s.Missing = int(missing)
	if since > 0 {
		s.Latency = max(now.Sub(time.Unix(0, since)), 0)
	}
	if s.Paused = paused > 0; s.Paused {
		s.Pause = parsePause(record, pausedAt)
	}
}

// Delete removes a task that waits. The error is ErrActive for a task that a
// worker is processing and ErrNotFound when there is none.
func (n *Inspector) Delete(ctx context.Context, account string, class job.Class, id string) error {
	q := keysOf(account, class)
	state, err := deleteScript.Run(ctx, n.rdb,
		[]string{q.tasks + id, q.pending, q.scheduled, q.retry, q.archived, q.completed}, id).Text()
	switch {
	case err != nil:
		return wrap("delete", err)
	case state == "active":
		return fmt.Errorf("%w (ID %s)", ErrActive, id)
	case state == "":
		return fmt.Errorf("%w (ID %s)", ErrNotFound, id)
	}
	return nil
}

// Has reports for each ID whether the queue has a task of it, in any state.
func (n *Inspector) Has(ctx context.Context, account string, class job.Class, ids ...string) ([]bool, error) {
	q := keysOf(account, class)
	found := make([]*redis.IntCmd, len(ids))
	pipe := n.rdb.Pipeline()
	for i, id := range ids {
		found[i] = pipe.Exists(ctx, q.tasks+id)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, wrap("look for tasks", err)
	}
	has := make([]bool, len(ids))
	for i := range ids {
		has[i] = found[i].Val() == 1
	}
	return has, nil
}

// wake tells idle workers. If the call fails, they find the task within a second.
func (n *Inspector) wake(ctx context.Context, account string, class job.Class) {
	_ = n.rdb.Publish(ctx, wakeChannel(account), string(class)).Err()
}
