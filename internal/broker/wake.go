package broker

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// Hub hears the wake-ups of many accounts over one connection. Servers of the
// same Redis share one; a Server without one makes its own.
type Hub struct {
	rdb redis.UniversalClient

	mu     sync.Mutex
	pubsub *redis.PubSub
	ears   map[string]map[int]func(job.Class) // by channel
	next   int
	done   chan struct{} // closed when the reader has ended
}

// NewHub does not connect: the first Server does.
func NewHub(rdb redis.UniversalClient) *Hub {
	return &Hub{rdb: rdb, ears: map[string]map[int]func(job.Class){}}
}

// listen calls hear for each class of the account that got something to fetch,
// until stop is called. While the connection is down nothing is heard, and
// go-redis connects again by itself.
func (h *Hub) listen(ctx context.Context, account string, hear func(job.Class)) (stop func()) {
	channel := wakeChannel(account)
	h.mu.Lock()
	defer h.mu.Unlock()
	id := h.next
	h.next++
	if h.ears[channel] == nil {
		h.ears[channel] = map[int]func(job.Class){}
	}
	h.ears[channel][id] = hear
	switch {
	case h.pubsub == nil:
		h.pubsub = h.rdb.Subscribe(context.WithoutCancel(ctx), channel)
		h.done = make(chan struct{})
		go h.read(h.pubsub.Channel(), h.done)
	case len(h.ears[channel]) == 1:
		// The error is that of a lost connection: the next one subscribes to all.
		_ = h.pubsub.Subscribe(context.WithoutCancel(ctx), channel)
	}
	return func() { h.leave(context.WithoutCancel(ctx), channel, id) }
}

func (h *Hub) read(messages <-chan *redis.Message, done chan<- struct{}) {
	defer close(done)
	for m := range messages {
		h.mu.Lock()
		ears := make([]func(job.Class), 0, len(h.ears[m.Channel]))
		for _, hear := range h.ears[m.Channel] {
			ears = append(ears, hear)
		}
		h.mu.Unlock()
		for class := range strings.FieldsSeq(m.Payload) {
			for _, hear := range ears {
				hear(job.Class(class))
			}
		}
	}
}

func (h *Hub) leave(ctx context.Context, channel string, id int) {
	h.mu.Lock()
	delete(h.ears[channel], id)
	if len(h.ears[channel]) > 0 {
		h.mu.Unlock()
		return
	}
	delete(h.ears, channel)
	if len(h.ears) > 0 {
		_ = h.pubsub.Unsubscribe(ctx, channel)
		h.mu.Unlock()
		return
	}
	pubsub, done := h.pubsub, h.done
	h.pubsub = nil
	h.mu.Unlock()
	_ = pubsub.Close()
	<-done
}
