package clientaddr

import (
	"net"
	"net/netip"
	"strings"
)

// Host is the host of "host:port", "host" or "[::1]:port", in lower case.
func Host(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// Loopback reports whether a host, with or without a port, is reachable from this machine
// only: localhost, or an address of the loopback interface.
func Loopback(hostport string) bool {
	host := Host(hostport)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
