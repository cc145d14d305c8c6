package producer

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/tracing"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// chunkSize is how many messages of a stream go to Redis in one round trip.
	chunkSize = 8 * callSize
	// chunksAhead is how many chunks are prepared or on their way to Redis at once.
	chunksAhead = 4
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

// EnqueueMany enqueues messages in few round trips, thousands at once; a single one
// in a round trip that other callers share, as Enqueue does. It returns one result per
// message, in their order. The error is nil when every message has a ticket, else a
// *PartialError; repeat the call with the same IDs to enqueue the rest.
func (p *Producer) EnqueueMany(ctx context.Context, messages []Message) ([]Result, error) {
	if len(messages) == 1 && ctx.Err() == nil {
		m := messages[0]
		ticket, err := p.Enqueue(context.WithoutCancel(ctx), m.ID, m.Message, func(t *Terms) { *t = m.Terms }) // the answer tells whether it was enqueued
		results := []Result{{ticket, err}}
		return results, partial(results)
	}
	ctx, span := tracing.Start(ctx, "wxnotify enqueue", trace.SpanKindProducer)
	defer span.End()
	span.Text("account", p.cfg.Account)
	span.Number("messages", int64(len(messages)))
	results := slices.AppendSeq(make([]Result, 0, len(messages)), p.EnqueueSeq(ctx, slices.Values(messages)))
	for _, m := range messages[len(results):] { // ctx ended before they were read
		results = append(results, Result{Ticket{ID: m.ID}, fmt.Errorf("producer: enqueue: %w", context.Cause(ctx))})
	}
	err := partial(results)
	if err != nil {
		span.Fail("not all were enqueued")
	}
	return results, err
}

// partial is nil, or a *PartialError.
func partial(results []Result) error {
	e := &PartialError{Total: len(results)}
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		if e.Failed == 0 {
			e.First, e.FirstID = r.Err, r.ID
		}
		e.Failed++
	}
	if e.Failed == 0 {
		return nil
	}
	return e
}

// EnqueueSeq enqueues a stream of messages in bounded memory and yields one
// result per message, in their order. It reads ahead by a few thousand. When ctx
// ends, what was read and not enqueued has its error, and the stream ends. When
// the caller breaks off, what was read ahead may be enqueued all the same.
//
// Chunks are prepared and their answers are read side by side, but they go to Redis
// one after the other.
func (p *Producer) EnqueueSeq(ctx context.Context, messages iter.Seq[Message]) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		var running []<-chan []Result // oldest first
		defer func() {
			for _, results := range running {
				<-results
			}
		}()
		oldest := func() bool {
			results := <-running[0]
			running = running[1:]
			for _, r := range results {
				if !yield(r) {
					return false
				}
			}
			return true
		}
		sent := make(chan struct{})
		close(sent)
		for chunk := range chunks(messages) {
			if len(running) == chunksAhead && !oldest() {
				return
			}
			results, before := make(chan []Result, 1), sent
			running, sent = append(running, results), make(chan struct{})
			go func(sent chan<- struct{}) { results <- p.enqueueChunk(ctx, chunk, before, sent) }(sent)
			if ctx.Err() != nil {
				break
			}
		}
		for len(running) > 0 {
			if !oldest() {
				return
			}
		}
	}
}

func chunks(messages iter.Seq[Message]) iter.Seq[[]Message] {
	return func(yield func([]Message) bool) {
		chunk := make([]Message, 0, chunkSize)
		for m := range messages {
			if chunk = append(chunk, m); len(chunk) == chunkSize {
				if !yield(chunk) {
					return
				}
				chunk = make([]Message, 0, chunkSize)
			}
		}
		if len(chunk) > 0 {
			yield(chunk)
		}
	}
}

// enqueueChunk prepares a chunk, sends it when the one before was sent, and reads the
// answers.
func (p *Producer) enqueueChunk(ctx context.Context, chunk []Message, before <-chan struct{}, sent chan<- struct{}) []Result {
	results := make([]Result, len(chunk))
	entries := map[job.Class][]*entry{}
	now := time.Now()
	for i, m := range chunk {
		e, err := p.prepare(ctx, m, now)
		if err != nil {
			results[i] = Result{Ticket{ID: m.ID}, err}
			continue
		}
		e.index = i
		entries[e.envelope.Class] = append(entries[e.envelope.Class], e)
	}
	<-before
	for _, class := range job.Classes() {
		if len(entries[class]) > 0 {
			p.enqueue(ctx, class, entries[class])
		}
	}
	close(sent)
	for _, list := range entries {
		for _, e := range list {
			results[e.index].Ticket, results[e.index].Err = p.ticket(ctx, e)
		}
	}
	return results
}
