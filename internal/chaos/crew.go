package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
)

// hand is one place of the crew: a worker process, and its successor when it
// was killed.
type hand struct {
	name    string
	build   string
	env     map[string]string
	log     *tail
	mu      sync.Mutex
	proc    *process
	ops     string
	lives   int // processes so far
	first   sample
	sampled bool
}

// sample is what a worker tells of itself.
type sample struct {
	goroutines int
	memory     int64
}

func newHand(name, build string, env map[string]string) *hand {
	return &hand{name: name, build: build, env: env, log: newTail()}
}

// start runs the worker (again).
func (h *hand) start(path string, base map[string]string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	env := maps.Clone(base)
	maps.Copy(env, h.env)
	h.log.forget()
	p, err := launch(h.name, h.log, environ(env), path, "worker")
	if err != nil {
		return err
	}
	h.proc, h.ops, h.sampled = p, "", false
	h.lives++
	return nil
}

// ready waits until the worker has started.
func (h *hand) ready(ctx context.Context) error {
	h.mu.Lock()
	p := h.proc
	h.mu.Unlock()
	line, err := p.says(ctx, "worker started")
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.ops = regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
	h.mu.Unlock()
	return nil
}

// tend is a supervisor: a worker that ends before it has started, since Redis is
// away at that moment, is started again.
func (h *hand) tend(ctx context.Context, again func() error) {
	h.mu.Lock()
	p := h.proc
	h.mu.Unlock()
	for ctx.Err() == nil && !p.shot.Load() {
		if h.ready(ctx) == nil {
			return
		}
		pause(ctx, time.Second/2)
		h.mu.Lock()
		mine := h.proc == p
		h.mu.Unlock()
		if !mine || p.shot.Load() || p.running() || again() != nil {
			return
		}
		h.mu.Lock()
		p = h.proc
		h.mu.Unlock()
	}
}

func (h *hand) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc != nil {
		h.proc.kill()
	}
}

func (h *hand) signal(s syscall.Signal) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proc.signal(s)
}

// finish stops the worker and tells what was not clean about it.
func (h *hand) finish() string {
	h.mu.Lock()
	p := h.proc
	h.mu.Unlock()
	if !p.running() {
		return fmt.Sprintf("%s ended by itself: %v", h.name, p.err)
	}
	return p.finish(patience)
}

// begin remembers what the worker needs at work.
func (h *hand) begin(ctx context.Context) {
	s, err := h.sample(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil { // else it is down or stands still at this moment
		h.first, h.sampled = s, true
	}
}

// growth compares with begin; false when the process is another one by now.
func (h *hand) growth(ctx context.Context) (verdict.Growth, bool) {
	now, err := h.sample(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || !h.sampled {
		return verdict.Growth{}, false
	}
	return verdict.Growth{
		Worker: h.name, GoroutinesAt: h.first.goroutines, Goroutines: now.goroutines,
		MemoryAt: h.first.memory, Memory: now.memory,
	}, true
}

// sample reads /metrics.
func (h *hand) sample(ctx context.Context) (sample, error) {
	h.mu.Lock()
	base := h.ops
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return sample{}, fmt.Errorf("metrics: %w", err)
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return sample{}, fmt.Errorf("metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return sample{}, fmt.Errorf("metrics: %w", err)
	}
	goroutines, found := metric(string(text), "go_goroutines")
	memory, known := metric(string(text), "process_resident_memory_bytes")
	if !found {
		return sample{}, errors.New("metrics: no go_goroutines")
	}
	if !known {
		memory = 0 // not every system tells
	}
	return sample{int(goroutines), int64(memory)}, nil
}

func metric(text, name string) (float64, bool) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return v, err == nil
		}
	}
	return 0, false
}

// environ has no setting of the caller's own wxnotify.
func environ(env map[string]string) []string {
	list := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()} //nolint:forbidigo // a child needs them
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}
