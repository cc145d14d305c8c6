package ops

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
)

const (
	// maxFailures of one address, or maxAllFailures of all addresses, in
	// failureWindow: further logins are refused until the window ends.
	maxFailures    = 5
	maxAllFailures = 100
	failureWindow  = time.Minute
	// rememberFor is how long a correct login is not verified again; each use begins
	// it anew. A page makes about twenty requests, and bcrypt is slow by design. Who
	// guesses passwords must not lock out the admin who works.
	rememberFor = time.Hour
	// maxKnownFailures is in place of maxFailures for an address from which an admin
	// has logged in within rememberFor, and maxAllFailures does not hold for it: it
	// may be a gateway that attackers and admins share.
	maxKnownFailures = 60
	// maxVerifying passwords are verified at once: concurrent guesses must neither
	// take the sender's CPU nor bypass the count of failures.
	maxVerifying = 2
)

// authenticator checks logins and host names.
type authenticator struct {
	logins  map[string]string // name → password or bcrypt hash
	oidc    *oidcLogins       // nil: none. Without both no login is required
	hosts   map[string]bool
	proxies []netip.Prefix
	log     *zap.Logger
	key     []byte // random per process: a mac is valid in this process only
	slots   chan struct{}

	mu       sync.Mutex
	verified map[string]time.Time // mac of name and password → expiry
	known    map[string]time.Time // address of a correct login → expiry
	failures map[string]int       // by address, and "" for all
	window   time.Time
}

func newAuthenticator(cfg Config, log *zap.Logger) *authenticator {
	a := &authenticator{
		logins: map[string]string{}, hosts: map[string]bool{}, proxies: cfg.TrustedProxies, log: log,
		key: make([]byte, 32), slots: make(chan struct{}, maxVerifying),
		verified: map[string]time.Time{}, known: map[string]time.Time{}, failures: map[string]int{},
	}
	_, _ = rand.Read(a.key) // never fails
	for _, l := range cfg.Logins {
		a.logins[l.Name] = l.Password.Reveal()
	}
	for _, host := range cfg.Hosts {
		a.hosts[clientaddr.Host(host)] = true
	}
	return a
}

func validateLogins(logins []Login) []error {
	var faults []error
	seen := map[string]bool{}
	for i, l := range logins {
		switch password := l.Password.Reveal(); {
		case l.Name == "" || strings.Contains(l.Name, ":"):
			faults = append(faults, fmt.Errorf("config.Logins[%d]: Name is empty or has a colon", i))
		case seen[l.Name]:
			faults = append(faults, fmt.Errorf("config.Logins[%d]: %s is listed twice", i, l.Name))
		case password == "":
			faults = append(faults, fmt.Errorf("config.Logins[%d]: %s has no password", i, l.Name))
		case isHash(password):
			if _, err := bcrypt.Cost([]byte(password)); err != nil {
				faults = append(faults, fmt.Errorf("config.Logins[%d]: the password of %s begins like a bcrypt hash but is not one: "+
					"make one with `htpasswd -nB %s`", i, l.Name, l.Name))
			}
		}
		seen[l.Name] = true
	}
	return faults
}

func isHash(password string) bool {
	return strings.HasPrefix(password, "$2a$") || strings.HasPrefix(password, "$2b$") || strings.HasPrefix(password, "$2y$")
}

var (
	errLogin     = errors.New("login required")
	errThrottled = errors.New("too many failed logins")
)

// requireLogin answers 401 unless the request has a correct name and password.
func (a *authenticator) requireLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := a.oidc.of(r); ok {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, s)))
			return
		}
		switch err := a.authenticate(r); {
		case err == nil:
			next.ServeHTTP(w, r)
		case errors.Is(err, errThrottled):
			w.Header().Set("Retry-After", strconv.Itoa(int(failureWindow.Seconds())))
			writeText(w, http.StatusTooManyRequests, "Too many failed logins. Wait a minute and try again.")
		case a.oidc != nil && wantsPage(r):
			a.oidc.choose(w, r)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="wxnotify operators", charset="UTF-8"`)
			writeText(w, http.StatusUnauthorized,
				"Log in with a name and password of the operators' listener (WXNOTIFY_OPS_LOGIN).")
		}
	})
}

// authenticate returns nil, errLogin or errThrottled.
func (a *authenticator) authenticate(r *http.Request) error {
	if a.open() {
		return nil
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return errLogin // not counted: no password was tried
	}
	mac, from := a.mac(name, password), a.clientAddr(r)
	if a.isVerified(mac, from) {
		return nil
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-r.Context().Done():
		return errLogin
	}
	// Both are checked after the wait: the result of a concurrent request counts.
	switch {
	case a.isVerified(mac, from):
		return nil
	case a.throttled(from):
		return errThrottled
	case !a.verify(name, password):
		a.countFailure(from)
		// The name is not logged: it may be a password typed into the wrong field.
		a.log.Warn("login failed", zap.String("remote", from))
		return errLogin
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(mac, from)
	return nil
}

// open reports whether no login is required.
func (a *authenticator) open() bool { return len(a.logins) == 0 && a.oidc == nil }

// verify takes as long for an unknown name as for a known one.
func (a *authenticator) verify(name, password string) bool {
	want, known := a.logins[name]
	if !known {
		for _, other := range a.logins {
			want = other
			break
		}
	}
	if isHash(want) {
		return bcrypt.CompareHashAndPassword([]byte(want), []byte(password)) == nil && known
	}
	return hmac.Equal([]byte(a.mac("", want)), []byte(a.mac("", password))) && known
}

func (a *authenticator) mac(name, password string) string {
	m := hmac.New(sha256.New, a.key)
	_, _ = fmt.Fprintf(m, "%d:%s:%s", len(name), name, password)
	return string(m.Sum(nil))
}

// remember is called with mu held, for a correct login only: that bounds the maps.
func (a *authenticator) remember(mac, from string) {
	now := time.Now()
	a.verified[mac] = now.Add(rememberFor)
	a.remembered(from, now)
}

// remembered is called with mu held, after a correct login.
func (a *authenticator) remembered(from string, now time.Time) {
	maps.DeleteFunc(a.known, func(_ string, until time.Time) bool { return now.After(until) })
	a.known[from] = now.Add(rememberFor)
}

// know remembers an address from which an operator has logged in by OIDC.
func (a *authenticator) know(from string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remembered(from, time.Now())
}

// isVerified reports whether the login was correct within rememberFor, and begins it
// anew.
func (a *authenticator) isVerified(mac, from string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	until, ok := a.verified[mac]
	if ok && time.Now().After(until) {
		delete(a.verified, mac)
		return false
	}
	if ok {
		a.remember(mac, from)
	}
	return ok
}

func (a *authenticator) throttled(from string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Sub(a.window) > failureWindow {
		a.window = now
		clear(a.failures)
	}
	if until, ok := a.known[from]; ok && now.Before(until) {
		return a.failures[from] >= maxKnownFailures
	}
	return a.failures[from] >= maxFailures || a.failures[""] >= maxAllFailures
}

func (a *authenticator) countFailure(from string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failures[from]++
	a.failures[""]++
}

// clientAddr is the address of the client, behind trusted proxies too; that of the
// connection as it stands where it is none.
func (a *authenticator) clientAddr(r *http.Request) string {
	if at := clientaddr.Proxies(a.proxies).Of(r); at.IsValid() {
		return at.String()
	}
	return r.RemoteAddr
}
