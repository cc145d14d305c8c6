package webhook

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/wxnotify/wxnotify/internal/events"
)

// Use has the service call through a transport.
func (s *Service) Use(t http.RoundTripper) { s.client.Transport = t }

// Dispatch puts the tasks of all events there are.
func (s *Service) Dispatch(ctx context.Context) error {
	_, err := s.dispatchAll(ctx)
	return err
}

// Post sends one event.
func Post(ctx context.Context, private bool, w Webhook, e *events.Event) (Attempt, error) {
	return PostBy(ctx, newDialer(private), w, e)
}

// NewDialer makes the connections of webhooks.
func NewDialer(private bool) *net.Dialer { return newDialer(private) }

// PostBy sends one event by a dialer.
func PostBy(ctx context.Context, dialer *net.Dialer, w Webhook, e *events.Event) (Attempt, error) {
	client := newClient(dialer)
	defer client.CloseIdleConnections()
	return post(ctx, client, w, e)
}

// CheckAddress is the check of a connection's address.
func CheckAddress(address string) error { return checkAddress(address) }

// StateKey is where the cursor of a webhook is.
func (s *Store) StateKey(id string) string { return s.stateKey(id) }

// Deliver handles the task of one event.
func (s *Service) Deliver(ctx context.Context, id, event string) error {
	text, err := json.Marshal(task{id, event})
	if err != nil {
		return err
	}
	return s.deliver(ctx, text)
}

// Delays and Delay are the waits between attempts.
func Delays() []time.Duration         { return delays() }
func Delay(retried int) time.Duration { return delay(retried) }
