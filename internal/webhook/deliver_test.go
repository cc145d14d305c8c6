package webhook_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hibiken/asynq"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/webhook"
)

// meets answers 410 when so many requests are under way.
type meets struct{ all sync.WaitGroup }

func (m *meets) RoundTrip(r *http.Request) (*http.Response, error) {
	m.all.Done()
	m.all.Wait()
	return &http.Response{StatusCode: http.StatusGone, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// Of the deliveries that fail together one disables the webhook, and tells it.
func TestDeliveriesThatFailTogetherDisableOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		store, s := newService(rdb, false)
		const together = 4
		gone := &meets{}
		gone.all.Add(together)
		s.Use(gone)
		w, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example/hook"})
		must(t, err)
		publish(t, rdb, 1)
		at, err := events.NewReader(records(rdb), nil).Latest(t.Context())
		must(t, err)
		var group sync.WaitGroup
		for range together {
			group.Go(func() { _ = s.Deliver(t.Context(), w.ID, at+".0") })
		}
		group.Wait()
		list, _, err := events.NewReader(records(rdb), nil).Read(t.Context(), events.Query{Types: []string{"webhook.disabled"}})
		if err != nil || len(list) != 1 {
			t.Errorf("%d events say that it is disabled, %v", len(list), err)
		}
	})
}

// A webhook that wants few of many events, and is behind, is not held up by the others.
func TestOneLookPutsAllThatAWebhookWaitsFor(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	store, s := newService(rdb, false)
	_, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example/hook", Types: []string{"quota.gone"}})
	must(t, err)
	const wanted = 4
	for n := range 400 * wanted {
		kind := events.QuotaLow
		if n%400 == 0 {
			kind = events.QuotaGone
		}
		must(t, events.Publish(t.Context(), records(rdb), kind, map[string]int{"n": n}))
	}
	must(t, s.Dispatch(t.Context()))
	queued, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo(queue.SideName(account, "webhook"))
	if err != nil || queued.Pending != wanted {
		t.Errorf("%d of %d events are on their way, %v", queued.Pending, wanted, err)
	}
}
