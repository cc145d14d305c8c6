package redistest

import (
	"net"
	"sync"
	"time"
)

// roomy puts room in front of a connection without any, as net.Pipe is: a long
// pipeline would wait for its own replies.
type roomy struct {
	net.Conn
	mu     sync.Mutex
	unsent []byte
	more   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Roomy wraps conn: writes never wait.
func Roomy(conn net.Conn) net.Conn {
	r := &roomy{Conn: conn, more: make(chan struct{}, 1), closed: make(chan struct{})}
	go r.pump()
	return r
}

func (r *roomy) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.unsent = append(r.unsent, b...)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (r *roomy) pump() {
	for {
		select {
		case <-r.more:
		case <-r.closed:
			return
		}
		r.mu.Lock()
		b := r.unsent
		r.unsent = nil
		r.mu.Unlock()
		if _, err := r.Conn.Write(b); err != nil {
			return
		}
	}
}

// Writes never wait, so only reads have deadlines.
func (r *roomy) SetWriteDeadline(time.Time) error { return nil }
func (r *roomy) SetDeadline(t time.Time) error    { return r.SetReadDeadline(t) } //nolint:wrapcheck // a net.Conn answers as the one inside

func (r *roomy) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.Conn.Close() //nolint:wrapcheck // a net.Conn answers as the one inside
}
