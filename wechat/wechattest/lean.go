package wechattest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// leanBuffer holds one request's head and one answer.
const leanBuffer = 8 << 10

// ServeLean serves the API paths on l with a bare HTTP/1.1 loop that costs less
// than net/http's (BenchmarkServe compares them), so that a benchmark on the same
// machine measures the caller more than the platform. It knows no pages, no control API, no chunked
// bodies, and does not see a caller hang up before it answers. It returns nil
// once l is closed or the platform is.
func (p *Platform) ServeLean(l net.Listener) error {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-p.ctx.Done():
			_ = l.Close()
		case <-stop:
		}
	}()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return errors.New("wechattest: accept: " + err.Error())
		}
		if !p.track(conn) {
			_ = conn.Close()
			continue
		}
		go func() {
			defer p.untrack(conn)
			p.serveConn(conn)
		}()
	}
}

// track remembers a connection, so that Close can cut it.
func (p *Platform) track(c net.Conn) bool {
	defer p.locked()()
	if p.closed {
		return false
	}
	p.conns[c] = struct{}{}
	p.pushes.Add(1)
	return true
}

func (p *Platform) untrack(c net.Conn) {
	_ = c.Close()
	defer p.pushes.Done()
	defer p.locked()()
	delete(p.conns, c)
}

// serveConn serves requests until the connection ends or a reply cuts it.
func (p *Platform) serveConn(conn net.Conn) {
	in := bufio.NewReaderSize(conn, leanBuffer)
	w := &leanWriter{out: bufio.NewWriterSize(conn, leanBuffer), header: http.Header{}}
	remote := conn.RemoteAddr().String()
	for {
		c, more := p.readLean(in, w.out)
		if c == nil {
			return
		}
		c.remote = remote
		rt, ok := p.routes[c.path]
		if !ok {
			_, _ = w.out.WriteString("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		} else if !p.serveLeanCall(w, c, rt) {
			return
		}
		if w.out.Flush() != nil || !more {
			return
		}
		clear(w.header)
	}
}

// serveLeanCall reports false when the script says that the connection ends.
func (p *Platform) serveLeanCall(w http.ResponseWriter, c *call, rt route) (alive bool) {
	defer func() {
		if r := recover(); r != nil && r != http.ErrAbortHandler { //nolint:errorlint // net/http's own comparison
			panic(r)
		}
	}()
	p.serve(w, c, rt)
	return true
}

// readLean reads one request; nil when there is none, or not one of ours.
func (p *Platform) readLean(in *bufio.Reader, out *bufio.Writer) (c *call, more bool) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, false
	}
	method, rest, _ := strings.Cut(string(bytes.TrimRight(line, "\r\n")), " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok {
		return nil, false
	}
	c = &call{p: p, ctx: p.ctx, method: method}
	c.path, c.rawQuery, _ = strings.Cut(target, "?")
	length, more, ok := readHead(in, out)
	if !ok || length > maxBody {
		return nil, false
	}
	if length > 0 {
		c.body = make([]byte, length)
		if _, err := io.ReadFull(in, c.body); err != nil {
			return nil, false
		}
	}
	c.now = time.Now()
	return c, more && version == "HTTP/1.1"
}

// readHead reads the header up to the empty line.
func readHead(in *bufio.Reader, out *bufio.Writer) (length int, more, ok bool) {
	more = true
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, false, false
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, more, true
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return 0, false, false
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, false, false
		case bytes.EqualFold(name, []byte("Connection")):
			more = !bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("Expect")):
			_, _ = out.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
			if out.Flush() != nil {
				return 0, false, false
			}
		}
	}
}

// leanWriter is the http.ResponseWriter of ServeLean.
type leanWriter struct {
	out    *bufio.Writer
	header http.Header
}

func (w *leanWriter) Header() http.Header { return w.header }

// WriteHeader buffers the head; errors show when the answer is flushed.
func (w *leanWriter) WriteHeader(status int) {
	_, _ = w.out.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	for name, values := range w.header {
		_, _ = w.out.WriteString(name + ": " + values[0] + "\r\n")
	}
	_, _ = w.out.WriteString("\r\n")
}

func (w *leanWriter) Write(b []byte) (int, error) {
	return w.out.Write(b) //nolint:wrapcheck // a writer's own error
}

// Flush sends what is buffered, for an answer that is cut in the middle.
func (w *leanWriter) Flush() { _ = w.out.Flush() }
