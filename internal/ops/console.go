package ops

import (
	"context"
	"net/http"
)

const consoleRoot = "/console"

// Operator is who makes a request of the console.
type Operator struct {
	Name    string          // of the login; empty: the listener has no login
	Role    string          // that OIDC.Admit returned; empty: the login is one of Config.Logins, or there is none
	Subject string          // of the ID token: the same when the person changes their email; empty: there is none
	Address string          // of the client, see Config.TrustedProxies
	Stop    <-chan struct{} // closed when the server stops: end what streams; nil: never
}

// stoppingKey is the context key of a channel that is closed when the server stops.
type stoppingKey struct{}

// Stopping is what the requests of a server that stops when ctx ends begin with: they go on
// then, and Operator.Stop is closed. It is for http.Server.BaseContext.
func Stopping(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, ctx.Done())
}

// console passes requests on with their operator.
func (h *Handler) console() http.Handler {
	return h.protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := Operator{Address: h.auth.clientAddr(r)}
		if s, ok := r.Context().Value(sessionKey{}).(session); ok {
			who.Name, who.Role, who.Subject = s.name, s.role, s.subject
		} else if len(h.auth.logins) > 0 {
			who.Name, _, _ = r.BasicAuth() // verified by requireLogin
		}
		who.Stop, _ = r.Context().Value(stoppingKey{}).(<-chan struct{})
		h.cfg.Console(w, r, who)
	}))
}

// protect refuses requests that change something and that a page of another origin made:
// a browser sends the login along.
func (h *Handler) protect(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	for _, host := range h.cfg.Hosts { // a proxy may pass on another Host than the browser's
		_ = protection.AddTrustedOrigin("https://" + host) // what is no origin is never one of a browser
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusForbidden, "Refused: a page of another site made this request. Open the console itself; "+
			"behind a proxy add its name to WXNOTIFY_OPS_HOSTS.")
	}))
	return protection.Handler(next)
}
