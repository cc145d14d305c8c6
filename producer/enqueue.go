package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/ledger"
)

// batch is a chunk of messages on its way to the queue.
type batch struct {
	producer *Producer
	results  []Result // one per message; those refused have their error already
	entries  []*entry // of the others
	place    []int    // of an entry in results
	births   []func() (ledger.Birth, error)
	parcel   *broker.Parcel // nil when all were refused
}

// pack makes a chunk ready for one trip: each record is born in the same trip as
// its task is put, the record first.
func (p *Producer) pack(ctx context.Context, messages []Message) *batch {
	b := &batch{
		producer: p,
		results:  make([]Result, len(messages)),
		entries:  make([]*entry, 0, len(messages)),
		place:    make([]int, 0, len(messages)),
	}
	items := make([]broker.Item, 0, len(messages))
	now := time.Now()
	for i, m := range messages {
		b.results[i].ID = m.ID
		e, err := p.prepare(m, now)
		if err != nil {
			b.results[i].Err = err
			continue
		}
		b.entries, items, b.place = append(b.entries, e), append(items, e.item), append(b.place, i)
	}
	if len(items) == 0 || p.closed.Load() {
		return b
	}
	p.learn(ctx)
	b.births = make([]func() (ledger.Birth, error), len(items))
	b.parcel = p.queue.Pack(ctx, items, func(pipe redis.Pipeliner, i int) {
		b.births[i] = p.ledger.Born(ctx, pipe, b.entries[i].record)
	})
	return b
}

// send puts the batch on the queue, in one trip that others share, and returns
// one result per message.
func (b *batch) send(ctx context.Context) []Result {
	put, err := b.travel(ctx)
	b.settle(ctx, put, err)
	return b.results
}

// travel is what the queue said of the entries.
func (b *batch) travel(ctx context.Context) ([]broker.Result, error) {
	switch {
	case len(b.entries) == 0:
		return nil, nil
	case b.parcel == nil:
		return nil, broker.ErrClosed
	}
	return b.producer.queue.Send(ctx, b.parcel)
}

// settle writes the result of each entry.
func (b *batch) settle(ctx context.Context, put []broker.Result, err error) {
	for i, e := range b.entries {
		r := &b.results[b.place[i]]
		switch {
		case err == nil:
			r.Ticket, r.Err = b.producer.settle(ctx, e, put[i], b.births[i])
		case errors.Is(err, broker.ErrClosed):
			r.Err = ErrClosed
		default:
			r.Err = fmt.Errorf("producer: enqueue: %w", err)
		}
	}
}

// learn teaches Redis the script of a record once, so that the first messages
// do not each need another trip. A failure shows in the enqueue itself.
func (p *Producer) learn(ctx context.Context) {
	if p.prepared.Load() || p.closed.Load() {
		return
	}
	if p.ledger.Prepare(ctx) == nil {
		p.prepared.Store(true)
	}
}

// settle makes the ticket out of what was found: the record may be new or not,
// the task may be new or not.
func (p *Producer) settle(ctx context.Context, e *entry, put broker.Result, born func() (ledger.Birth, error)) (Ticket, error) {
	if put.Err != nil {
		return Ticket{ID: e.record.ID}, fmt.Errorf("producer: enqueue: %w", put.Err)
	}
	birth, err := born()
	if err != nil {
		// The task is there and the worker makes the record again, but a reused
		// ID could not be told: let the caller repeat.
		return Ticket{ID: e.record.ID}, fmt.Errorf("producer: enqueue: %w", err)
	}
	mine := Ticket{ID: e.record.ID, Class: ClassName(e.record.Class), State: State(e.record.State), Truncated: e.truncated}
	if birth.New {
		if put.Duplicate {
			return p.replace(ctx, e, mine)
		}
		return mine, nil
	}
	old := birth.Existing
	switch {
	case old.Hash != "" && old.Hash != e.record.Hash:
		return Ticket{ID: mine.ID}, p.reused(ctx, e, put, old)
	case old.Class != "" && old.Class != e.record.Class:
		return p.back(ctx, e, put, old)
	case p.apart && !put.Duplicate && old.QueuedAt.Equal(e.record.QueuedAt):
		// A worker was faster than the birth and made this very record from the
		// task. On one node another caller of this very millisecond made it.
		return mine, nil
	}
	mine.Duplicate, mine.State = true, State(old.State)
	return mine, nil
}

const (
	// strayWait is how long replace waits for a worker to drop another message's
	// task, and strayPoll how often it looks.
	strayWait = 3 * time.Second
	strayPoll = 20 * time.Millisecond
)

// replace puts the task although one of this ID was there without a record: an
// archived one that outlived its record, or that of another message, whose caller
// came in the same instant. The record says that the ID is ours by now.
func (p *Producer) replace(ctx context.Context, e *entry, mine Ticket) (Ticket, error) {
	for end := time.Now().Add(strayWait); ; {
		placed, own, err := p.place(ctx, e)
		switch {
		case err != nil:
			return Ticket{ID: mine.ID}, err
		case placed:
			return mine, nil
		case own:
			mine.Duplicate = true // a worker has it in hand at this moment
			return mine, nil
		case time.Now().After(end):
			return Ticket{ID: mine.ID}, fmt.Errorf("producer: enqueue: %w", broker.ErrActive)
		}
		// A worker has the other one in hand, and drops it by the record; or one
		// more caller came in between, and takes its own away.
		timer := time.NewTimer(strayPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Ticket{ID: mine.ID}, fmt.Errorf("producer: enqueue: %w", context.Cause(ctx))
		}
	}
}

// place puts the task where another one of this ID waited. When that is in a
// worker's hand, it says whether that is ours.
func (p *Producer) place(ctx context.Context, e *entry) (placed, own bool, err error) {
	err = p.tasks.Delete(ctx, p.cfg.Account, e.record.Class, e.record.ID)
	switch {
	case err == nil || errors.Is(err, broker.ErrNotFound):
		duplicate, err := p.put(ctx, e.item)
		return !duplicate, false, err
	case errors.Is(err, broker.ErrActive):
		own, err = p.tasks.Holds(ctx, p.cfg.Account, e.record.Class, e.record.ID, e.envelope.Body)
	}
	if err != nil {
		return false, false, fmt.Errorf("producer: enqueue: %w", err)
	}
	return false, own, nil
}

// reused refuses another message under a known ID. Its task must not stay: it
// could outlive the record that tells the worker to drop it.
func (p *Producer) reused(ctx context.Context, e *entry, put broker.Result, old ledger.Record) error {
	reused := &IDReusedError{ID: e.record.ID, State: State(old.State)}
	if put.Duplicate {
		return reused // no task was put
	}
	if err := p.drop(ctx, e); err != nil {
		return errors.Join(reused, err)
	}
	return reused
}

// back puts a message that has another class already into that class, should
// its task be missing there, and drops the one just put.
func (p *Producer) back(ctx context.Context, e *entry, put broker.Result, old ledger.Record) (Ticket, error) {
	ticket := Ticket{ID: e.record.ID, Class: ClassName(old.Class), State: State(old.State), Duplicate: true, Truncated: e.truncated}
	if !put.Duplicate {
		if err := p.drop(ctx, e); err != nil {
			return ticket, err
		}
	}
	if old.State.Ended() || old.State == ledger.Accepted {
		return ticket, nil
	}
	item, err := e.inClass(old)
	if err != nil {
		return ticket, err
	}
	_, err = p.put(ctx, item)
	return ticket, err
}

// drop takes the task just put off its queue, and no other: who the ID belongs to
// may have put its own by now. A worker that has it already drops it by the record.
func (p *Producer) drop(ctx context.Context, e *entry) error {
	err := p.tasks.DeleteOwn(ctx, p.cfg.Account, e.record.Class, e.record.ID, e.item.Payload)
	if err == nil || errors.Is(err, broker.ErrActive) || errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("producer: take the task off the queue: %w", err)
}

// put puts one task, and reports that one of its ID is there.
func (p *Producer) put(ctx context.Context, item broker.Item) (duplicate bool, err error) {
	results, err := p.queue.Send(ctx, p.queue.Pack(ctx, []broker.Item{item}, nil))
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return false, fmt.Errorf("producer: enqueue: %w", err)
	}
	return results[0].Duplicate, nil
}
