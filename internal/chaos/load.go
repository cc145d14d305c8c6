package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// callers enqueue at once.
	callers = 8
	// callTime bounds one Enqueue.
	callTime = 8 * time.Second
	// again is the pause before a failed Enqueue is repeated.
	again = 200 * time.Millisecond
)

// load enqueues the errands, spread over the span, and keeps what it was told.
type load struct {
	producer *producer.Producer

	mu       sync.Mutex
	messages []verdict.Message
	told     []time.Time // when the ticket came; zero: none
	errors   int
	lastErr  error
}

// run enqueues until every caller has what it wants, or ctx ends.
func (l *load) run(ctx context.Context, list []errand, span time.Duration) {
	l.messages, l.told = make([]verdict.Message, len(list)), make([]time.Time, len(list))
	queue := make(chan errand)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for e := range queue {
				l.errand(ctx, e)
			}
		})
	}
	start := time.Now()
	for i, e := range list {
		pause(ctx, time.Until(start.Add(span*time.Duration(i)/time.Duration(len(list)))))
		queue <- e
	}
	close(queue)
	group.Wait()
}

// errand enqueues one message in its manner.
func (l *load) errand(ctx context.Context, e errand) {
	now := time.Now()
	opts, notAfter := e.options(now)
	m := verdict.Message{
		ID: e.id, ClientMsgID: job.ClientMsgID(e.id), NotAfter: notAfter, Later: e.manner == later || e.manner == dropped,
	}
	forms := []string{"a"}
	if e.manner == repeated {
		forms = []string{"a", "a", "a"}
	}
	if e.manner == conflicted {
		forms = []string{"a", "b", "c"}
	}
	var group sync.WaitGroup
	won := make([]bool, len(forms))
	for i, form := range forms {
		group.Go(func() { won[i] = l.enqueue(ctx, e, form, opts, e.manner != abandoned) })
	}
	group.Wait()
	winners := map[string]bool{}
	for i, form := range forms {
		if won[i] {
			winners[form] = true
			m.Ticket, m.Winner = true, form
		}
	}
	m.Tickets = len(winners)
	if e.manner == dropped || e.manner == contested {
		m.Cancelled = l.cancel(ctx, e.id)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages[e.n] = m
	if m.Ticket {
		l.told[e.n] = time.Now()
	}
}

// enqueue repeats until there is a ticket or the ID is another body's.
func (l *load) enqueue(ctx context.Context, e errand, form string, opts []producer.Option, repeat bool) bool {
	for {
		call, cancel := context.WithTimeout(ctx, callTime)
		_, err := l.producer.Enqueue(call, e.id, e.body(form), opts...)
		cancel()
		var reused *producer.IDReusedError
		var invalid *wechat.InvalidError
		switch {
		case err == nil:
			return true
		case errors.As(err, &reused), errors.As(err, &invalid): // too late by now
			return false
		}
		l.mu.Lock()
		l.errors++
		l.lastErr = err
		l.mu.Unlock()
		if !repeat || ctx.Err() != nil {
			return false
		}
		pause(ctx, again)
	}
}

// cancel repeats until it is told yes or no.
func (l *load) cancel(ctx context.Context, id string) bool {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, callTime)
		err := l.producer.Cancel(call, id)
		cancel()
		var late *producer.TooLateError
		switch {
		case err == nil:
			return true
		case errors.As(err, &late), errors.Is(err, producer.ErrNotFound):
			return false
		}
		pause(ctx, again)
	}
	return false
}

// durable marks the messages whose tickets came in a span in which the same
// primaries served, and which their replicas have confirmed since.
func (l *load) durable(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, at := range l.told {
		if at.After(from) && at.Before(to) {
			l.messages[i].Durable = true
		}
	}
}
