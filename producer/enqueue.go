package producer

import (
	"cmp"
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

// fail is for a call that failed as a whole.
func fail(entries []*entry, err error) {
	if redis.HasErrorPrefix(err, "OOM") {
		err = fmt.Errorf("%w: %w", redisx.ErrFull, err)
	}
	for _, e := range entries {
		e.err = err
	}
}

// readAnswers reads those of calls for callSize entries each.
func readAnswers(calls []redis.Cmder, entries []*entry) {
	for chunk := range slices.Chunk(entries, callSize) {
		answers, err := calls[0].(*redisx.Call).Slice()
		calls = calls[1:]
		if err == nil && len(answers) != len(chunk) {
			err = fmt.Errorf("redis answered %d times for %d messages", len(answers), len(chunk))
		}
		if err != nil {
			fail(chunk, err)
			continue
		}
		for i, e := range chunk {
			e.readAnswer(answers[i])
		}
	}
}

func (e *entry) readAnswer(v any) {
	switch v := v.(type) {
	case int64:
	case []any:
		e.old, e.err = ledger.ParseExisting(v)
	case string:
		if e.err = ErrBusy; v != "active" {
			e.err = fmt.Errorf("redis: %.200s", v)
		}
	default:
		e.err = fmt.Errorf("redis answered %T", v)
	}
}

// enqueue writes records and tasks of one class in as few round trips as Redis allows,
// unless the producer is closed, ctx has ended or Redis is nearly full.
func (p *Producer) enqueue(ctx context.Context, class job.Class, entries []*entry) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if err := p.admit(ctx, entries); err != nil {
		fail(entries, err)
		return
	}
	ctx = context.WithoutCancel(ctx) // the answer tells what was enqueued
	if redisx.IsCluster(p.rdb) {
		p.enqueueApart(ctx, class, entries)
		return
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
	readAnswers(calls, entries)
}

// enqueueApart is enqueue for a cluster, where records and tasks lie on different nodes:
// records first. A process that is killed in between leaves records without tasks, which
// the caller's repetition completes, or the workers' sweep deletes.
func (p *Producer) enqueueApart(ctx context.Context, class job.Class, entries []*entry) {
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
	readAnswers(creates, entries)

	var puts []*entry // those that need a task
	var items []queue.Item
	for _, e := range entries {
		if e.err == nil && e.old != nil && e.old.Waits() && p.same(e) {
			e.err = p.adopt(e)
		}
		if e.err == nil && (e.old == nil || e.old.Waits() && e.old.Class == class && e.old.Hash == e.hash) {
			item := e.item()
			item.Replace = e.old == nil // the record is new: a task is one of an earlier message
			puts, items = append(puts, e), append(items, item)
		}
	}
	existing, err := queue.Put(ctx, p.rdb, p.cfg.Account, class, items...)
	if err != nil {
		fail(puts, err)
		return
	}
	var listed []any
	for i, e := range puts {
		if items[i].Replace && existing[i] == "active" {
			// The repetition would take the task for that of the record.
			_, failed := p.ledger.Resolve(ctx, ledger.Orphan{ID: items[i].ID, Class: class}, false)
			e.err = cmp.Or(failed, ErrBusy)
			continue
		}
		listed = append(listed, ledger.Unput(class, items[i].ID))
	}
	if len(listed) > 0 {
		// Should this fail, the sweep finds the tasks and takes the records off the list.
		_ = p.rdb.ZRem(ctx, p.ledger.UnputKey(), listed...).Err()
	}
}

// ticket makes the ticket out of what Redis answered.
func (p *Producer) ticket(ctx context.Context, e *entry) (Ticket, error) {
	mine := Ticket{ID: e.envelope.ID, Class: e.envelope.Class, State: e.state, Truncated: e.truncated}
	switch old := e.old; {
	case e.err != nil:
		return Ticket{ID: mine.ID}, failed(e.err)
	case old == nil:
		mine.QueuedAt = e.envelope.QueuedAt.UTC()
		return mine, nil
	case old.Hash != "" && !p.same(e):
		return Ticket{ID: mine.ID}, &IDReusedError{ID: mine.ID, State: old.State}
	case old.Waits() && (old.Class != "" && old.Class != mine.Class || old.Hash != "" && old.Hash != e.hash):
		if err := p.putAsFirst(ctx, e); err != nil {
			return Ticket{ID: mine.ID}, err
		}
	}
	mine.Duplicate, mine.State = true, e.old.State
	if e.old.Class != "" {
		mine.Class = e.old.Class
	}
	return mine, nil
}

// same reports whether the message of the existing record has this content.
func (p *Producer) same(e *entry) bool {
	return e.old.Hash == e.hash || p.codec.SameContent(e.envelope, e.old.Hash)
}

// adopt gives e the fingerprint of its record, which was made with another key, so that
// the worker knows them as one message.
func (p *Producer) adopt(e *entry) (err error) {
	if e.old.Hash != "" && e.old.Hash != e.hash {
		e.envelope.Fingerprint = e.old.Hash
		e.payload, e.hash, err = p.codec.Encode(e.envelope)
	}
	return err
}

// putAsFirst puts the task of a message that was first enqueued in another class, or
// sealed with another key, should it be missing there. The terms of the first stand.
func (p *Producer) putAsFirst(ctx context.Context, e *entry) error {
	first, old := &entry{envelope: e.envelope}, e.old
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
