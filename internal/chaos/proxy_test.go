package main

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers with what it reads, until the test ends.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func newTestProxy(t *testing.T) (*proxy, func() net.Conn) {
	t.Helper()
	p, err := newProxy(echo(t), 1)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p, func() net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr())
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
}

// exchange sends a word and reads it back; the error is the connection's.
func exchange(c net.Conn) error {
	if _, err := c.Write([]byte("word")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// silent reports that a word does not come back, and the connection stays open.
func silent(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond))
	defer func() { _ = c.SetDeadline(time.Now().Add(10 * time.Second)) }()
	var late net.Error
	return errors.As(exchange(c), &late) && late.Timeout()
}

func TestTheProxyPassesAndCuts(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	c := dial()
	must(t, exchange(c))
	p.cutAll()
	if err := exchange(c); err == nil {
		t.Error("the connection lives after it was cut")
	}
	if err := exchange(dial()); err != nil {
		t.Errorf("a new connection after the cut: %v", err)
	}
}

func TestTheProxyRefusesUntilItPasses(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	c := dial()
	must(t, exchange(c))
	p.refuse()
	if exchange(c) == nil || exchange(dial()) == nil {
		t.Error("a word passed while all is refused")
	}
	p.pass()
	if err := exchange(dial()); err != nil {
		t.Error(err)
	}
}

func TestTheProxyHoldsUntilItPasses(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	c := dial()
	p.hold()
	if !silent(c) {
		t.Error("a word came back while all is held")
	}
	p.pass()
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Errorf("what was held did not come: %v", err)
	}
}

func TestTheProxyTears(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	p.tear(0.5)
	torn := 0
	for range 40 {
		if exchange(dial()) != nil {
			torn++
		}
	}
	if torn < 10 || torn == 40 {
		t.Errorf("%d of 40 connections were torn at one chunk in two", torn)
	}
}

func TestTheProxyForgetsOneConnectionAndNoOther(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	first, second := dial(), dial()
	for _, c := range []net.Conn{first, second} {
		must(t, exchange(c))
	}
	p.forgetNext("word")
	if !silent(first) {
		t.Error("the forgotten connection answers, or was reset")
	}
	if err := exchange(second); err != nil {
		t.Errorf("another connection: %v", err)
	}
	p.pass()
	if !silent(first) {
		t.Error("the forgotten connection works again")
	}
	if err := exchange(dial()); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

// The connection to forget is the one that carries the text.
func TestTheProxyForgetsTheConnectionThatCarriesAText(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	c := dial()
	p.forgetNext("other")
	if err := exchange(c); err != nil {
		t.Fatalf("a chunk without the text: %v", err)
	}
	p.forgetNext("") // any
	if !silent(c) {
		t.Error("the next chunk passed")
	}
}

// The server must not see the end of a forgotten client.
func TestAForgottenServerIsNotToldOfTheClientsEnd(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	p, err := newProxy(l.Addr().String(), 1)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr())
	must(t, err)
	server, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	p.forgetNext("word")
	if _, err := client.Write([]byte("word")); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	_ = server.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	var late net.Error
	if n, err := server.Read(make([]byte, 8)); n > 0 || !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("the server read %d bytes, %v; it is to hear nothing", n, err)
	}
	_ = p.Close()
	_ = server.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := server.Read(make([]byte, 8)); !errors.Is(err, io.EOF) {
		t.Errorf("after Close of the proxy: %v, want EOF", err)
	}
}
