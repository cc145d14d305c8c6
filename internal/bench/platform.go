package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	sendPath    = "/cgi-bin/message/template/send"
	plenty      = 100_000_000               // a day's quota that no run uses up
	firstMsgID  = 4_000_000_000_000_000_000 // plus a message's number is its msgid: 19 digits, as WeChat's
	firstSample = 10_000_000_000            // number of the first sample, a message whose arrival is timed
)

// platform is WeChat with one account that accepts every message. It reads and
// writes connections itself: net/http's server would take 40 to 57 µs a message
// from the cores that are measured.
type platform struct {
	latency      time.Duration
	sent, opened atomic.Int64   // sends and connections
	samples      chan time.Time // their arrivals
}

func newPlatform(latency time.Duration) *platform {
	return &platform{latency: latency, samples: make(chan time.Time, 1)}
}

// serve answers requests as Go's client writes them. http.ReadRequest would take twice
// as long, from the cores that are measured.
func (p *platform) serve(conn net.Conn) {
	p.opened.Add(1)
	in := bufio.NewReader(conn)
	var body, out []byte // the memory of the request before
	for {
		var path string
		length := 0
		for line := []byte("first"); len(line) > len("\r\n"); {
			var err error
			if line, err = in.ReadSlice('\n'); err != nil {
				return
			}
			if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
				length = must(strconv.Atoi(string(bytes.TrimSpace(value))))
			} else if path == "" {
				_, target, _ := bytes.Cut(line, []byte(" "))
				path = string(target[:max(bytes.IndexAny(target, "? "), 0)])
			}
		}
		body = slices.Grow(body[:0], length)[:length]
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		answer := p.answer(path, body)
		if path == sendPath {
			time.Sleep(p.latency) //nolint:forbidigo // the latency itself
		}
		out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func (p *platform) answer(path string, body []byte) string {
	switch path {
	case sendPath:
		n := cost.NumberIn(body)
		if p.sent.Add(1); n >= firstSample {
			p.samples <- time.Now()
		}
		return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","msgid":%d}`, firstMsgID+n)
	case "/cgi-bin/stable_token":
		return `{"access_token":"` + accessToken() + `","expires_in":7200}`
	case "/cgi-bin/openapi/quota/get":
		used := p.sent.Load()
		return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","quota":{"daily_limit":%d,"used":%d,"remain":%d}}`, plenty, used, plenty-used)
	}
	return `{"errcode":40066,"errmsg":"invalid url"}`
}

// listen serves connections until the program ends, and returns the address.
func listen(serve func(net.Conn)) string {
	l := must(net.Listen("tcp", "127.0.0.1:0")) //nolint:noctx // opens at once or fails
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// relay forwards a connection to target and delays what target answers. Answers
// overlap: each is delayed by latency, whatever is on its way before it.
func relay(ctx context.Context, conn net.Conn, target string, latency time.Duration) {
	server, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, conn)
		_ = server.Close() // ends the reader, which closes the channel
	}()
	answers := make(chan func(), 1024)
	go func() {
		defer close(answers)
		for {
			data := make([]byte, 64<<10)
			n, err := server.Read(data)
			if err != nil {
				return
			}
			due := time.Now().Add(latency)
			answers <- func() {
				time.Sleep(time.Until(due)) //nolint:forbidigo // the latency itself
				_, _ = conn.Write(data[:n]) // after an error the other direction ends too
			}
		}
	}()
	for deliver := range answers {
		deliver()
	}
}

// startRedis starts a redis-server without persistence on a free port.
func startRedis(ctx context.Context) (addr string, rdb redis.UniversalClient, end func()) {
	l := must(net.Listen("tcp", "127.0.0.1:0")) //nolint:noctx // opens at once or fails
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	check(l.Close())
	cmd := exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", os.TempDir(),
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
	check(cmd.Start())
	rdb = must(redisconn.Dial("redis://" + addr + "/0"))
	starting, stop := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("redis-server did not start"))
	defer stop()
	for rdb.Ping(starting).Err() != nil {
		pause(starting, 10*time.Millisecond)
	}
	return addr, rdb, func() { _ = errors.Join(rdb.Close(), cmd.Process.Kill(), cmd.Wait()) }
}

func pause(ctx context.Context, d time.Duration) {
	if redisx.Sleep(ctx, d) != nil {
		check(context.Cause(ctx))
	}
}
