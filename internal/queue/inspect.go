package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// ErrActive is returned for a task that a worker is processing.
var ErrActive = errors.New("queue: a worker is sending this message: try again when the attempt has ended")

// ErrNotFound is returned for a task that is not in the queue.
var ErrNotFound = errors.New("queue: no such message in this queue: check the account, class and ID")

// sampleSize is how many tasks of each state are looked at.
const sampleSize = 5

var (
	stateScript  = script("state")
	sampleScript = script("sample")
)

// deleteScript: KEYS are those of PutKeys, and the task. ARGV[1]: ID. Returns the state that
// the task was in, an empty text where there is none.
var deleteScript = redisx.NewScript(PutLua, `
local state = task_state(KEYS[7])
if state and state ~= 'active' then
  remove(KEYS[7], ARGV[1], state)
end
return state or ''`)

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
	Missing                     int           // sampled tasks whose message is gone: evicted or deleted by hand
	Err                         error         // the queue could not be read; the counts are zero
}

// Queues reads the account's queues, most urgent first, in two round trips. A
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

// AllQueues reads every queue that asynq lists, sorted by name, in three round
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
	replies := make([]redis.Cmder, len(names))
	for i, name := range names {
		_, class, _ := ParseName(name)
		states[i].Name, states[i].Class = name, class
		replies[i] = stateScript.Call(ctx, stateKeys(name, now), sampleSize)
	}
	redisx.Exec(ctx, n.rdb, replies...)
	samples := make([]*redisx.Call, len(names)) // nil for an empty queue and one that cannot be read
	var cmds []redis.Cmder
	for i := range states {
		if named := states[i].set(replies[i].(*redisx.Call)); len(named) > 0 {
			keys, args := stateKeys(names[i], now)[:countedStates], make([]any, len(named))
			for k, text := range named {
				if args[k] = text; k%2 == 1 {
					keys = append(keys, asynqKey(names[i], "t:"+text))
				}
			}
			samples[i] = sampleScript.Call(ctx, keys, args...)
			cmds = append(cmds, samples[i])
		}
	}
	redisx.Exec(ctx, n.rdb, cmds...)
	for i := range states {
		if samples[i] != nil {
			states[i].add(now, samples[i])
		}
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

// countedStates are active, pending, scheduled, retry, archived and completed.
const countedStates = 6

// set reads the reply of state.lua. It returns the tasks that were named: of each its state
// and its ID.
func (s *State) set(state *redisx.Call) (named []string) {
	texts, err := state.StringSlice()
	numbers := []*int64{
		&s.Active, &s.Pending, &s.Scheduled, &s.Retry, &s.Archived, &s.Completed,
		&s.Processed, &s.Failed, &s.ProcessedToday, &s.FailedToday,
	}
	if err == nil && len(texts) <= len(numbers) {
		err = fmt.Errorf("state.lua returned %d values", len(texts))
	}
	if err != nil {
		s.fail(err)
		return nil
	}
	for i, into := range numbers {
		*into, _ = strconv.ParseInt(texts[i], 10, 64)
	}
	pause := texts[len(numbers)]
	if s.Paused = pause != ""; s.Paused {
		if json.Unmarshal([]byte(pause), &s.Pause) != nil {
			s.Pause = nil
		}
	}
	return texts[len(numbers)+1:]
}

// add reads the reply of sample.lua.
func (s *State) add(now time.Time, sample *redisx.Call) {
	n, err := sample.Int64Slice()
	if err == nil && len(n) != 2 {
		err = fmt.Errorf("sample.lua returned %d numbers", len(n))
	}
	if err != nil {
		s.fail(err)
		return
	}
	if n[0] > 0 {
		s.Latency = max(now.Sub(time.Unix(0, n[0])), 0)
	}
	s.Missing = int(n[1])
}

// fail leaves nothing but the name and the error.
func (s *State) fail(err error) {
	*s = State{Name: s.Name, Class: s.Class, Err: fmt.Errorf("read the queue %s: %w", s.Name, err)}
}

// Delete removes a task that waits. The error is ErrActive for a task that a
// worker is processing and ErrNotFound when there is none.
func (n *Inspector) Delete(ctx context.Context, account string, class job.Class, id string) error {
	state, err := deleteScript.Run(ctx, n.rdb, append(PutKeys(account, class), TaskKey(account, class, id)), id).Text()
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
