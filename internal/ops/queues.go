package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// sampled entries of each state tell a task's size, and whether data is missing.
	sampled = 5
	// archiveCap is where asynq begins to drop the oldest archived tasks.
	archiveCap = 10_000
	// archiveNear is where somebody should look at them.
	archiveNear = 5_000
)

// state is one of asynq's, as its pages and metrics call it.
type state struct {
	name string
	list bool // a Redis list; else a sorted set
}

// states are those that wxnotify uses. Groups (aggregating) are not among them:
// counting them costs asynq one command per group.
func states() []state {
	return []state{{"active", true}, {"pending", true}, {"scheduled", false}, {"retry", false}, {"archived", false}, {"completed", false}}
}

// queueReader reads sizes, and only sizes, past asynq's Inspector: that one walks
// all groups inside a script, takes no context, and fails as a whole when the
// data of one task is missing. The key names are asynq v0.26's; a test compares
// with the Inspector.
type queueReader struct{ rdb redis.UniversalClient }

// queueStat is one queue at one moment.
type queueStat struct {
	Name              string
	Count             map[string]int64 // by state
	Groups            int64
	Processed, Failed int64 // since the queue was made
	Paused            bool
	Latency           time.Duration // age of the oldest pending task
	Memory            int64         // bytes, estimated from a sample
	Missing           []missing     // entries of the sample without data
	Err               error         // the rest is not known
}

// missing is an ID in a queue whose data is gone: evicted, or deleted by hand.
type missing struct{ State, ID string }

// Size of all states.
func (q *queueStat) Size() int64 {
	var n int64
	for _, c := range q.Count {
		n += c
	}
	return n
}

// Broken reports whether asynq stumbles over the queue.
func (q *queueStat) Broken() bool { return q.Err != nil || len(q.Missing) > 0 }

func queueKey(queue, name string) string { return "asynq:{" + queue + "}:" + name }

func taskKey(queue, id string) string { return queueKey(queue, "t:") + id }

// names lists the queues, sorted.
func (r *queueReader) names(ctx context.Context) ([]string, error) {
	names, err := r.rdb.SMembers(ctx, "asynq:queues").Result()
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// count is the size of one state of one queue.
func (r *queueReader) count(ctx context.Context, queue, name string) (int64, error) {
	cmd := size(ctx, r.rdb, queue, name)
	n, err := cmd.Result()
	if err != nil {
		return 0, fmt.Errorf("count the %s tasks of %s: %w", name, queue, err)
	}
	return n, nil
}

// group is the size of one group.
func (r *queueReader) group(ctx context.Context, queue, group string) (int64, error) {
	n, err := r.rdb.ZCard(ctx, queueKey(queue, "g:")+group).Result()
	if err != nil {
		return 0, fmt.Errorf("count a group of %s: %w", queue, err)
	}
	return n, nil
}

func size(ctx context.Context, c redis.Cmdable, queue, name string) *redis.IntCmd {
	for _, s := range states() {
		if s.name == name && s.list {
			return c.LLen(ctx, queueKey(queue, name))
		}
	}
	return c.ZCard(ctx, queueKey(queue, name))
}

// sample reads some IDs of a state: of pending, those that are fetched next.
func sample(ctx context.Context, c redis.Cmdable, queue string, s state) *redis.StringSliceCmd {
	switch {
	case s.name == "pending":
		return c.LRange(ctx, queueKey(queue, s.name), -sampled, -1)
	case s.list:
		return c.LRange(ctx, queueKey(queue, s.name), 0, sampled-1)
	default:
		return c.ZRange(ctx, queueKey(queue, s.name), 0, sampled-1)
	}
}

// firstLook is the commands of one queue in the first round trip.
type firstLook struct {
	count, bytes      map[string]*redis.IntCmd
	ids               map[string]*redis.StringSliceCmd
	groups, paused    *redis.IntCmd
	processed, failed *redis.StringCmd
}

// read looks at queues in two round trips, three when data seems to be missing.
// It never fails as a whole: a queue that could not be read carries Err.
func (r *queueReader) read(ctx context.Context, queues []string) []*queueStat {
	looks := make([]firstLook, len(queues))
	pipe := r.rdb.Pipeline()
	for i, q := range queues {
		looks[i] = lookFirst(ctx, pipe, q)
	}
	_, _ = pipe.Exec(ctx) // each command is asked for its own error
	stats := make([]*queueStat, len(queues))
	for i, q := range queues {
		stats[i] = looks[i].stat(q)
	}
	r.lookAtTasks(ctx, stats, looks)
	r.confirm(ctx, stats)
	return stats
}

func lookFirst(ctx context.Context, pipe redis.Pipeliner, queue string) firstLook {
	l := firstLook{
		count: map[string]*redis.IntCmd{}, bytes: map[string]*redis.IntCmd{}, ids: map[string]*redis.StringSliceCmd{},
		groups: pipe.SCard(ctx, queueKey(queue, "groups")), paused: pipe.Exists(ctx, queueKey(queue, "paused")),
		processed: pipe.Get(ctx, queueKey(queue, "processed")), failed: pipe.Get(ctx, queueKey(queue, "failed")),
	}
	for _, s := range states() {
		l.count[s.name] = size(ctx, pipe, queue, s.name)
		l.ids[s.name] = sample(ctx, pipe, queue, s)
		l.bytes[s.name] = pipe.MemoryUsage(ctx, queueKey(queue, s.name))
	}
	return l
}

func (l *firstLook) stat(queue string) *queueStat {
	q := &queueStat{Name: queue, Count: map[string]int64{}}
	for _, s := range states() {
		n, err := l.count[s.name].Result()
		if err != nil {
			q.Err = fmt.Errorf("read %s: %w", queueKey(queue, s.name), err)
			return q
		}
		q.Count[s.name] = n
		q.Memory += l.bytes[s.name].Val() // absent, or a Redis without MEMORY: 0
	}
	var errs [4]error
	q.Groups, errs[0] = l.groups.Result()
	paused, err := l.paused.Result()
	q.Paused, errs[1] = paused > 0, err
	q.Processed, errs[2] = total(l.processed)
	q.Failed, errs[3] = total(l.failed)
	if err := errors.Join(errs[:]...); err != nil {
		q.Err = fmt.Errorf("read the queue %s: %w", queue, err)
	}
	return q
}

func total(cmd *redis.StringCmd) (int64, error) {
	n, err := cmd.Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read a total: %w", err)
	}
	return n, nil
}

// sampledTask is one entry of a sample, asked for its size.
type sampledTask struct {
	missing
	of    *queueStat
	share int64 // tasks of the state that this one stands for
	bytes *redis.IntCmd
}

// lookAtTasks is the second round trip: the size of the sampled tasks, and when
// the oldest pending one came.
func (r *queueReader) lookAtTasks(ctx context.Context, stats []*queueStat, looks []firstLook) {
	var tasks []sampledTask
	since := make([]*redis.StringCmd, len(stats))
	pipe := r.rdb.Pipeline()
	for i, q := range stats {
		if q.Err == nil {
			tasks = append(tasks, lookSecond(ctx, pipe, q, looks[i])...)
			since[i] = oldest(ctx, pipe, q.Name, looks[i])
		}
	}
	if pipe.Len() == 0 {
		return
	}
	_, _ = pipe.Exec(ctx) // each command is asked for its own error
	for _, t := range tasks {
		n, err := t.bytes.Result()
		if errors.Is(err, redis.Nil) {
			t.of.Missing = append(t.of.Missing, t.missing)
		}
		t.of.Memory += n * t.share
	}
	for i, cmd := range since {
		if cmd == nil {
			continue
		}
		if ns, err := cmd.Int64(); err == nil { // absent: the task was put back, its age is not known
			stats[i].Latency = max(0, time.Since(time.Unix(0, ns)))
		}
	}
}

func lookSecond(ctx context.Context, pipe redis.Pipeliner, q *queueStat, look firstLook) []sampledTask {
	var tasks []sampledTask
	for _, s := range states() {
		ids := look.ids[s.name].Val()
		for _, id := range ids {
			share := max(1, q.Count[s.name]/int64(len(ids)))
			tasks = append(tasks, sampledTask{missing{s.name, id}, q, share, pipe.MemoryUsage(ctx, taskKey(q.Name, id))})
		}
	}
	return tasks
}

// oldest asks when the next pending task came; nil without one.
func oldest(ctx context.Context, pipe redis.Pipeliner, queue string, look firstLook) *redis.StringCmd {
	ids := look.ids["pending"].Val()
	if len(ids) == 0 {
		return nil
	}
	return pipe.HGet(ctx, taskKey(queue, ids[len(ids)-1]), "pending_since")
}

// confirm drops what only seemed to be missing: a task that ended between the two
// looks is no longer listed now.
func (r *queueReader) confirm(ctx context.Context, stats []*queueStat) {
	pipe := r.rdb.Pipeline()
	again := map[*queueStat]map[string]*redis.StringSliceCmd{}
	for _, q := range stats {
		if len(q.Missing) == 0 {
			continue
		}
		again[q] = map[string]*redis.StringSliceCmd{}
		for _, s := range states() {
			again[q][s.name] = sample(ctx, pipe, q.Name, s)
		}
	}
	if len(again) == 0 {
		return
	}
	_, _ = pipe.Exec(ctx) // a state that could not be read confirms nothing
	for q, ids := range again {
		q.Missing = slices.DeleteFunc(q.Missing, func(m missing) bool {
			return !slices.Contains(ids[m.State].Val(), m.ID)
		})
	}
}

// repair is the command that takes an entry without data out of its queue.
func (m missing) repair(queue string) string {
	key := queueKey(queue, m.State)
	if m.State == "active" || m.State == "pending" {
		return "LREM " + quoted(key) + " 0 " + quoted(m.ID)
	}
	return "ZREM " + quoted(key) + " " + quoted(m.ID)
}

func quoted(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}
