package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
)

// proxy stands between the programs and Redis and breaks what passes.
type proxy struct {
	target   string
	listener net.Listener

	mu     sync.Mutex
	pairs  map[*pair]struct{}
	dice   *rand.Rand
	ragged float64       // share of the pieces that end their connection
	shut   bool          // new connections are refused
	stall  chan struct{} // closed when bytes pass again; nil: they pass
	cuts   int
}

// pair is a connection through the proxy.
type pair struct{ client, server net.Conn }

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

func newProxy(target string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &proxy{
		target: target, listener: l, pairs: map[*pair]struct{}{},
		dice: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // faults are to be repeatable
	}
	go p.accept()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.pass()
	p.cutAll()
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
	both := &pair{client, server}
	p.mu.Lock()
	if p.shut {
		p.mu.Unlock()
		both.close()
		return
	}
	p.pairs[both] = struct{}{}
	p.mu.Unlock()
	var ends sync.WaitGroup
	ends.Go(func() { p.pump(server, client); both.close() })
	ends.Go(func() { p.pump(client, server); both.close() })
	ends.Wait()
	p.mu.Lock()
	delete(p.pairs, both)
	p.mu.Unlock()
}

// pump passes pieces from src to dst until one of them ends, or a piece is the
// last: it is swallowed whole (a command that never arrives, or one that ran and
// whose reply is lost) or in half.
func (p *proxy) pump(dst io.Writer, src io.Reader) {
	piece := make([]byte, 32<<10)
	for {
		n, err := src.Read(piece)
		if err != nil {
			return
		}
		last, whole := p.fate()
		if !whole {
			n /= 2
		}
		if last && whole {
			return
		}
		if _, err := dst.Write(piece[:n]); err != nil || last {
			return
		}
	}
}

// fate waits while bytes stall and says what becomes of a piece.
func (p *proxy) fate() (last, whole bool) {
	p.mu.Lock()
	for p.stall != nil {
		moving := p.stall
		p.mu.Unlock()
		<-moving
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.ragged > 0 && p.dice.Float64() < p.ragged {
		p.cuts++
		return true, p.dice.IntN(2) == 0
	}
	return false, true
}

// cutAll ends every connection at whatever it is doing.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for both := range p.pairs {
		both.close()
		p.cuts++
	}
}

// refuse ends every connection and takes no new one, until pass.
func (p *proxy) refuse() {
	p.mu.Lock()
	p.shut = true
	p.mu.Unlock()
	p.cutAll()
}

// hold lets no byte through, until pass.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stall == nil {
		p.stall = make(chan struct{})
	}
}

// tear ends connections at a share of the pieces, until pass.
func (p *proxy) tear(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ragged = share
}

// pass lets everything through again.
func (p *proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut, p.ragged = false, 0
	if p.stall != nil {
		close(p.stall)
		p.stall = nil
	}
}
