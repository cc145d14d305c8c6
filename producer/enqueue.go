package producer

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

var (
	//go:embed lua/enqueue.lua
	enqueueLua string
	//go:embed lua/create.lua
	createLua string

	enqueueScript = redisx.NewScript(ledger.CreateLua, queue.PutLua, enqueueLua)
	createScript  = redisx.NewScript(ledger.CreateLua, createLua)
)

const (
	// callSize is how many messages one script call takes at most: it holds Redis for
	// less than a millisecond then.
	callSize = 64
	// callsAtOnce is how many calls of a class run at once for single Enqueues. More
	// would make them smaller.
	callsAtOnce = 2
)

// reply is what Redis said of one message: either field, or neither for a message that
// was enqueued.
type reply struct {
	old *ledger.Existing
	err error
}

// lost is the reply to all messages of a call that failed as a whole.
func lost(n int, err error) []reply {
	if redis.HasErrorPrefix(err, "OOM") {
		err = fmt.Errorf("%w: %w", redisx.ErrFull, err)
	}
	replies := make([]reply, n)
	for i := range replies {
		replies[i].err = err
	}
	return replies
}

func replyOf(v any) reply {
	switch v := v.(type) {
	case int64:
		return reply{}
	case []any:
		old, err := ledger.ParseExisting(v)
		return reply{old, err}
	case string:
		if v == "active" {
			return reply{err: ErrBusy}
		}
		return reply{err: fmt.Errorf("redis: %.200s", v)}
	default:
		return reply{err: fmt.Errorf("redis answered %T", v)}
	}
}

// enqueue writes records and tasks of one class in as few round trips as Redis allows,
// unless the producer is closed, ctx has ended or Redis is nearly full.
func (p *Producer) enqueue(ctx context.Context, class job.Class, entries []*entry) []reply {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if err := p.admit(ctx, entries); err != nil {
		return lost(len(entries), err)
	}
	ctx = context.WithoutCancel(ctx) // the answer tells what was enqueued
	if redisx.IsCluster(p.rdb) {
		return p.enqueueApart(ctx, class, entries)
	}
	now := time.Now()
	var calls []redis.Cmder
	for chunk := range slices.Chunk(entries, callSize) {
		keys := slices.Grow(queue.PutKeys(p.cfg.Account, class), 2*len(chunk)+2)
		args := slices.Grow(queue.PutArgs(p.cfg.Account, class, now), (queue.ItemArity+ledger.CreateArity)*len(chunk))
		for _, e := range chunk {
			keys = append(keys, p.ledger.RecordKey(e.envelope.ID), queue.TaskKey(p.cfg.Account, class, e.envelope.ID))
			args = queue.AppendItem(args, p.cfg.Account, class, e.item(), now)
			args = p.ledger.AppendCreate(args, &e.envelope, e.hash, now)
		}
		keys = append(keys, p.ledger.IndexKeys(now)...)
		calls = append(calls, enqueueScript.Call(ctx, keys, args...))
	}
	redisx.Exec(ctx, p.rdb, calls...)
	return repliesOf(calls, len(entries))
}

// repliesOf gathers the answers to n messages, of calls for at most callSize each.
func repliesOf(calls []redis.Cmder, n int) []reply {
	replies := make([]reply, 0, n)
	for _, call := range calls {
		size := min(callSize, n-len(replies))
		answers, err := call.(*redisx.Call).Slice()
		if err == nil && len(answers) != size {
			err = fmt.Errorf("redis answered %d times for %d messages", len(answers), size)
		}
		if err != nil {
			replies = append(replies, lost(size, err)...)
			continue
		}
		for _, v := range answers {
			replies = append(replies, replyOf(v))
		}
	}
	return replies
}

// enqueueApart is enqueue for a cluster, where records and tasks lie on different nodes:
// records first. A process that is killed in between leaves records without tasks, which
// the caller's repetition completes, or the workers' sweep deletes.
func (p *Producer) enqueueApart(ctx context.Context, class job.Class, entries []*entry) []reply {
	now := time.Now()
	var creates []redis.Cmder
	for chunk := range slices.Chunk(entries, callSize) {
		keys, args := []string{p.ledger.UnputKey()}, []any{strconv.FormatInt(now.UnixMilli(), 10)}
		for _, e := range chunk {
			keys = append(keys, p.ledger.RecordKey(e.envelope.ID))
			args = append(args, ledger.Unput(class, e.envelope.ID))
			args = p.ledger.AppendCreate(args, &e.envelope, e.hash, now)
		}
		keys = append(keys, p.ledger.IndexKeys(now)...)
		creates = append(creates, createScript.Call(ctx, keys, args...))
	}
	redisx.Exec(ctx, p.rdb, creates...)
	replies := repliesOf(creates, len(entries))

	var index []int // of the entries that need a task
	for i, r := range replies {
		if r.err == nil && r.old != nil && r.old.Waits() && p.same(entries[i], r.old) {
			replies[i].err = p.adopt(entries[i], r.old)
		}
		if r.err == nil && (r.old == nil || r.old.Waits() && r.old.Class == class && r.old.Hash == entries[i].hash) {
			index = append(index, i)
		}
	}
	var items []queue.Item
	for _, i := range index {
		item := entries[i].item()
		item.Replace = replies[i].old == nil // the record is new: a task is one of an earlier message
		items = append(items, item)
	}
	existing, err := queue.Put(ctx, p.rdb, p.cfg.Account, class, items...)
	var put []any
	for n, i := range index {
		switch {
		case err != nil:
			replies[i].err = lost(1, err)[0].err
		case items[n].Replace && existing[n] == "active":
			replies[i].err = ErrBusy
		default:
			put = append(put, ledger.Unput(class, items[n].ID))
		}
	}
	if len(put) > 0 {
		// Should this fail, the sweep finds the tasks and takes the records off the list.
		_ = p.rdb.ZRem(ctx, p.ledger.UnputKey(), put...).Err()
	}
	return replies
}

// ticket makes the ticket out of what was found.
func (p *Producer) ticket(ctx context.Context, e *entry, r reply) (Ticket, error) {
	mine := Ticket{ID: e.envelope.ID, Class: e.envelope.Class, State: e.state, Truncated: e.truncated}
	switch old := r.old; {
	case r.err != nil:
		return Ticket{ID: mine.ID}, failed(r.err)
	case old == nil:
		mine.QueuedAt = e.envelope.QueuedAt.UTC()
		return mine, nil
	case old.Hash != "" && !p.same(e, old):
		return Ticket{ID: mine.ID}, &IDReusedError{ID: mine.ID, State: old.State}
	case old.Waits() && (old.Class != "" && old.Class != mine.Class || old.Hash != "" && old.Hash != e.hash):
		if err := p.putAsFirst(ctx, e, old); err != nil {
			return Ticket{ID: mine.ID}, err
		}
	}
	mine.Duplicate, mine.State = true, r.old.State
	if r.old.Class != "" {
		mine.Class = r.old.Class
	}
	return mine, nil
}

// same reports whether the message of an existing record has this content.
func (p *Producer) same(e *entry, old *ledger.Existing) bool {
	return old.Hash == e.hash || p.codec.SameContent(e.envelope, old.Hash)
}

// adopt gives e the fingerprint of its record, which was made with another key, so that
// the worker knows them as one message.
func (p *Producer) adopt(e *entry, old *ledger.Existing) (err error) {
	if old.Hash != "" && old.Hash != e.hash {
		e.envelope.Fingerprint = old.Hash
		e.payload, e.hash, err = p.codec.Encode(e.envelope)
	}
	return err
}

// putAsFirst puts the task of a message that was first enqueued in another class, or
// sealed with another key, should it be missing there. The terms of the first stand.
func (p *Producer) putAsFirst(ctx context.Context, e *entry, old *ledger.Existing) error {
	first := &entry{envelope: e.envelope}
	if old.Class != "" {
		first.envelope.Class = old.Class
	}
	if old.State == ledger.Scheduled {
		first.envelope.NotBefore = old.NotBefore
	}
	first.envelope.Fingerprint = old.Hash
	var err error
	if first.payload, _, err = p.codec.Encode(first.envelope); err == nil {
		_, err = queue.Put(ctx, p.rdb, p.cfg.Account, first.envelope.Class, first.item())
	}
	if err != nil {
		return fmt.Errorf("producer: enqueue: %w", err)
	}
	return nil
}
