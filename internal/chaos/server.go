package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// server is one redis-server process of a deployment, which may be started again
// on its port and directory.
type server struct {
	name, addr, dir string
	args            []string
	ready           string // what it says when it accepts connections
	log             *tail

	mu   sync.Mutex
	proc *process
}

func newServer(base, name string, args ...string) (*server, error) {
	dir := filepath.Join(base, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for %s: %w", name, err)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return &server{name: name, addr: addr, dir: dir, args: args, ready: "Ready to accept connections", log: newTail()}, nil
}

func (s *server) port() string {
	_, port, _ := net.SplitHostPort(s.addr)
	return port
}

// start runs the server (again) and returns when it accepts connections. The
// file-size limit of a full disk ends a process that does not ignore its signal,
// which a shell can arrange and this program cannot.
func (s *server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.forget()
	args := append([]string{"-c", `trap "" XFSZ; exec redis-server "$@"`, "redis-server"}, s.args...)
	args = append(args, "--port", s.port(), "--bind", "127.0.0.1", "--dir", s.dir, "--daemonize", "no")
	p, err := launch(s.name, s.log, os.Environ(), "/bin/sh", args...)
	if err != nil {
		return err
	}
	s.proc = p
	_, err = p.says(ctx, s.ready)
	return err
}

// kill ends it as a power cut of the process would.
func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.kill()
	}
}

// shut stops it in good order.
func (s *server) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if said := s.proc.finish(patience); said != "" {
		return errors.New(said)
	}
	return nil
}

func (s *server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.signal(sig)
}

func (s *server) pid() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strconv.Itoa(s.proc.cmd.Process.Pid)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

func (s *server) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc != nil && s.proc.running()
}
