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
	// ErrWaited: another process holds the lease and has not finished.
	ErrWaited = errors.New("another process is still fetching the token")
	// ErrRedis: Redis did not answer; without the shared lease nothing is fetched.
	ErrRedis = errors.New("redis does not answer")
	// ErrWar: fresh tokens of Classic mode are refused again and again.
	ErrWar = errors.New("token war: fresh tokens are refused that this fleet did not replace")
	// ErrEmpty: the fetcher returned neither a token nor an error.
	ErrEmpty = errors.New("WeChat answered without a token")
)

const (
	remedyRefused = "see whether another system fetches tokens of this account or the AppSecret was reset; " +
		"the next fetch comes by itself"
	remedyWaited = "wait; the lease of a process that died ends by itself"
	remedyRedis  = "check that Redis runs and is reachable; tokens already in a process stay in use until they expire"
	remedyWar    = "another system fetches classic tokens of this account and each fetch kills ours: " +
		"switch both to stable_token, or let one of them alone fetch"
)

// UnavailableError says that there is no token now. WeChat is not asked before
// RetryAt; asking the store earlier costs nothing and gets the same answer, and
// after it the store recovers by itself.
type UnavailableError struct {
	// Cause is *wechat.Error, *wechat.TransportError, or one of this package's
	// errors; it is the same in all processes of the fleet.
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
