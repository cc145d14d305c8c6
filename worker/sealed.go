package worker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
)

const (
	// sealedWait leaves a message to the workers that have its key.
	sealedWait = 10 * time.Second
	// keyMissingFor is how long a worker reports the key of a message that it could not
	// open. While one waits, it comes back sooner.
	keyMissingFor = time.Minute
	keyLogEvery   = time.Minute
)

// missingKey is the key of messages that wait and that this worker cannot open.
type missingKey struct {
	mu     sync.Mutex
	id     string
	seen   time.Time
	logged time.Time
}

// note reports whether it is time for a line in the log.
func (m *missingKey) note(id string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := id != m.id || now.Sub(m.logged) >= keyLogEvery
	m.id, m.seen = id, now
	if log {
		m.logged = now
	}
	return log
}

// current is the ID of the key; empty when no message met it lately.
func (m *missingKey) current() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.seen) > keyMissingFor {
		return ""
	}
	return m.id
}

func (m *missingKey) err() error {
	if id := m.current(); id != "" {
		return fmt.Errorf("worker: messages wait that are %w", &seal.UnknownKeyError{ID: id})
	}
	return nil
}

// leave puts a message back that this worker cannot open: another one may have the key,
// or this one gets it. The record stays as it is.
func (d *delivery) leave(missing *seal.UnknownKeyError) error {
	if d.missing.note(missing.ID, time.Now()) {
		d.log.Error("messages wait: they are sealed with a key that this worker does not have; give it the key too",
			zap.String("seal_key", missing.ID), zap.String("id", d.task.ID))
	}
	return &queue.Later{After: jitter(sealedWait), Reason: "it is sealed with key " + missing.ID + ", which this worker does not have"}
}

// held says which messages this worker leaves waiting.
func (a *account) held() []heartbeat.Held {
	held := a.templates.held(time.Now())
	if id := a.missing.current(); id != "" {
		held = slices.Insert(held, 0, heartbeat.Held{SealKey: id})
	}
	return held
}

// check is nil while the worker fetches the account's messages and can open them.
func (a *account) check() error { return errors.Join(a.presence.err(), a.missing.err()) }
