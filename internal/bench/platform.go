package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"

	"github.com/wxnotify/wxnotify/wechat/wechattest" //nolint:depguard // the benchmark's WeChat is the simulator
)

// plenty is a day's quota that no run uses up.
const plenty = 100_000_000

// platform is the child that plays WeChat until its stdin ends. It is a process
// of its own, so that its cost is in nobody's figures.
func platform(t task, stdin io.Reader, stdout io.Writer) error {
	p := wechattest.New(wechattest.Config{
		Latency: t.Latency, KeepSeen: 1000,
		Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, DailyQuota: plenty}},
	})
	defer p.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	if err != nil {
		return fmt.Errorf("listen on loopback: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- serveLean(l, p) }()
	if err := json.NewEncoder(stdout).Encode(outcome{URL: "http://" + l.Addr().String()}); err != nil {
		return fmt.Errorf("write the address: %w", err)
	}
	_, _ = io.Copy(io.Discard, stdin) // ends with the parent
	_ = l.Close()
	return <-served
}

// startServer starts a child that serves until its stdin ends, and returns its URL
// and what ends it.
func startServer(ctx context.Context, t task, stderr io.Writer) (url string, stop func(), err error) {
	cmd, err := childProcess(ctx, stderr)
	if err != nil {
		return "", nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, fmt.Errorf("the %s's input: %w", t.Role, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, fmt.Errorf("the %s's output: %w", t.Role, err)
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start the %s: %w", t.Role, err)
	}
	stop = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	var said outcome
	err = json.NewEncoder(in).Encode(t)
	if err == nil {
		err = json.NewDecoder(bufio.NewReader(out)).Decode(&said)
	}
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("talk to the %s: %w", t.Role, err)
	}
	return said.URL, stop, nil
}
