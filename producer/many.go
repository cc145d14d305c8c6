package producer

import (
	"context"
	"iter"
	"slices"

	"github.com/wxnotify/wxnotify/wechat"
)

// manyChunk is how many messages of a stream are under way at once, and as many
// again are being made ready.
const manyChunk = 2000

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
	for r := range p.EnqueueSeq(ctx, slices.Values(messages)) {
		if r.Err != nil {
			if partial.Failed == 0 {
				partial.First, partial.FirstID = r.Err, r.ID
			}
			partial.Failed++
		}
		results = append(results, r)
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
		defer t.arrive()
		chunk := make([]Message, 0, manyChunk)
		for m := range messages {
			chunk = append(chunk, m)
			if len(chunk) < manyChunk {
				continue
			}
			done := t.arrive()
			t.leave(ctx, chunk)
			if !yieldAll(done, yield) {
				return
			}
			chunk = make([]Message, 0, manyChunk)
			if ctx.Err() != nil {
				break
			}
		}
		done := t.arrive()
		if len(chunk) > 0 {
			t.leave(ctx, chunk)
		}
		if yieldAll(done, yield) {
			yieldAll(t.arrive(), yield)
		}
	}
}

// travel is the chunk that is on its way to Redis while the next is read.
type travel struct {
	producer *Producer
	back     chan []Result
}

func (t *travel) leave(ctx context.Context, chunk []Message) {
	t.back = make(chan []Result, 1)
	go func(back chan<- []Result) { back <- t.producer.enqueue(ctx, chunk) }(t.back)
}

// arrive waits for the chunk on its way; nil when there is none.
func (t *travel) arrive() []Result {
	if t.back == nil {
		return nil
	}
	done := <-t.back
	t.back = nil
	return done
}

func yieldAll(results []Result, yield func(Result) bool) bool {
	for _, r := range results {
		if !yield(r) {
			return false
		}
	}
	return true
}
