package enroll

import (
	"time"

	"github.com/wxnotify/wxnotify/internal/ticket"
)

// State is the state of OAuth, opened up for tests.
type State = state

// StateKey signs states.
type StateKey = stateKey

// Seal and Open are the two ends of a state's way.
func (k stateKey) Seal(s State) string { return k.seal(s) }

func (k stateKey) Open(text, account string, now time.Time) (State, error) {
	return k.open(text, account, now)
}

// NewState for an account.
func NewState(account string, id ticket.ID, expires time.Time) State {
	return state{Account: markOf(account), Ticket: id, ExpiresAt: expires}
}

// The errors of a state.
var (
	ErrState        = errState
	ErrStateExpired = errStateExpired
)
