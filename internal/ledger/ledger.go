// Package ledger keeps one compact record per message, from Enqueue to receipt.
package ledger

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// State is where a message is on its way.
type State string

// The states. Delivered, rejected, expired, cancelled, unknown and dead are
// ends; accepted ends when no receipt comes within 24 h.
const (
	Queued    State = "queued"
	Scheduled State = "scheduled"
	Sending   State = "sending"
	Retrying  State = "retrying"
	Accepted  State = "accepted"
	Delivered State = "delivered"
	Rejected  State = "rejected"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Unknown   State = "unknown"
	Dead      State = "dead"
)

// Record is a message's one entry.
type Record struct {
	ID                string
	Class             job.Class
	State             State
	To, User          string
	Template          string
	Hash              string
	MsgID             wechat.MessageID
	Errcode           wechat.Code
	Reason            string // why it is in this state: short, no secret, no openid
	Attempts          int
	PossibleDuplicate bool
	QueuedAt          time.Time
	NotBefore         time.Time
	NotAfter          time.Time
	OpenSince         time.Time // first attempt whose outcome is not known; zero: none
	SentAt            time.Time
	EndedAt           time.Time
	Receipt           string // success, user-block, system-failed, freq-limit, or WeChat's own words
}

// Config of one account's ledger.
type Config struct {
	Account string        // appid; keys are wxn:{appid}:… Required.
	Keep    time.Duration // after the end. Default 72 h.
}

// Ledger reads and writes records. Safe for concurrent use.
type Ledger struct {
	rdb redis.UniversalClient
	cfg Config
}

// New checks cfg. Concurrent calls share round trips.
func New(rdb redis.UniversalClient, cfg Config) (*Ledger, error) { panic("not built") }

// Close releases the pipeline; rdb stays open.
func (l *Ledger) Close() error { panic("not built") }

// Birth is the outcome of Born.
type Birth struct {
	New      bool
	Existing Record // State, Class and Hash only; when New is false
}

// Born queues on pipe the command that creates the record unless one exists.
// Call the returned function after the pipe was executed.
func (l *Ledger) Born(ctx context.Context, pipe redis.Pipeliner, r Record) func() (Birth, error) {
	panic("not built")
}

// Decision is what Begin says.
type Decision int

// The decisions.
const (
	Go         Decision = iota // send it
	Ended                      // it ended before; drop the task
	Stray                      // another class or another body owns this ID; drop the task
	Suppressed                 // the recipient must not be written to; recorded as rejected
	NoUser                     // addressed to a user that is not on the roster; recorded as rejected
)

// Start is Begin's answer.
type Start struct {
	Decision  Decision
	State     State  // before Begin
	Attempts  int    // counted so far
	To        string // the openid, resolved when the envelope names a user
	OpenSince time.Time
	Reason    string // of the suppression
}

// Begin reads the record and the suppressions of the recipient and marks the
// message as being sent, all in one trip: so that a crash after this is known.
// A missing record is made again from the envelope.
func (l *Ledger) Begin(ctx context.Context, e job.Envelope) (Start, error) { panic("not built") }

// Accepted records WeChat's msgid and joins a receipt that came earlier.
func (l *Ledger) Accepted(ctx context.Context, id string, msgid wechat.MessageID, duplicate bool) error {
	panic("not built")
}

// Outcome of an attempt that was not accepted.
type Outcome struct {
	State     State // retrying, queued (a deferral), or an end
	Errcode   wechat.Code
	Reason    string
	Attempt   bool   // counts against the budget
	Ambiguous bool   // keeps OpenSince
	Payload   []byte // kept with a dead record so that it can be sent again
	Duplicate bool   // possible duplicate
}

// Failed records the outcome.
func (l *Ledger) Failed(ctx context.Context, id string, o Outcome) error { panic("not built") }

// Get reads records; a missing one is nil.
func (l *Ledger) Get(ctx context.Context, ids ...string) ([]*Record, error) { panic("not built") }

// Cancel ends a message that has not begun. It returns the record as it then is.
func (l *Ledger) Cancel(ctx context.Context, id string) (cancelled bool, r *Record, err error) {
	panic("not built")
}
