package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// refuses answers before it has read the body, or when it has read more than it takes.
func refuses(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/unread" {
		http.Error(w, "no key", http.StatusUnauthorized)
		return
	}
	_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10))
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, fmt.Sprintf("more than %d bytes", tooBig.Limit), http.StatusRequestEntityTooLarge)
	}
}

// listenWith serves refuses with limits and returns the address.
func listenWith(t *testing.T, l limits) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveHTTP(ctx, ln, http.HandlerFunc(refuses), l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// PHP, Python and curl send the body to its end before they read the answer.
func TestARefusalIsReadByAClientThatSendsItsWholeBodyFirst(t *testing.T) {
	t.Parallel()
	addr := listenWith(t, apiLimits())
	const size = 20 << 20
	body := strings.Repeat("x", size)
	for name, request := range map[string]string{
		"413 of a body with a length":    fmt.Sprintf("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, body),
		"413 of a body in chunks":        fmt.Sprintf("POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body),
		"413 of a client that closes":    fmt.Sprintf("POST /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", size, body),
		"401 without a look at the body": fmt.Sprintf("POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, body),
	} {
		conn, err := net.Dial("tcp", addr) //nolint:noctx // a test's
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Errorf("%s: the body cannot be sent: %v", name, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: no answer: %v", name, err)
		} else {
			if want := name[:3]; !strings.HasPrefix(resp.Status, want) {
				t.Errorf("%s: the answer is %s", name, resp.Status)
			}
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}

// A client that asks before it sends a body is not asked for one that the handler does not read.
func TestABodyThatIsRefusedUnseenIsNotAskedFor(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("tcp", listenWith(t, apiLimits())) //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST /unread HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, "401") {
		t.Errorf("the answer begins %q", line)
	}
}

// Who sends for ever loses the connection after the bound of the listener.
func TestABodyWithoutEndIsNotReadForEver(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("tcp", listenWith(t, publicLimits())) //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, "POST /unread HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := "100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n"
	for range 1000 {
		if _, err = io.WriteString(conn, chunk); err != nil {
			return
		}
	}
	t.Error("1 GB was read")
}
