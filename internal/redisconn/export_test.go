package redisconn

import (
	"context"
	"net"
)

// Addrs are the addresses that a client connects to first.
func (s *Server) Addrs() []string { return s.options.Addrs }

// SetDialer makes clients connect by dial.
func (s *Server) SetDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	s.options.Dialer = dial
}
