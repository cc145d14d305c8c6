package enroll

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/httprate"
	"go.uber.org/zap"
)

const (
	// defaultRequests is the default of Config.RequestsPerMinute. A follower who
	// enrols makes about four requests, and many may share an address: a clinic's
	// network, a mobile carrier's gateway.
	defaultRequests = 1200
	// freeRefusals is how many calls of callback addresses may be refused in a minute
	// before the answers to this client address come late: a Token is being guessed,
	// or WeChat has another one.
	freeRefusals = 100
	// lateBy is how late such an answer is.
	lateBy = time.Second
	// maxLate is how many such answers may wait at once; the others come at once.
	maxLate = 256
)

// limits counts requests by the client's address, per minute and process. Pushes and
// checks that WeChat signed are not counted.
type limits struct {
	proxies  []netip.Prefix
	requests *httprate.RateLimiter // nil: no limit
	refusals *httprate.RateLimiter
	late     atomic.Int64
}

func newLimits(proxies []netip.Prefix, perMinute int) *limits {
	l := &limits{proxies: proxies, refusals: httprate.NewRateLimiter(freeRefusals, time.Minute, httprate.WithResponseHeaders(httprate.ResponseHeaders{}))}
	if perMinute == 0 {
		perMinute = defaultRequests
	}
	if perMinute > 0 {
		l.requests = httprate.NewRateLimiter(perMinute, time.Minute, httprate.WithResponseHeaders(httprate.ResponseHeaders{RetryAfter: "Retry-After"}))
	}
	return l
}

// limited serves the callback addresses and next, and answers 429 to a client address
// that has made too many requests.
func (s *Service) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			// Go takes a Content-Length beside it; a proxy in front may take the length
			// for the body's, and what follows for a request of its own.
			w.Header().Set("Connection", "close")
		}
		s.warnOfProxy(r)
		// WeChat pushes thousands a second from a few addresses: a call of a callback
		// address is counted when it is refused.
		if appid, ok := callbackPath(r.URL.Path); ok {
			s.callback(w, r, s.calledAccount(appid))
		} else if !s.spent(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// spent counts r. It answers r and returns true when its client address has no
// request left in this minute.
func (s *Service) spent(w http.ResponseWriter, r *http.Request) bool {
	if s.limits.requests == nil || !s.limits.requests.OnLimit(w, r, s.limits.client(r)) {
		return false
	}
	s.cfg.OnEvent(Event{Kind: KindLimited})
	s.log.warn("limited", "a client address makes too many requests and is answered 429", zap.String("address", s.limits.client(r)))
	answer(w, http.StatusTooManyRequests, "too many requests from your address: try again in a minute")
	return true
}

// slow counts a refused call of a callback address. When the client address has made
// many, it waits a second.
func (s *Service) slow(w http.ResponseWriter, r *http.Request) {
	if !s.limits.refusals.OnLimit(w, r, s.limits.client(r)) {
		return
	}
	s.log.warn("guesses", "many calls of the callback address from one client address are refused: either a Token is being guessed, "+
		"or the Token under 服务器配置 is not the configured one", zap.String("address", s.limits.client(r)))
	defer s.limits.late.Add(-1)
	if s.limits.late.Add(1) <= maxLate {
		pause(r.Context(), lateBy)
	}
}

// warnOfProxy tells the operator of a proxy that trusted_proxies does not name: all
// its clients share one limit.
func (s *Service) warnOfProxy(r *http.Request) {
	if r.Header.Get("X-Forwarded-For") == "" {
		return
	}
	if peer := peerOf(r); !s.limits.trusts(peer) {
		s.log.warn("proxy "+peer.String(), "X-Forwarded-For is ignored, so that all clients behind this address share one limit of requests: "+
			"if it is your proxy, name it in WXNOTIFY_TRUSTED_PROXIES", zap.Stringer("address", peer))
	}
}

// client is what r is counted under: the address of its client, of IPv6 the /64
// network. X-Forwarded-For counts as far as trusted proxies wrote it: from the right,
// the first address that is no trusted proxy's.
func (l *limits) client(r *http.Request) string {
	at := peerOf(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !l.trusts(at) {
			break
		}
		next, ok := parseAddr(hop)
		if !ok {
			break
		}
		at = next
	}
	if at.Is6() {
		if network, err := at.Prefix(64); err == nil {
			return network.String()
		}
	}
	return at.String()
}

func (l *limits) trusts(at netip.Addr) bool {
	return slices.ContainsFunc(l.proxies, func(p netip.Prefix) bool { return p.Contains(at) })
}

// peerOf is the address at the other end of the connection; invalid when there is
// none, as on a unix socket.
func peerOf(r *http.Request) netip.Addr {
	at, _ := parseAddr(r.RemoteAddr)
	return at
}

// parseAddr reads an address with or without a port.
func parseAddr(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	at, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(text)
		at = withPort.Addr()
	}
	return at.Unmap().WithZone(""), err == nil
}
