package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	checkTimeout = 2 * time.Second
	// readyFor keeps an open page from becoming a way to hammer Redis.
	readyFor = time.Second
)

// healthz says that the process answers. It looks at nothing else: a supervisor
// that restarts workers because Redis is down makes it worse.
func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") }

// readyz lists the checks. Why one failed is for admins: it may name addresses.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	_, admitted := h.login.admit(r)
	causes := admitted == http.StatusOK && h.login.knowsHost(r.Host)
	status := http.StatusOK
	var lines strings.Builder
	for i, err := range h.ready.run(r.Context()) {
		word := "ok"
		if err != nil {
			status, word = http.StatusServiceUnavailable, "failed"
			if causes {
				word += ": " + h.mask.text(err.Error())
			}
		}
		lines.WriteString(h.cfg.Checks[i].Name + ": " + word + "\n")
	}
	body := lines.String()
	if status == http.StatusOK {
		body += "ready"
	} else {
		body += "not ready"
	}
	say(w, status, body)
}

// readiness runs the checks, all at once, at most once each readyFor.
type readiness struct {
	checks []Check
	turn   chan struct{}
	at     time.Time
	last   []error
}

func newReadiness(checks []Check) *readiness {
	return &readiness{checks: checks, turn: make(chan struct{}, 1)}
}

// run returns one error, or nil, for each check.
func (r *readiness) run(ctx context.Context) []error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return r.all(ctx.Err())
	}
	if r.last != nil && time.Since(r.at) < readyFor {
		return r.last
	}
	// Not the caller's context: who goes away early must not fail the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	result := make([]error, len(r.checks))
	var wg sync.WaitGroup
	for i, c := range r.checks {
		wg.Go(func() { result[i] = c.within(ctx) })
	}
	wg.Wait()
	r.last, r.at = result, time.Now()
	return result
}

func (r *readiness) all(err error) []error {
	out := make([]error, len(r.checks))
	for i := range out {
		out[i] = err
	}
	return out
}

// within gives up on a check that is deaf to its context.
func (c Check) within(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("no answer in %s", checkTimeout), ctx.Err())
	}
}
