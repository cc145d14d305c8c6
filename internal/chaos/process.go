package main

import (
	"context"
	"fmt"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// patience bounds the start and the stop of a process on a busy machine.
const patience = 60 * time.Second

// process is a running program whose talk is kept.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *tail
	shot atomic.Bool // by kill
	done chan struct{}
	err  error // of Wait, once done is closed
}

// launch starts a program. It outlives the context's end, since the harness ends
// it with the signal that it wants; stage.close ends them all.
func launch(name string, log *tail, env []string, path string, args ...string) (*process, error) {
	p := &process{name: name, log: log, done: make(chan struct{})}
	p.cmd = exec.Command(path, args...) //nolint:noctx // ended by signals
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// says waits until the process wrote text and returns the line.
func (p *process) says(ctx context.Context, text string) (string, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		line, found, wrote := p.log.find(text)
		if found {
			return line, nil
		}
		select {
		case <-wrote:
		case <-p.done:
			if line, found, _ = p.log.find(text); found {
				return line, nil
			}
			return "", fmt.Errorf("%s ended (%w) before it said %q: %v", p.name, p.err, text, p.log.last(5))
		case <-limit.C:
			return "", fmt.Errorf("%s did not say %q within %s: %v", p.name, text, patience, p.log.last(5))
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// kill ends it as a power cut would; a stopped process too.
func (p *process) kill() {
	p.shot.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// finish asks the process to stop and tells what was not clean about it; empty: nothing.
func (p *process) finish(limit time.Duration) string {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		return fmt.Sprintf("%s still ran %s after SIGTERM", p.name, limit)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Sprintf("%s: exit %d after SIGTERM", p.name, code)
	}
	return ""
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// until asks again and again until ok says so, and reports whether it did in time.
func until(ctx context.Context, limit, every time.Duration, ok func() bool) bool {
	end := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(end) || ctx.Err() != nil {
			return false
		}
		pause(ctx, every)
	}
	return true
}
