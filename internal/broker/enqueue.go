package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	// maxRetry is so large that asynq never archives by itself: it would archive
	// even a deferral on the last attempt, and counts a killed worker as one. The
	// worker owns the budget.
	maxRetry = 1 << 20
	// taskLimit is when asynq frees the slot of a handler that is deaf to its
	// context. TaskTimeout is shorter, so that asynq's limit is never met first.
	taskLimit = 60 * time.Second
	// chunkSize is how many items go in one round trip.
	chunkSize = 500
)

// ErrClosed is returned by an Enqueuer after Close.
var ErrClosed = errors.New("broker: the enqueuer is closed")

// Enqueuer puts many tasks on queues in few round trips with asynq's own script.
// Concurrent callers share a pipeline. Safe for concurrent use.
type Enqueuer struct {
	client *asynq.Client
	commit *committer
	memory *redisx.MemoryGuard
	rdb    redis.UniversalClient

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// NewEnqueuer does not talk to Redis.
func NewEnqueuer(rdb redis.UniversalClient) *Enqueuer {
	scripts := &sync.Map{}
	scripts.Store(wakeScript.Hash(), wakeSource)
	return &Enqueuer{
		rdb:    rdb,
		client: asynq.NewClientFromRedisClient(newCapture(rdb, scripts)),
		memory: redisx.NewMemoryGuard(rdb),
		commit: &committer{
			rdb: rdb, slots: make(chan struct{}, 2), limit: 2 * chunkSize, scripts: scripts,
			retries: []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second},
		},
	}
}

// Enqueue runs before(pipe) for each item index, then asynq's script for the
// item, all in shared pipelines and in the order of the items. before may be nil;
// it is called from this goroutine, and its commands may run twice when a
// connection breaks. The error is for the whole call: redisx.ErrFull, ErrClosed, or
// ctx's, after which nothing is known of the items and they are safe to enqueue
// again. Each item has its own in Result.
func (q *Enqueuer) Enqueue(ctx context.Context, items []Item, before func(pipe redis.Pipeliner, i int)) ([]Result, error) {
	if len(items) <= chunkSize {
		return q.Send(ctx, q.Pack(ctx, items, before))
	}
	if err := q.begin(ctx); err != nil {
		return nil, err
	}
	defer q.running.Done()
	results := make([]Result, len(items))
	return results, q.enqueueChunks(ctx, items, results, before)
}

// Parcel is items made ready for one Send.
type Parcel struct {
	chunk   *chunk
	results []Result
}

// Pack makes items ready for one round trip, which is the dear part, so that a
// caller can pack one parcel while another travels. Keep it to some hundreds of
// items. before is that of Enqueue.
func (q *Enqueuer) Pack(ctx context.Context, items []Item, before func(pipe redis.Pipeliner, i int)) *Parcel {
	p := &Parcel{results: make([]Result, len(items))}
	p.chunk = q.build(ctx, items, 0, p.results, before)
	return p
}

// Send puts the parcel on its queues, once. Results and error are those of Enqueue.
func (q *Enqueuer) Send(ctx context.Context, p *Parcel) ([]Result, error) {
	if err := q.begin(ctx); err != nil {
		return nil, err
	}
	defer q.running.Done()
	return p.results, q.run(ctx, p.chunk, p.results)
}

func (q *Enqueuer) enqueueChunks(ctx context.Context, items []Item, results []Result, before func(redis.Pipeliner, int)) error {
	var group sync.WaitGroup
	errs := make(chan error, (len(items)+chunkSize-1)/chunkSize)
	travelling := make(chan struct{}, 1) // one at a time keeps the caller's order; the next is encoded meanwhile
	for from := 0; from < len(items) && ctx.Err() == nil; from += chunkSize {
		c := q.build(ctx, items[from:min(from+chunkSize, len(items))], from, results, before)
		travelling <- struct{}{}
		group.Go(func() {
			errs <- q.run(ctx, c, results)
			<-travelling
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("broker: enqueue: %w", err)
	}
	return nil
}

// chunk is what one trip carries of one call.
type chunk struct {
	from    int           // index of the first item
	cmds    []redis.Cmder // before's and the scripts, in order
	scripts []*redis.Cmd  // per item; nil when the item was refused
	wakes   []wake
	payload int // bytes
}

func (q *Enqueuer) build(ctx context.Context, items []Item, from int, results []Result, before func(redis.Pipeliner, int)) *chunk {
	c := &chunk{from: from, scripts: make([]*redis.Cmd, len(items))}
	pipe := q.rdb.Pipeline()
	e := &encoder{client: q.client, caught: &caught{}}
	ctx = context.WithValue(ctx, caughtKey{}, e.caught)
	now := time.Now()
	for i := range items {
		item := &items[i]
		if err := e.encode(ctx, item); err != nil {
			results[from+i].Err = err
			continue
		}
		if before != nil {
			before(pipe, from+i)
		}
		c.scripts[i] = e.caught.cmd
		c.payload += len(item.Payload)
		_ = pipe.Process(ctx, e.caught.cmd) // only queues
		if !item.ProcessAt.After(now) {
			c.wake(wake{item.Account, item.Class})
		}
	}
	c.cmds = pipe.Cmds()
	return c
}

func (c *chunk) wake(w wake) {
	if slices.Contains(c.wakes, w) {
		return
	}
	c.wakes = append(c.wakes, w)
}

// encoder has asynq build the commands of a chunk. It keeps what the items of
// one queue have in common, which is dear to make anew for each of a million.
type encoder struct {
	client *asynq.Client
	caught *caught
	of     wake // whose the options are
	opts   []asynq.Option
}

// encode has asynq build the command for the item; it lands in e.caught, which
// ctx brings to the capture.
func (e *encoder) encode(ctx context.Context, item *Item) error {
	if err := item.validate(); err != nil {
		return err
	}
	e.caught.cmd = nil
	if _, err := e.client.EnqueueContext(ctx, asynq.NewTask(job.TaskType, item.Payload, e.options(item)...)); err != nil {
		return fmt.Errorf("broker: enqueue: %w", err)
	}
	if e.caught.cmd == nil {
		return errors.New("broker: asynq enqueues in a way that this version does not know: use asynq v0.26")
	}
	return nil
}

// options are valid until the next call.
func (e *encoder) options(item *Item) []asynq.Option {
	const common = 3
	if of := (wake{item.Account, item.Class}); e.opts == nil || e.of != of {
		e.of = of
		e.opts = append(make([]asynq.Option, 0, common+2),
			asynq.Queue(Queue(item.Account, item.Class)), asynq.MaxRetry(maxRetry), asynq.Timeout(taskLimit))
	}
	e.opts = append(e.opts[:common], asynq.TaskID(item.ID))
	if !item.ProcessAt.IsZero() {
		e.opts = append(e.opts, asynq.ProcessAt(item.ProcessAt))
	}
	return e.opts
}

func (i *Item) validate() error {
	switch {
	case i.Account == "":
		return errors.New("broker: item: account is empty: name the account's appid")
	case strings.ContainsAny(i.Account, "{}: \t\r\n"):
		return errors.New("broker: item: account holds a brace, colon or space: use the appid as WeChat shows it")
	case i.ID == "":
		return errors.New("broker: item: ID is empty: give each message its own")
	case i.Class != job.Critical && i.Class != job.Default && i.Class != job.Bulk:
		return fmt.Errorf("broker: item: class %q is unknown: use critical, default or bulk", i.Class)
	}
	return nil
}

// run sends the chunk and reads what the server said of each item.
func (q *Enqueuer) run(ctx context.Context, c *chunk, results []Result) error {
	if len(c.cmds) == 0 {
		return nil
	}
	if err := q.memory.Allow(ctx); err != nil { // many chunks may follow the first look
		return err
	}
	q.memory.Spend(len(c.scripts), c.payload)
	if err := q.commit.commit(ctx, c.cmds, c.wakes...); err != nil {
		return fmt.Errorf("broker: enqueue: %w", err)
	}
	for i, cmd := range c.scripts {
		if cmd == nil {
			continue
		}
		r := &results[c.from+i]
		n, err := cmd.Int64()
		switch {
		case err == nil:
			r.Duplicate = n == 0
		case redis.HasErrorPrefix(err, "OOM"):
			r.Err = fmt.Errorf("%w: %w", redisx.ErrFull, err)
		default:
			r.Err = fmt.Errorf("broker: enqueue: %w", err)
		}
	}
	return nil
}

// begin refuses, or counts a call under way.
func (q *Enqueuer) begin(ctx context.Context) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.running.Add(1)
	q.mu.Unlock()
	if err := q.memory.Allow(ctx); err != nil {
		q.running.Done()
		return err
	}
	return nil
}

// Close waits for the calls under way and stops; rdb stays open.
func (q *Enqueuer) Close() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.running.Wait()
	return nil
}
