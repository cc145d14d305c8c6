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
	// readyFor is how long a result is reused, since /readyz is open and each run
	// asks Redis.
	readyFor = time.Second
)

// healthz answers while the process runs. It checks nothing else: restarting
// workers because Redis is down would make the outage longer.
func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok") }

// readyz lists the checks. Causes are for admins: they may contain addresses.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	showCauses := h.auth.authenticate(r) == nil && h.auth.knowsHost(r.Host)
	status, verdict := http.StatusOK, "ready"
	var lines strings.Builder
	for i, err := range h.ready.run(r.Context()) {
		result := "ok"
		if err != nil {
			status, verdict, result = http.StatusServiceUnavailable, "not ready", "failed"
			if showCauses {
				result += ": " + h.mask.text(err.Error())
			}
		}
		lines.WriteString(h.cfg.Checks[i].Name + ": " + result + "\n")
	}
	writeText(w, status, lines.String()+verdict)
}

// readiness runs all checks concurrently, at most once each readyFor.
type readiness struct {
	checks  []Check
	running chan struct{} // held by the caller that runs the checks
	at      time.Time
	last    []error
}

func newReadiness(checks []Check) *readiness {
	return &readiness{checks: checks, running: make(chan struct{}, 1)}
}

// run returns one error, or nil, for each check.
func (r *readiness) run(ctx context.Context) []error {
	result := make([]error, len(r.checks))
	select {
	case r.running <- struct{}{}:
		defer func() { <-r.running }()
	case <-ctx.Done():
		for i := range result {
			result[i] = ctx.Err()
		}
		return result
	}
	if r.last != nil && time.Since(r.at) < readyFor {
		return r.last
	}
	// Other callers reuse the result: it must not fail because this client left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for i, c := range r.checks {
		wg.Go(func() { result[i] = c.within(ctx) })
	}
	wg.Wait()
	r.last, r.at = result, time.Now()
	return result
}

// within returns when ctx ends, even if Run ignores ctx.
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
