package redistest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Mini starts miniredis without a socket and returns it with a client. TTLs follow
// the clock. Both work in a testing/synctest bubble, in virtual time.
func Mini(tb testing.TB) (*miniredis.Miniredis, *redis.Client) {
	tb.Helper()
	logging.Disable()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	tb.Cleanup(m.Close)
	return m, MiniClient(tb, m)
}

// MiniClient returns one more client of a miniredis that Mini made.
func MiniClient(tb testing.TB, m *miniredis.Miniredis) *redis.Client {
	tb.Helper()
	// An IP address: go-redis would resolve a name with goroutines outside the bubble.
	c := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", Protocol: 2, DisableIdentity: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			conn, err := m.Dial()
			if err != nil {
				return nil, fmt.Errorf("miniredis: %w", err)
			}
			return Buffered(conn), nil
		},
	})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// bufferedConn adds an unlimited write buffer to a connection without one, such
// as net.Pipe. Without it a long pipeline blocks: the server cannot write replies
// that the client does not read before it has written all commands.
type bufferedConn struct {
	net.Conn
	mu     sync.Mutex
	unsent []byte
	more   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Buffered wraps conn so that writes never block.
func Buffered(conn net.Conn) net.Conn {
	c := &bufferedConn{Conn: conn, more: make(chan struct{}, 1), closed: make(chan struct{})}
	go c.flush()
	return c
}

func (c *bufferedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.unsent = append(c.unsent, b...)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (c *bufferedConn) flush() {
	for {
		select {
		case <-c.more:
		case <-c.closed:
			return
		}
		c.mu.Lock()
		b := c.unsent
		c.unsent = nil
		c.mu.Unlock()
		if _, err := c.Conn.Write(b); err != nil {
			return
		}
	}
}

// Writes never block, so only reads have deadlines.
func (c *bufferedConn) SetWriteDeadline(time.Time) error { return nil }
func (c *bufferedConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) } //nolint:wrapcheck // a net.Conn returns the error of the one inside

func (c *bufferedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close() //nolint:wrapcheck // a net.Conn returns the error of the one inside
}
