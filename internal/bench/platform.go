package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	sendPath = "/cgi-bin/message/template/send"
	instant  = "/instant" // prefix of paths that are answered without latency

	plenty      = 100_000_000               // a day's quota that no run uses up
	firstMsgID  = 4_000_000_000_000_000_000 // plus a message's number is its msgid: 19 digits, as WeChat's
	firstSample = 10_000_000_000            // number of the first message whose arrival is noted
)

// platform is WeChat with one account that accepts every message. It reads and
// writes connections itself: net/http's server would take 40 to 57 µs a message
// from the cores that are measured.
type platform struct {
	latency time.Duration

	mu sync.Mutex
	seen
}

// seen is what a platform has noted of the sends.
type seen struct {
	sent    int
	seconds map[int64]int     // sends by Unix second
	arrived map[int]time.Time // the arrival of a sample, by its number
}

func newPlatform(latency time.Duration) *platform {
	return &platform{latency: latency, seen: seen{seconds: map[int64]int{}, arrived: map[int]time.Time{}}}
}

// noted returns what was noted so far.
func (p *platform) noted() seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return seen{p.sent, maps.Clone(p.seconds), maps.Clone(p.arrived)}
}

func (p *platform) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	var body, out []byte // of the request before
	for {
		target, read, err := readRequest(in, body)
		if err != nil {
			return
		}
		body = read
		path, quick := strings.CutPrefix(target, instant)
		answer := p.answer(path, body, time.Now())
		if path == sendPath && !quick {
			time.Sleep(p.latency) //nolint:forbidigo // the latency itself
		}
		out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		if _, err = conn.Write(out); err != nil {
			return
		}
	}
}

// readRequest reads a request as Go's client writes it, and its body into the memory of
// body. http.ReadRequest takes twice as long, from the cores that are measured.
func readRequest(in *bufio.Reader, body []byte) (path string, _ []byte, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", nil, err //nolint:wrapcheck // ends the connection
	}
	_, target, _ := bytes.Cut(line, []byte(" "))
	path = string(target[:max(bytes.IndexAny(target, "? "), 0)])
	length := 0
	for len(bytes.TrimSpace(line)) > 0 {
		if line, err = in.ReadSlice('\n'); err != nil {
			return "", nil, err //nolint:wrapcheck // ends the connection
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			length = must(strconv.Atoi(string(bytes.TrimSpace(value))))
		}
	}
	body = slices.Grow(body[:0], length)[:length]
	_, err = io.ReadFull(in, body)
	return path, body, err //nolint:wrapcheck // ends the connection
}

func (p *platform) answer(path string, body []byte, at time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch path {
	case sendPath:
		_, rest, _ := bytes.Cut(body, []byte(openIDPrefix))
		letters, _, _ := bytes.Cut(rest, []byte(`"`))
		n, _ := strconv.Atoi(string(bytes.Map(func(letter rune) rune { return letter - lettersAbove }, letters)))
		p.sent++
		p.seconds[at.Unix()]++
		if n >= firstSample {
			p.arrived[n] = at
		}
		return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","msgid":%d}`, firstMsgID+n)
	case "/cgi-bin/stable_token":
		return `{"access_token":"` + accessToken() + `","expires_in":7200}`
	case "/cgi-bin/openapi/quota/get":
		return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","quota":{"daily_limit":%d,"used":%d,"remain":%d}}`, plenty, p.sent, plenty-p.sent)
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
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			data := make([]byte, 64<<10)
			n, err := server.Read(data)
			if err != nil {
				return
			}
			pieces <- piece{time.Now().Add(latency), data[:n]}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due)) //nolint:forbidigo // the latency itself
		_, _ = conn.Write(p.data)     // after an error the other direction ends too
	}
}

// freeAddr is a loopback address that a server can listen on.
func freeAddr() string {
	l := must(net.Listen("tcp", "127.0.0.1:0")) //nolint:noctx // opens at once or fails
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// startRedis starts a redis-server without persistence.
func startRedis(ctx context.Context) (addr string, rdb redis.UniversalClient, cmd *exec.Cmd) {
	addr = freeAddr()
	_, port, _ := net.SplitHostPort(addr)
	cmd = exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", os.TempDir(),
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
	check(cmd.Start())
	rdb = must(dial("redis://" + addr + "/0"))
	starting, stop := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("redis-server did not start"))
	defer stop()
	for rdb.Ping(starting).Err() != nil {
		pause(starting, 10*time.Millisecond)
	}
	return addr, rdb, cmd
}

func pause(ctx context.Context, d time.Duration) {
	if redisx.Sleep(ctx, d) != nil {
		check(context.Cause(ctx))
	}
}
