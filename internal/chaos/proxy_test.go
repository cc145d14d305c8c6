package main

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers what it hears, until the test ends.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p, func() net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
}

// says exchanges a word; the error is the connection's.
func says(c net.Conn) error {
	if _, err := c.Write([]byte("word")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

func TestTheProxyPassesAndCuts(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	c := dial()
	if err := says(c); err != nil {
		t.Fatal(err)
	}
	p.cutAll()
	if err := says(c); err == nil {
		t.Error("the connection lives after it was cut")
	}
	if err := says(dial()); err != nil {
		t.Errorf("a new connection after the cut: %v", err)
	}
}

func TestTheProxyRefusesUntilItPasses(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	p.refuse()
	if err := says(dial()); err == nil {
		t.Error("a word passed while all is refused")
	}
	p.pass()
	if err := says(dial()); err != nil {
		t.Error(err)
	}
}

func TestTheProxyHoldsUntilItPasses(t *testing.T) {
	t.Parallel()
	p, dial := newTestProxy(t)
	c := dial()
	p.hold()
	_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond))
	var late net.Error
	if err := says(c); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("held, and the word came back: %v", err)
	}
	p.pass()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
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
		if says(dial()) != nil {
			torn++
		}
	}
	if torn < 10 || torn == 40 {
		t.Errorf("%d of 40 connections were torn at one piece in two", torn)
	}
}
