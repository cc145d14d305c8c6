package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// leanBuffer holds one request's head and one answer.
const leanBuffer = 8 << 10

// serveLean answers on l with a bare HTTP/1.1 loop that costs less than
// net/http's server, so that a run on one machine measures the caller more than
// the simulator. It reads no chunked bodies and does not notice a caller that
// hangs up. It returns nil once l is closed.
func serveLean(l net.Listener, h http.Handler) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go serveConn(conn, h)
	}
}

// serveConn serves requests until the connection ends or the handler aborts it.
func serveConn(conn net.Conn, h http.Handler) {
	defer func() {
		_ = conn.Close()
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // net/http's own comparison
			panic(v)
		}
	}()
	in := bufio.NewReaderSize(conn, leanBuffer)
	w := &leanWriter{out: bufio.NewWriterSize(conn, leanBuffer), header: http.Header{}}
	for {
		r, err := readLean(in)
		if err != nil {
			return
		}
		h.ServeHTTP(w, r)
		if w.out.Flush() != nil {
			return
		}
		clear(w.header)
	}
}

var errLeanRequest = errors.New("not a request of this benchmark")

// readLean reads one request.
func readLean(in *bufio.Reader) (*http.Request, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read the request line: %w", err)
	}
	method, rest, _ := strings.Cut(string(bytes.TrimRight(line, "\r\n")), " ")
	target, _, ok := strings.Cut(rest, " ")
	if !ok {
		return nil, errLeanRequest
	}
	path, query, _ := strings.Cut(target, "?")
	length, err := readHead(in)
	if err != nil {
		return nil, err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return &http.Request{
		Method: method, URL: &url.URL{Path: path, RawQuery: query},
		ContentLength: int64(length), Body: io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// readHead reads the header up to the empty line and returns the body's length.
func readHead(in *bufio.Reader) (length int, err error) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("read the header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		if err != nil || length < 0 || length > 1<<20 {
			return 0, errLeanRequest
		}
	}
}

// leanWriter is the http.ResponseWriter of serveLean. Write errors show at the
// flush.
type leanWriter struct {
	out    *bufio.Writer
	header http.Header
}

func (w *leanWriter) Header() http.Header { return w.header }

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
