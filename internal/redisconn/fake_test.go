package redisconn_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
)

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s", len(text), text) }

// answer serves one connection as a Redis would: replies holds, by command in lower
// case, what differs from a Redis that agrees to everything.
func answer(conn net.Conn, replies map[string]string) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		words, err := readCommand(in)
		if err != nil {
			return
		}
		name := strings.ToLower(words[0])
		reply, ok := replies[name]
		switch {
		case ok:
		case name == "ping":
			reply = "+PONG"
		case name == "hello", name == "info":
			reply = "-ERR unknown command '" + name + "', with args beginning with: " + strings.Join(words[1:], " ")
		case name == "eval":
			reply = ":0"
		default:
			reply = "+OK"
		}
		if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
			return
		}
	}
}

func readCommand(in *bufio.Reader) ([]string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		if line, err = in.ReadString('\n'); err != nil {
			return nil, err
		}
		size, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
		word := make([]byte, size+2)
		if _, err = io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

// pretend is a client of such a server.
func pretend(t *testing.T, replies map[string]string) *redis.Client {
	t.Helper()
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answer(server, replies)
		return redistest.Buffered(client), nil
	}
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0", Protocol: 2, DisableIdentity: true, Dialer: dial})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// listen serves every connection with handle until the test ends, and returns its
// address.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return ln.Addr().String()
}
