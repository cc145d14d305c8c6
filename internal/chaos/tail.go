package main

import (
	"bytes"
	"strings"
	"sync"
)

// tailLines is how much of a process's talk is kept.
const tailLines = 300

// tail keeps the last lines that a process wrote and tells who waits for one.
type tail struct {
	mu    sync.Mutex
	lines []string
	rest  []byte
	wrote chan struct{}
}

func newTail() *tail { return &tail{wrote: make(chan struct{})} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, p...)
	for {
		line, rest, whole := bytes.Cut(t.rest, []byte{'\n'})
		if !whole {
			break
		}
		t.lines = append(t.lines, string(line))
		t.rest = rest
	}
	if over := len(t.lines) - tailLines; over > 0 {
		t.lines = append(t.lines[:0:0], t.lines[over:]...)
	}
	close(t.wrote)
	t.wrote = make(chan struct{})
	return len(p), nil
}

// find returns the first kept line with text, and what closes at the next write.
func (t *tail) find(text string) (line string, found bool, wrote <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lines {
		if strings.Contains(l, text) {
			return l, true, t.wrote
		}
	}
	return "", false, t.wrote
}

// last returns the n latest lines.
func (t *tail) last(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines[max(0, len(t.lines)-n):]...)
}

// forget drops what was said, so that a restarted process is heard afresh.
func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = nil
}
