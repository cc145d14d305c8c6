package ops

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// maxFailures of one address, and maxAllFailures of all of them, in
	// failureWindow; then nobody there is listened to until the window ends.
	maxFailures    = 5
	maxAllFailures = 100
	failureWindow  = time.Minute
	// rememberFor spares a page's twenty requests twenty bcrypt runs.
	rememberFor = 5 * time.Minute
	// maxGuesses are looked at at once: a flood must not take the sender's CPU, nor
	// get past the count of failures by coming all at the same time.
	maxGuesses = 2
	// nobody is who acts where no login is needed.
	nobody = "loopback"
)

// gatekeeper lets admins in.
type gatekeeper struct {
	logins map[string]string
	hostOK map[string]bool
	anyone bool // no login is needed
	log    *zap.Logger
	key    []byte // of this process: what mac proves is worthless elsewhere
	slots  chan struct{}

	mu       sync.Mutex
	known    map[string]time.Time // mac of name and password → until when
	failures map[string]int       // by address, and "" for all
	window   time.Time
}

func newGatekeeper(cfg Config, log *zap.Logger) *gatekeeper {
	g := &gatekeeper{
		logins: map[string]string{}, hostOK: map[string]bool{}, anyone: len(cfg.Logins) == 0, log: log,
		key: make([]byte, 32), slots: make(chan struct{}, maxGuesses),
		known: map[string]time.Time{}, failures: map[string]int{},
	}
	_, _ = rand.Read(g.key) // never fails
	for _, l := range cfg.Logins {
		g.logins[l.Name] = l.Password.Reveal()
	}
	for _, host := range cfg.Hosts {
		g.hostOK[bareHost(host)] = true
	}
	return g
}

func loginFaults(logins []Login) []error {
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
		case hashed(password):
			if _, err := bcrypt.Cost([]byte(password)); err != nil {
				faults = append(faults, fmt.Errorf("config.Logins[%d]: the password of %s begins like a bcrypt hash but is none: "+
					"make one with `htpasswd -nB %s`", i, l.Name, l.Name))
			}
		}
		seen[l.Name] = true
	}
	return faults
}

// HashPassword returns the bcrypt hash that Login.Password takes. bcrypt reads
// at most 72 bytes; a longer password is an error.
func HashPassword(password wechat.Secret) (string, error) {
	if password.Reveal() == "" {
		return "", errors.New("hash password: it is empty")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password.Reveal()), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

func hashed(password string) bool {
	return strings.HasPrefix(password, "$2a$") || strings.HasPrefix(password, "$2b$") || strings.HasPrefix(password, "$2y$")
}

type whoKey struct{}

// who is the admin of a request that passed require.
func who(r *http.Request) string {
	name, _ := r.Context().Value(whoKey{}).(string)
	return name
}

// require answers 401 until a known name and password come.
func (g *gatekeeper) require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, status := g.admit(r)
		switch status {
		case http.StatusOK:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, name)))
		case http.StatusTooManyRequests:
			w.Header().Set("Retry-After", strconv.Itoa(int(failureWindow.Seconds())))
			say(w, status, "Too many failed logins. Wait a minute and try again.")
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="wxnotify operators", charset="UTF-8"`)
			say(w, status, "Log in with a name and password of the operators' listener (WXNOTIFY_OPS_LOGIN).")
		}
	})
}

// admit returns who asks and 200, or 401, or 429.
func (g *gatekeeper) admit(r *http.Request) (string, int) {
	if g.anyone {
		return nobody, http.StatusOK
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return "", http.StatusUnauthorized // no guess: costs nothing
	}
	mac := g.mac(name, password)
	if g.remembers(mac) {
		return name, http.StatusOK
	}
	select { // what waits here is judged when its turn comes, not when it arrived
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-r.Context().Done():
		return "", http.StatusUnauthorized
	}
	from := remote(r)
	switch {
	case g.remembers(mac): // one of this page's twenty requests was quicker
		return name, http.StatusOK
	case g.throttled(from):
		return "", http.StatusTooManyRequests
	case !g.verify(name, password):
		g.failed(from)
		// The name is not logged: people type passwords into the wrong field.
		g.log.Warn("failed login", zap.String("remote", from))
		return "", http.StatusUnauthorized
	}
	g.remember(mac)
	return name, http.StatusOK
}

// verify takes as long for an unknown name as for a known one.
func (g *gatekeeper) verify(name, password string) bool {
	want, known := g.logins[name]
	if !known {
		for _, any := range g.logins { // some login's kind of password
			want = any
			break
		}
	}
	if hashed(want) {
		return bcrypt.CompareHashAndPassword([]byte(want), []byte(password)) == nil && known
	}
	return hmac.Equal([]byte(g.mac("", want)), []byte(g.mac("", password))) && known
}

func (g *gatekeeper) mac(name, password string) string {
	m := hmac.New(sha256.New, g.key)
	_, _ = fmt.Fprintf(m, "%d:%s:%s", len(name), name, password)
	return string(m.Sum(nil))
}

func (g *gatekeeper) remembers(mac string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.known[mac]
	if ok && time.Now().After(until) {
		delete(g.known, mac)
		return false
	}
	return ok
}

// remember is bounded by the number of logins: only right passwords come here.
func (g *gatekeeper) remember(mac string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known[mac] = time.Now().Add(rememberFor)
}

func (g *gatekeeper) throttled(from string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.window) > failureWindow {
		g.window = time.Now()
		clear(g.failures)
	}
	return g.failures[from] >= maxFailures || g.failures[""] >= maxAllFailures
}

func (g *gatekeeper) failed(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures[from]++
	g.failures[""]++
}

// remote is the address of the connection. No header is believed: anybody can
// write one.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
