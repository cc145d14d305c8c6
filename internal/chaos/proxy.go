package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// proxy is a TCP proxy in front of Redis that breaks connections.
type proxy struct {
	target   string
	listener net.Listener

	mu         sync.Mutex
	conns      map[*proxied]struct{}
	rand       *rand.Rand
	tornShare  float64       // share of the chunks at which their connection ends
	refusing   bool          // new connections are closed at once
	held       chan struct{} // closed when bytes pass again; nil: they pass
	forgetting bool          // the connection of the next chunk with forgetText
	forgetText []byte
}

// proxied is a connection through the proxy.
type proxied struct {
	client, server net.Conn
	forgotten      bool // chunks are dropped, and neither end is told
}

func (c *proxied) close() {
	_ = c.client.Close()
	_ = c.server.Close()
}

func newProxy(target string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &proxy{
		target: target, listener: l, conns: map[*proxied]struct{}{},
		rand: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // faults are to be repeatable
	}
	go p.accept()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// Close closes all connections.
func (p *proxy) Close() error {
	p.refuse()
	p.pass()
	return p.listener.Close() //nolint:wrapcheck // no more can be done
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target) //nolint:noctx // loopback: at once or refused
	if err != nil {
		_ = client.Close()
		return
	}
	c := &proxied{client: client, server: server}
	p.mu.Lock()
	if p.refusing {
		p.mu.Unlock()
		c.close()
		return
	}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	var ends sync.WaitGroup
	ends.Go(func() { p.copy(c, server, client) })
	ends.Go(func() { p.copy(c, client, server) })
	ends.Wait()
	c.close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// copy passes chunks from src to dst. When one end closes, or a chunk is torn,
// both are closed, unless the connection is forgotten.
func (p *proxy) copy(c *proxied, dst, src net.Conn) {
	chunk := make([]byte, 32<<10)
	for {
		n, err := src.Read(chunk)
		keep, last := p.decide(c, chunk[:n])
		if keep > 0 {
			_, werr := dst.Write(chunk[:keep])
			last = last || werr != nil
		}
		if err == nil && !last {
			continue
		}
		p.mu.Lock()
		forgotten := c.forgotten
		p.mu.Unlock()
		if !forgotten {
			c.close()
		}
		return
	}
}

// decide waits while bytes are held and says how much of a chunk is passed on, and
// whether it is the last of its connection. A torn chunk is passed on in half, or
// not at all: a command that never arrives, or one that ran and whose reply is lost.
func (p *proxy) decide(c *proxied, chunk []byte) (keep int, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.held != nil {
		held := p.held
		p.mu.Unlock()
		<-held
		p.mu.Lock()
	}
	if p.forgetting && !c.forgotten && bytes.Contains(chunk, p.forgetText) {
		c.forgotten, p.forgetting = true, false
	}
	switch {
	case c.forgotten:
		return 0, false
	case p.tornShare > 0 && p.rand.Float64() < p.tornShare:
		return len(chunk) / 2 * p.rand.IntN(2), true
	}
	return len(chunk), false
}

// with calls change while no chunk is decided on.
func (p *proxy) with(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// cutAll closes every connection.
func (p *proxy) cutAll() {
	p.with(func() {
		for c := range p.conns {
			c.close()
		}
	})
}

// forgetNext forgets the connection of the next chunk that contains text: that
// chunk and all later ones are dropped, in both directions, as a NAT or a firewall
// that lost its state does. Neither end gets a reset or the other end's close.
// Other connections work.
func (p *proxy) forgetNext(text string) {
	p.with(func() { p.forgetting, p.forgetText = true, []byte(text) })
}

// refuse closes every connection and each new one, until pass.
func (p *proxy) refuse() {
	p.with(func() { p.refusing = true })
	p.cutAll()
}

// hold passes no byte on, until pass.
func (p *proxy) hold() { p.with(func() { p.held = make(chan struct{}) }) }

// tear ends connections at a share of the chunks, until pass.
func (p *proxy) tear(share float64) { p.with(func() { p.tornShare = share }) }

// pass lets everything through again, except on forgotten connections.
func (p *proxy) pass() {
	p.with(func() {
		p.refusing, p.tornShare = false, 0
		if p.held != nil {
			close(p.held)
			p.held = nil
		}
	})
}
