package enroll

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-chi/httprate"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/redisx"
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
	proxies  clientaddr.Proxies
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
		} else if !s.overLimit(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// overLimit counts r. It answers r and returns true when its client address has no
// request left in this minute.
func (s *Service) overLimit(w http.ResponseWriter, r *http.Request) bool {
	if s.limits.requests == nil || !s.limits.requests.OnLimit(w, r, s.limits.proxies.Network(r)) {
		return false
	}
	s.cfg.OnEvent(Event{Kind: KindLimited})
	s.log.warn("limited", "a client address makes too many requests and is answered 429", zap.String("address", s.limits.proxies.Network(r)))
	answer(w, http.StatusTooManyRequests, "too many requests from your address: try again in a minute")
	return true
}

// delayRefusal counts a refused call of a callback address. When the client address has made
// many, it waits a second.
func (s *Service) delayRefusal(w http.ResponseWriter, r *http.Request) {
	if !s.limits.refusals.OnLimit(w, r, s.limits.proxies.Network(r)) {
		return
	}
	s.log.warn("guesses", "many calls of the callback address from one client address are refused: either a Token is being guessed, "+
		"or the Token of 消息推送配置 is not the configured one", zap.String("address", s.limits.proxies.Network(r)))
	defer s.limits.late.Add(-1)
	if s.limits.late.Add(1) <= maxLate {
		_ = redisx.Sleep(r.Context(), lateBy)
	}
}

// warnOfProxy tells the operator of a proxy that trusted_proxies does not name: all
// its clients share one limit.
func (s *Service) warnOfProxy(r *http.Request) {
	if r.Header.Get("X-Forwarded-For") == "" {
		return
	}
	if peer := clientaddr.Peer(r); !s.limits.proxies.Trusts(peer) {
		s.log.warn("proxy "+peer.String(), "X-Forwarded-For is ignored, so that all clients behind this address share one limit of requests: "+
			"if it is your proxy, name it in WXNOTIFY_TRUSTED_PROXIES", zap.Stringer("address", peer))
	}
}
