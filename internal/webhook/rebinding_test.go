package webhook_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/webhook"
)

// nameServer answers the questions for IPv4 addresses of any name, each time with the next list.
type nameServer struct {
	mu      sync.Mutex
	answers [][]string
}

// resolver asks the name server over UDP on loopback, until the test ends.
func (s *nameServer) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if _, err := conn.WriteTo(s.answer(buffer[:n]), from); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// left counts the answers that were not asked for.
func (s *nameServer) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answers)
}

// answer writes a message of RFC 1035 for the one question of query.
func (s *nameServer) answer(query []byte) []byte {
	const typeA = 1
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5 // the root, type and class
	var addresses []string
	if binary.BigEndian.Uint16(query[end-4:]) == typeA {
		s.mu.Lock()
		if len(s.answers) > 0 {
			addresses, s.answers = s.answers[0], s.answers[1:]
		}
		s.mu.Unlock()
	}
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0}, query[12:end]...)
	for _, address := range addresses {
		ip := netip.MustParseAddr(address).As4()
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the name of the question, A, IN, TTL 0, 4 bytes
		out = append(out, ip[:]...)
	}
	return out
}

// A name that resolves to a public address first, and to this machine when it is called, does
// not reach this machine.
func TestANameThatChangesItsAddressDoesNotReachLoopback(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	called := make(chan struct{}, 10)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			called <- struct{}{}
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())

	names := &nameServer{answers: [][]string{{"1.1.1.1"}, {"127.0.0.1"}, {"1.1.1.1", "127.0.0.1"}, {"169.254.169.254", "127.0.0.1"}}}
	dialer := webhook.NewDialer(false)
	dialer.Resolver = names.resolver(t)
	var mu sync.Mutex
	var tried []string
	stopped := errors.New("a public address: this test calls none")
	check := dialer.Control
	dialer.Control = func(network, address string, c syscall.RawConn) error {
		if err := check(network, address, c); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		tried = append(tried, strings.TrimSuffix(address, ":"+port))
		return stopped
	}
	w := webhook.Webhook{URL: "http://rebind.example:" + port}
	for i, want := range []string{"a public address", "not public", "", "not public"} {
		a, err := webhook.PostBy(t.Context(), dialer, w, golden())
		if err == nil || a.Status != 0 || !strings.Contains(a.Error, want) {
			t.Errorf("call %d: %+v %v, want %q", i+1, a, err, want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Join(tried, " ") != "1.1.1.1 1.1.1.1" {
		t.Errorf("tried %q, want the public addresses alone", tried)
	}
	if n := names.left(); n > 0 {
		t.Errorf("%d answers were not asked for", n)
	}
	_ = ln.Close()
	<-accepted
	if len(called) > 0 {
		t.Error("loopback was called")
	}
}
