package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"
)

// far is how long the answers of the distant Redis take on their way.
const far = time.Millisecond

// delay is the child that stands between a client and Redis and hands every answer
// on a millisecond later, as many at once as there are. It is a process of its
// own, so that its cost is in nobody's figures.
func delay(ctx context.Context, t task, stdin io.Reader, stdout io.Writer) error {
	target, err := url.Parse(t.Redis)
	if err != nil {
		return errors.New("the URL of redis is malformed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	if err != nil {
		return fmt.Errorf("listen on loopback: %w", err)
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go relay(ctx, near, target.Host, t.Latency)
		}
	}()
	if err := json.NewEncoder(stdout).Encode(outcome{URL: "redis://" + l.Addr().String() + "/0"}); err != nil {
		return fmt.Errorf("write the address: %w", err)
	}
	_, _ = io.Copy(io.Discard, stdin) // ends with the parent
	return l.Close()                  //nolint:wrapcheck // the child names its role
}

func relay(ctx context.Context, near net.Conn, address string, wait time.Duration) {
	defer func() { _ = near.Close() }()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, near)
		_ = server.Close()
	}()
	type piece struct {
		due  time.Time
		data []byte
	}
	const ahead = 1024 // pieces on their way
	pieces := make(chan piece, ahead)
	go func() {
		defer close(pieces)
		for {
			data := make([]byte, 64<<10)
			n, err := server.Read(data)
			if n > 0 {
				pieces <- piece{time.Now().Add(wait), data[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for p := range pieces {
		if broken {
			continue // let the reader end
		}
		time.Sleep(time.Until(p.due)) //nolint:forbidigo // the very thing that is wanted
		if _, err := near.Write(p.data); err != nil {
			broken = true
			_ = server.Close()
		}
	}
}
