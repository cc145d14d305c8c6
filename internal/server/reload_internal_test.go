package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	logs "go.uber.org/zap/zaptest/observer"
)

// Requests that began before a switch are answered by the handler they began with.
func TestHandlerSwitchWaitsForRequestsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s handlerSwitch
		release := make(chan struct{})
		answer := func(text string, until <-chan struct{}) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if until != nil {
					<-until
				}
				_, _ = io.WriteString(w, text)
			})
		}
		ask := func() *httptest.ResponseRecorder {
			r := httptest.NewRecorder()
			s.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
			return r
		}
		s.set(answer("old", release))
		slow := make(chan string, 1)
		go func() { slow <- ask().Body.String() }()
		synctest.Wait()
		wait := s.set(answer("new", nil))
		var waited atomic.Bool
		go func() {
			wait()
			waited.Store(true)
		}()
		if got := ask().Body.String(); got != "new" {
			t.Errorf("a request after the switch is answered %q", got)
		}
		synctest.Wait()
		if waited.Load() {
			t.Error("wait returned while a request is in flight")
		}
		close(release)
		if got := <-slow; got != "old" {
			t.Errorf("the request in flight is answered %q", got)
		}
		synctest.Wait()
		if !waited.Load() {
			t.Error("wait does not return after the last answer")
		}
	})
}

// A live page of the operators ends with the service that it shows.
func TestEndingWithCancelsRequestsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		h := endingWith(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the request ended before")
		default:
		}
		end()
		<-done
	})
}

// The drain of the service before may end with an error, as when Redis does not answer:
// that must not end the process.
func TestADrainThatFailsAfterAReloadDoesNotEndTheProcess(t *testing.T) {
	t.Parallel()
	late := errors.New("queue: 3 tasks did not end")
	all, end := context.WithCancel(t.Context())
	defer end()
	replaced, replace := context.WithCancel(all)
	core, logged := logs.New(zap.InfoLevel)
	s := &Server{log: zap.New(core)}
	if err := s.ran(all, replaced, late); !errors.Is(err, late) {
		t.Errorf("a service that fails while it works: %v", err)
	}
	replace()
	if err := s.ran(all, replaced, nil); err != nil || logged.Len() != 0 {
		t.Errorf("a clean drain: %v, %v", err, logged.All())
	}
	if err := s.ran(all, replaced, late); err != nil || logged.Len() != 1 {
		t.Errorf("a drain after a reload: %v, %v", err, logged.All())
	}
	end()
	if err := s.ran(all, replaced, late); !errors.Is(err, late) {
		t.Errorf("a drain at the end of the process: %v", err)
	}
}
