package ops

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// bareHost is the host of "host:port", "host" or "[::1]:port", in lower case.
func bareHost(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// hosts refuses names that are not ours. A name of somebody else that points at
// 127.0.0.1 would otherwise make his page the same origin as ours.
func (g *gatekeeper) hosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.knowsHost(r.Host) {
			say(w, http.StatusMisdirectedRequest, "This listener does not answer to that host name. "+
				"Open it by its loopback address, or add the name to the configured hosts.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *gatekeeper) knowsHost(hostport string) bool {
	host := bareHost(hostport)
	switch {
	case g.hostOK[host]:
		return true
	case loopback(host):
		return true
	default:
		return !g.anyone && len(g.hostOK) == 0
	}
}

// sameOrigin reports whether the request proves that a page of this listener
// sent it. Each of Sec-Fetch-Site, Origin and Referer that is present must say
// so, and one has to be present: what a script outside a browser leaves out, a
// cross-site form could be made to leave out too.
func (g *gatekeeper) sameOrigin(r *http.Request) bool {
	proven := false
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		if site != "same-origin" {
			return false
		}
		proven = true
	}
	for _, name := range []string{"Origin", "Referer"} {
		text := r.Header.Get(name)
		if text == "" {
			continue
		}
		if !g.ours(text, r) {
			return false
		}
		proven = true
	}
	return proven
}

// ours compares host and port. The scheme is left out: behind a proxy that ends
// TLS we do not know it. A configured host counts too, since a proxy may have
// rewritten the Host header.
func (g *gatekeeper) ours(text string, r *http.Request) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	return g.hostOK[bareHost(u.Host)]
}

const wantsSameOrigin = "Refused: a change must come from a page of this listener. " +
	"A script must send the header Origin: http://<host:port of this listener>."
