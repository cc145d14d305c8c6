package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
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

// readyz lists the checks, and what Redis tells of clock, persistence, eviction and
// memory. Causes and accounts are for admins: without a login the checks of a kind are
// one line.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	result, err := h.ready.get(r.Context())
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	admin := h.auth.authenticate(r) == nil && h.auth.knowsHost(r.Host)
	lines := h.readyLines(result, admin)
	status, verdict := http.StatusOK, "ready"
	var text strings.Builder
	for _, l := range lines {
		if l.result == failed {
			status, verdict = http.StatusServiceUnavailable, "not ready"
		}
		text.WriteString(l.name + ": " + l.result)
		if admin && l.cause != "" {
			text.WriteString(": " + l.cause)
		}
		text.WriteString("\n")
	}
	writeText(w, status, text.String()+verdict)
}

// Results of /readyz. A warning does not make it fail.
const (
	passed  = "ok"
	warning = "warning"
	failed  = "failed"
	unknown = "not known"
)

type readyLine struct{ name, result, cause string }

func (h *Handler) readyLines(r readyResult, admin bool) []readyLine {
	var lines []readyLine
	for i, err := range r.checks {
		l := readyLine{h.cfg.Checks[i].title(), passed, ""}
		if !admin {
			l.name = h.cfg.Checks[i].Name
		}
		if err != nil {
			l.result, l.cause = failed, mask.Text(err.Error())
		}
		if known := slices.IndexFunc(lines, func(o readyLine) bool { return o.name == l.name }); known < 0 {
			lines = append(lines, l)
		} else if l.result == failed {
			lines[known] = l
		}
	}
	problems := locale.RedisFaults(r.server, wechat.English)
	for _, name := range []string{"clock", "persistence", "eviction", "memory"} {
		l := readyLine{name, passed, ""}
		if r.serverErr != nil {
			l.result = unknown
		}
		for _, p := range problems {
			if p.Name == name {
				l.result = warning
				if p.Fatal {
					l.result = failed
				}
				l.cause = p.Text
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// readyResult has one error, or nil, for each check.
type readyResult struct {
	checks    []error
	server    redisx.State
	serverErr error
}

// runChecks runs all checks concurrently.
func (h *Handler) runChecks(ctx context.Context) readyResult {
	result := readyResult{checks: make([]error, len(h.cfg.Checks))}
	var wg sync.WaitGroup
	for i, c := range h.cfg.Checks {
		wg.Go(func() { result.checks[i] = c.within(ctx) })
	}
	wg.Go(func() {
		state := make(chan redisx.State, 1)
		result.serverErr = Check{Run: func(ctx context.Context) error {
			s, err := redisx.ReadState(ctx, h.cfg.Redis)
			state <- s
			return err
		}}.within(ctx)
		if result.serverErr == nil {
			result.server = <-state
		}
	})
	wg.Wait()
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
