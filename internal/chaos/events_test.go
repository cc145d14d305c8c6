package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/producer"
)

// The stream is followed over failed calls from the cursor of the last good one.
func TestListenersNoteWhatBothWaysTell(t *testing.T) {
	t.Parallel()
	l := &listeners{told: map[string]verdict.Told{byStream: {}, byWebhook: {}}}
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		after := r.URL.Query().Get("after")
		asked = append(asked, after)
		switch {
		case r.Header.Get("Authorization") != "Bearer "+apiKey:
			t.Error("without the key")
		case len(asked) == 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case after == "": // begins
			w.Header().Set("Events-Cursor", "1-0")
			_, _ = fmt.Fprintln(w, `{"type":"message.accepted","message_id":"m1"}`+"\n"+`{"type":"quota.low"}`)
			return
		}
		stop()
		w.Header().Set("Events-Cursor", "2-0")
		_, _ = fmt.Fprintln(w, `{"type":"message.delivered","message_id":"m1"}`)
	}))
	defer api.Close()
	l.follow(ctx, api.URL)
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(asked, " "); got != " 1-0 1-0" {
		t.Errorf("asked after %q", got)
	}
	for range 2 { // a webhook may come twice
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hook", strings.NewReader(`{"type":"message.accepted","message_id":"m1"}`))
		l.ServeHTTP(httptest.NewRecorder(), r)
	}
	message := func(id string, s producer.State) verdict.Message {
		return verdict.Message{ID: id, Status: &producer.Status{State: s}}
	}
	for _, c := range []struct {
		m    verdict.Message
		want int
	}{{message("m1", producer.Accepted), 0}, {message("m1", producer.Queued), 0}, {message("m2", producer.Accepted), 2}, {verdict.Message{ID: "m3"}, 0}} {
		if n := l.missing([]verdict.Message{c.m}); n != c.want {
			t.Errorf("%s: %d are missing, want %d (%v)", c.m.ID, n, c.want, l.told)
		}
	}
}
