package ops

import (
	"net"
	"net/http"
	"strings"
)

// loopback reports whether addr (a host, or host:port) is reachable from this
// machine only.
func loopback(addr string) bool {
	host := bareHost(addr)
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// bareHost is the host of "host:port", "host" or "[::1]:port", in lower case.
func bareHost(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// checkHost refuses requests whose Host header is not a name of this listener. A
// foreign DNS name that resolves to 127.0.0.1 would otherwise put a foreign page
// in the same origin as ours (DNS rebinding).
func (a *authenticator) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.knowsHost(r.Host) {
			writeText(w, http.StatusMisdirectedRequest, "This listener does not answer to that host name. "+
				"Open it by its loopback address, or add the name to WXNOTIFY_OPS_HOSTS.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *authenticator) knowsHost(hostport string) bool {
	host := bareHost(hostport)
	return a.hosts[host] || loopback(host) || (!a.open() && len(a.hosts) == 0)
}
