package producer

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// manyChunk is how many messages of a stream go in one trip.
	manyChunk = 500
	// manyAhead is how many chunks have left: one is on its way to Redis while
	// the others are made ready or their answers are read.
	manyAhead = 4
)

// Message is one of many to enqueue.
type Message struct {
	ID      string
	Message *wechat.TemplateMessage
	Terms   Terms
}

// Result of one message: a ticket, or the error that Enqueue would return.
type Result struct {
	Ticket
	Err error
}

// EnqueueMany enqueues messages in few round trips, thousands at once. It
// returns one result per message, in their order. The error is nil when every
// message has a ticket, else a *PartialError; repeat the call with the same IDs
// to enqueue the rest.
func (p *Producer) EnqueueMany(ctx context.Context, messages []Message) ([]Result, error) {
	results := make([]Result, 0, len(messages))
	partial := &PartialError{Total: len(messages)}
	add := func(r Result) {
		if r.Err != nil {
			if partial.Failed == 0 {
				partial.First, partial.FirstID = r.Err, r.ID
			}
			partial.Failed++
		}
		results = append(results, r)
	}
	for r := range p.EnqueueSeq(ctx, slices.Values(messages)) {
		add(r)
	}
	for _, m := range messages[len(results):] { // ctx ended before they were read
		add(Result{Ticket: Ticket{ID: m.ID}, Err: fmt.Errorf("producer: enqueue: %w", context.Cause(ctx))})
	}
	if partial.Failed > 0 {
		return results, partial
	}
	return results, nil
}

// EnqueueSeq enqueues a stream of messages in bounded memory and yields one
// result per message, in their order. It reads ahead by a few thousand. When ctx
// ends, what was read and not enqueued has its error, and the stream ends. When
// the caller breaks off, what was read ahead may be enqueued all the same.
func (p *Producer) EnqueueSeq(ctx context.Context, messages iter.Seq[Message]) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		t := &travel{producer: p}
		defer t.wait()
		chunk := make([]Message, 0, manyChunk)
		for m := range messages {
			chunk = append(chunk, m)
			if len(chunk) < manyChunk {
				continue
			}
			if !yieldAll(t.exchange(ctx, chunk), yield) {
				return
			}
			chunk = make([]Message, 0, manyChunk)
			if ctx.Err() != nil {
				break
			}
		}
		if len(chunk) > 0 {
			t.leave(ctx, chunk)
		}
		for len(t.under) > 0 {
			if !yieldAll(t.arrive(), yield) {
				return
			}
		}
	}
}

// travel is the chunks that have left, in their order. They are made ready and
// their answers are read side by side, but they go to Redis one after the other.
type travel struct {
	producer *Producer
	under    []<-chan []Result // oldest first
	before   chan struct{}     // closed when the last one that left was put; nil: none has left
}

// exchange lets chunk leave; when enough are under way the oldest arrives first.
func (t *travel) exchange(ctx context.Context, chunk []Message) []Result {
	var done []Result
	if len(t.under) == manyAhead {
		done = t.arrive()
	}
	t.leave(ctx, chunk)
	return done
}

func (t *travel) leave(ctx context.Context, chunk []Message) {
	back, arrived, before := make(chan []Result, 1), make(chan struct{}), t.before
	t.under, t.before = append(t.under, back), arrived
	go func() {
		b := t.producer.pack(ctx, chunk)
		if before != nil {
			<-before
		}
		put, err := b.travel(ctx)
		close(arrived)
		b.settle(ctx, put, err)
		back <- b.results
	}()
}

// arrive waits for the oldest chunk under way.
func (t *travel) arrive() []Result {
	done := <-t.under[0]
	t.under = t.under[1:]
	return done
}

func (t *travel) wait() {
	for len(t.under) > 0 {
		t.arrive()
	}
}

func yieldAll(results []Result, yield func(Result) bool) bool {
	for _, r := range results {
		if !yield(r) {
			return false
		}
	}
	return true
}
