package apikey

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Calls with a wrong secret that one address may make: a burst, then one in five
// seconds.
const (
	failuresAtOnce = 20
	failuresRate   = 0.2 // a second
)

// maxLimiters bounds the names of a limits. Beyond it all are forgotten, which
// lets each have its burst again.
const maxLimiters = 100_000

// limits holds one limiter per name.
type limits struct {
	mu   sync.Mutex
	list map[string]*rate.Limiter
}

// of returns the limiter of name. The lock is held by the caller.
func (l *limits) of(name string, perSecond float64, burst int) *rate.Limiter {
	one := l.list[name]
	if one == nil || one.Limit() != rate.Limit(perSecond) {
		if l.list == nil || len(l.list) >= maxLimiters {
			l.list = map[string]*rate.Limiter{}
		}
		one = rate.NewLimiter(rate.Limit(perSecond), burst)
		l.list[name] = one
	}
	return one
}

// until is how long it takes until one event is free; zero: now.
func until(l *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing/float64(l.Limit())*float64(time.Second)), time.Millisecond)
}

// Allow takes one call of the key's rate. It returns zero, or how long to wait; and
// the rate and how many calls are left at once, for the caller's headers. Each
// process counts for itself.
func (k *Keyring) Allow(key *Key) (wait time.Duration, limit, left int) {
	perSecond := key.Rate
	if perSecond == 0 {
		perSecond = DefaultRate
	}
	limit = int(max(1, perSecond))
	k.rates.mu.Lock()
	defer k.rates.mu.Unlock()
	l, now := k.rates.of(key.Account+" "+key.ID, perSecond, limit), time.Now()
	if !l.AllowN(now, 1) {
		wait = until(l, now)
	}
	return wait, limit, max(0, int(l.TokensAt(now)))
}

// Blocked is how long the address has to wait, having called with wrong secrets
// too often; zero: it may call. A secret that was verified within the hour is never
// blocked: the address may be a proxy's or gateway's that many programs share.
func (k *Keyring) Blocked(address, secret string) time.Duration {
	if k.isKnown(secret) {
		return 0
	}
	k.failures.mu.Lock()
	defer k.failures.mu.Unlock()
	if k.failures.list[address] == nil {
		return 0
	}
	return until(k.failures.of(address, failuresRate, failuresAtOnce), time.Now())
}

// Failed notes a call with a wrong secret.
func (k *Keyring) Failed(address string) {
	k.failures.mu.Lock()
	defer k.failures.mu.Unlock()
	k.failures.of(address, failuresRate, failuresAtOnce).AllowN(time.Now(), 1)
}
