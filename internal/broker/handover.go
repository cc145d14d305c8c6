package broker

import (
	"sync"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// taskKey names a task in the process: an ID alone may stand in two classes.
type taskKey struct{ queue, id string }

// handover carries permits from the fetch, which knows only a message, to the
// handler, which asynq calls on another goroutine. The zero value is ready.
type handover struct {
	mu      sync.Mutex
	permits map[taskKey]ratelimit.Permit
}

// put returns the permit that was left for the same task and never taken.
func (h *handover) put(k taskKey, p ratelimit.Permit) (left *ratelimit.Permit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.permits[k]; ok {
		left = &old
	}
	if h.permits == nil {
		h.permits = map[taskKey]ratelimit.Permit{}
	}
	h.permits[k] = p
	return left
}

func (h *handover) take(k taskKey) *ratelimit.Permit {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.permits[k]
	if !ok {
		return nil
	}
	delete(h.permits, k)
	return &p
}

func (h *handover) drain() []ratelimit.Permit {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]ratelimit.Permit, 0, len(h.permits))
	for _, p := range h.permits {
		all = append(all, p)
	}
	clear(h.permits)
	return all
}

// taskID reads the ID out of asynq's message, a protocol buffer in which it is
// field 3, without decoding the rest.
func taskID(message string) (string, bool) {
	const idField, varint, fixed64, bytes, fixed32 = 3, 0, 1, 2, 5
	for len(message) > 0 {
		tag, n := uvarint(message)
		if n == 0 {
			return "", false
		}
		message = message[n:]
		size := uint64(0)
		switch tag & 7 {
		case varint:
			_, n = uvarint(message)
			if n == 0 {
				return "", false
			}
			size = uint64(n)
		case fixed64:
			size = 8
		case fixed32:
			size = 4
		case bytes:
			if size, n = uvarint(message); n == 0 {
				return "", false
			}
			message = message[n:]
		default:
			return "", false
		}
		if size > uint64(len(message)) {
			return "", false
		}
		if tag == idField<<3|bytes {
			return message[:size], size > 0
		}
		message = message[size:]
	}
	return "", false
}

// uvarint is binary.Uvarint for a string; n is 0 when it is cut or too long.
func uvarint(s string) (v uint64, n int) {
	for i := 0; i < len(s) && i < 10; i++ {
		v |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
