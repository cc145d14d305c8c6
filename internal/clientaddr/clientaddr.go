// Package clientaddr finds the address of a request's client behind proxies.
package clientaddr

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks whose X-Forwarded-For counts. Nil: none.
type Proxies []netip.Prefix

// Of returns the address of r's client. X-Forwarded-For counts as far as trusted
// proxies wrote it: from the right, the first address that is no trusted proxy's,
// since any client can write what stands before it. The address is invalid where the
// connection has none, as on a unix socket.
func (p Proxies) Of(r *http.Request) netip.Addr {
	at := Peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !p.Trusts(at) {
			break
		}
		next, ok := parse(hop)
		if !ok {
			break
		}
		at = next
	}
	return at
}

// Network is what the client of r is counted under: its address, of IPv6 the /64
// network, which one client has whole.
func (p Proxies) Network(r *http.Request) string {
	at := p.Of(r)
	if at.Is6() {
		if network, err := at.Prefix(64); err == nil {
			return network.String()
		}
	}
	return at.String()
}

// Trusts reports whether at is the address of a trusted proxy.
func (p Proxies) Trusts(at netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(at) })
}

// Peer is the address at the other end of the connection; invalid when there is none,
// as on a unix socket.
func Peer(r *http.Request) netip.Addr {
	at, _ := parse(r.RemoteAddr)
	return at
}

// parse reads an address with or without a port.
func parse(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	at, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(text)
		at = withPort.Addr()
	}
	return at.Unmap().WithZone(""), err == nil
}
