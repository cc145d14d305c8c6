package tokenstore

import "time"

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventFetched EventKind = "fetched" // this process fetched a token
	EventForced  EventKind = "forced"  // it was fetched by a forced refresh
	EventRefused EventKind = "refused" // WeChat refused the current token
	EventFailed  EventKind = "failed"  // a fetch failed, or Redis did
	EventWar     EventKind = "war"     // another system fetches tokens of this account
)

// Event is one thing that happened to the token in this process. It holds no
// secret: tokens are named by their fingerprints.
type Event struct {
	Kind        EventKind
	At          time.Time
	Mode        Mode
	Fingerprint string // of the token concerned; empty when there is none
	Generation  int64
	ExpiresAt   time.Time     // fetched, forced
	Took        time.Duration // fetched, forced, failed: the call to WeChat
	Err         error         // failed, refused, war
	Remedy      string        // one sentence for an operator; may be empty
	RetryAt     time.Time     // failed: no process asks WeChat before this
	// Recovered: fetched, after a fetch of any process had failed. What was paused for
	// want of a token can go on: open ratelimit.ReasonToken.
	Recovered bool
	Refusals  int // war: fresh tokens refused within an hour
}
