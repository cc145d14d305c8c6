package tokenstore

import (
	"errors"
	"fmt"
	"time"
)

// The causes of an UnavailableError that are not an answer of WeChat.
var (
	// ErrRefused: WeChat refuses a token that it has just handed out.
	ErrRefused = errors.New("WeChat refuses the newest token")
	// ErrWaited: another process held the lease for longer than Config.Wait.
	ErrWaited = errors.New("another process is still fetching the token")
	// ErrRedis: Redis did not answer; without the shared lease nothing is fetched.
	ErrRedis = errors.New("redis does not answer")
	// ErrWar: fresh tokens of Classic mode are refused repeatedly.
	ErrWar = errors.New("token war: fresh tokens are refused that this system did not supersede")
	// ErrEmpty: the fetcher returned neither a token nor an error.
	ErrEmpty = errors.New("WeChat answered without a token")
)

const (
	remedyRefused = "see whether another system fetches tokens of this account or the AppSecret was reset; " +
		"the next fetch is automatic"
	remedyWaited = "wait; the lease of a killed process expires"
	remedyRedis  = "check that Redis runs and is reachable; tokens already in a process stay in use until they expire"
	remedyWar    = "another system fetches classic tokens of this account and each fetch supersedes ours: " +
		"switch both to stable_token, or let only one of them fetch"
)

// UnavailableError says that there is no token now. No process asks WeChat before
// RetryAt; until then Token returns the same error from memory, and after it fetches
// again.
type UnavailableError struct {
	// Cause is *wechat.Error, *wechat.TransportError, or one of this package's
	// errors; it is the same in all processes.
	Cause error
	// RetryAt is when the next fetch is allowed, on this process's clock.
	RetryAt time.Time
	// Remedy is one sentence that tells an operator what to do; it may be empty.
	Remedy string
}

func (e *UnavailableError) Error() string {
	text := fmt.Sprintf("tokenstore: no access token until %s: %v", e.RetryAt.UTC().Format(time.RFC3339), e.Cause)
	if e.Remedy != "" {
		text += ": " + e.Remedy
	}
	return text
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }
