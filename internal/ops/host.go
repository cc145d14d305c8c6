package ops

import (
	"net/http"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
)

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
	host := clientaddr.Host(hostport)
	return a.hosts[host] || clientaddr.Loopback(host) || (!a.open() && len(a.hosts) == 0)
}
