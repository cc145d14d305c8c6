package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// enqueueMode is how a message is enqueued.
type enqueueMode int

const (
	plain        enqueueMode = iota
	scheduled                // not before a few seconds from now
	later                    // not before a time beyond the run
	expiring                 // not after a few seconds from now
	cancelled                // not before a time beyond the run, then cancelled
	cancelledNow             // cancelled right after it was enqueued
	withdrawn                // cancelled a few seconds after it was enqueued
	repeated                 // the same ID and body by several callers at once
	conflicting              // the same ID with different bodies by several callers at once
	abandoned                // its caller does not repeat after an error
)

// perThousand is the share of each mode; plain takes the rest.
func perThousand() [abandoned + 1]int {
	return [abandoned + 1]int{
		scheduled: 60, later: 15, expiring: 40, cancelled: 20, cancelledNow: 25, withdrawn: 30,
		repeated: 60, conflicting: 30, abandoned: 20,
	}
}

// enqueueCase is one message to enqueue.
type enqueueCase struct {
	n     int
	id    string
	class producer.ClassName
	mode  enqueueMode
	wait  time.Duration // of scheduled, expiring and withdrawn
}

// newCases draws n messages.
func newCases(seed uint64, n int) []enqueueCase {
	r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // the messages are to be repeatable
	list := make([]enqueueCase, n)
	for i := range list {
		c := enqueueCase{n: i, id: fmt.Sprintf("m%d-%05d", seed%100000, i), class: producer.Bulk}
		if i%7 == 0 {
			c.id = "order/" + c.id + "/with-a-long-name/that-is-hashed" // no client_msg_id as it is
		}
		switch tenth := r.IntN(10); {
		case tenth < 2:
			c.class = producer.Critical
		case tenth < 7:
			c.class = producer.Default
		}
		roll := r.IntN(1000)
		for mode, share := range perThousand() {
			if roll < share {
				c.mode = enqueueMode(mode)
				break
			}
			roll -= share
		}
		c.wait = time.Duration(2000+r.IntN(6000)) * time.Millisecond
		list[i] = c
	}
	return list
}

// message returns the body with this URL.
func (c enqueueCase) message(url string) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: fmt.Sprintf("oChaos%022d", c.n), TemplateID: "chaos-template-0000000000000000000000000000", URL: url,
		Data: map[string]wechat.Field{"thing1": {Value: "咖啡 & <" + url[len(url)-1:] + ">"}, "number2": {Value: strconv.Itoa(c.n)}},
	}
}

// urls lists the bodies that callers enqueue at once under the ID.
func (c enqueueCase) urls() []string {
	if c.mode == repeated {
		return []string{plainURL, plainURL, plainURL}
	}
	if c.mode == conflicting {
		return []string{plainURL, "https://chaos.example/b", "https://chaos.example/c"}
	}
	return []string{plainURL}
}

// options of the message at its first Enqueue.
func (c enqueueCase) options(now time.Time) (opts []producer.Option, notAfter time.Time) {
	opts = append(opts, producer.Class(c.class))
	switch c.mode {
	case scheduled:
		opts = append(opts, producer.NotBefore(now.Add(c.wait)))
	case later, cancelled:
		opts = append(opts, producer.NotBefore(now.Add(6*time.Hour)))
	case expiring:
		notAfter = now.Add(c.wait).Truncate(time.Millisecond) // as it is stored
		opts = append(opts, producer.NotAfter(notAfter))
	case plain, cancelledNow, withdrawn, repeated, conflicting, abandoned:
	}
	return opts, notAfter
}

const (
	callers     = 8                      // that enqueue at once
	callTimeout = 8 * time.Second        // of one Enqueue or Cancel
	repeatAfter = 200 * time.Millisecond // a failed call

	plainURL = "https://chaos.example/a" // of a message of which there is one body only
)

// load enqueues messages and keeps what its callers were told.
type load struct {
	queue *producer.Producer

	mu       sync.Mutex
	messages []verdict.Message
	answered []time.Time // when the last answer about each message came
	errors   int         // of calls, each repeated unless the caller gives up
	lastErr  error
}

// run enqueues the cases, spread over length, and returns when every caller has
// its answer, or ctx ends.
func (l *load) run(ctx context.Context, cases []enqueueCase, length time.Duration) {
	queue := make(chan enqueueCase)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for c := range queue {
				group.Go(l.enqueueCase(ctx, c))
			}
		})
	}
	start := time.Now()
	for i, c := range cases {
		pause(ctx, time.Until(start.Add(length*time.Duration(i)/time.Duration(len(cases)))))
		queue <- c
	}
	close(queue)
	group.Wait()
}

// enqueueCase enqueues a message in its mode. The returned function waits until
// it is to be cancelled, if it is, and cancels it.
func (l *load) enqueueCase(ctx context.Context, c enqueueCase) (cancel func()) {
	opts, notAfter := c.options(time.Now())
	urls := c.urls()
	won := make([]bool, len(urls))
	var group sync.WaitGroup
	for i, url := range urls {
		group.Go(func() {
			won[i] = l.repeat(ctx, c.mode == abandoned, func(ctx context.Context) error {
				_, err := l.queue.Enqueue(ctx, c.id, c.message(url), opts...)
				return err
			})
		})
	}
	group.Wait()
	m := verdict.Message{ID: c.id, NotAfter: notAfter, Later: c.mode == later || c.mode == cancelled}
	for i, url := range urls {
		if won[i] && !slices.Contains(m.Winners, url) {
			m.Winners = append(m.Winners, url)
		}
	}
	at := l.add(m)
	return func() {
		if c.mode == withdrawn {
			pause(ctx, c.wait)
		}
		if c.mode != cancelled && c.mode != cancelledNow && c.mode != withdrawn ||
			!l.repeat(ctx, false, func(ctx context.Context) error { return l.queue.Cancel(ctx, c.id) }) {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.messages[at].Cancelled, l.messages[at].Durable = true, false
		l.answered[at] = time.Now()
	}
}

// add keeps a message and returns its place.
func (l *load) add(m verdict.Message) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages, l.answered = append(l.messages, m), append(l.answered, time.Now())
	return len(l.messages) - 1
}

// repeat calls do until it succeeds, and reports whether it did. It gives up when
// the answer is final: the ID has another body, the not-after has passed, it is
// too late to cancel. A call that is not to be repeated fails with any error.
func (l *load) repeat(ctx context.Context, once bool, do func(ctx context.Context) error) bool {
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := do(call)
		cancel()
		var invalid *wechat.InvalidError
		switch {
		case err == nil:
			return true
		case errors.Is(err, producer.ErrIDReused), errors.As(err, &invalid), errors.Is(err, producer.ErrTooLate), errors.Is(err, producer.ErrNotFound):
			return false
		}
		l.mu.Lock()
		l.errors++
		l.lastErr = err
		l.mu.Unlock()
		if once || ctx.Err() != nil {
			return false
		}
		pause(ctx, repeatAfter)
	}
}

// markDurable marks the messages whose last answer came between from and to.
func (l *load) markDurable(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, at := range l.answered {
		if at.After(from) && at.Before(to) {
			l.messages[i].Durable = len(l.messages[i].Winners) > 0
		}
	}
}

// enqueueNewer has the command line of the next version enqueue every fifth message
// under an ID of its own.
func enqueueNewer(_ context.Context, e *env, _ step) error {
	var lines bytes.Buffer
	for i, c := range newCases(e.seed, e.messages) {
		if i%5 == 0 {
			id := fmt.Sprintf("newer-%05d", i)
			_ = json.NewEncoder(&lines).Encode(map[string]any{"id": id, "class": c.class, "message": c.message(plainURL)}) // always encodes
			e.load.add(verdict.Message{ID: id, Winners: []string{plainURL}})
		}
	}
	cmd, err := e.program(newerBuild, "send", "--json", "-")
	if err != nil {
		return err
	}
	cmd.Stdin = &lines
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the next version's send: %w: %s", err, out)
	}
	return nil
}
