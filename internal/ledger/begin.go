package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
)

// Decision is what Begin says.
type Decision int

// The decisions.
const (
	Go         Decision = iota // send it
	Ended                      // it ended before; drop the task
	Stray                      // another class or another body owns this ID; drop the task
	Suppressed                 // the recipient must not be written to; recorded as rejected
	NoUser                     // addressed to a user that is not on the roster; recorded as rejected
	NotYet                     // to be sent again after a failed receipt, but not before Start.After
)

// Start is Begin's answer.
type Start struct {
	Decision  Decision
	State     State     // before Begin
	Attempts  int       // counted so far
	To        string    // the openid, resolved when the envelope names a user
	OpenSince time.Time // first attempt before this one whose outcome is not known; zero: none
	Reason    string    // of the suppression
	After     time.Time // of NotYet
}

// Begin reads the record and the suppressions of the recipient and marks the
// message as being sent, all in one trip: so that a crash after this is known.
// A missing record is made again from the envelope, in a second trip; a dead one
// starts afresh, unless the envelope was enqueued after the death: that is a
// repeated Enqueue.
//
// A user's message goes to the openid that was bound last, of those that may be
// written to; a replay to the one of the first attempt, since WeChat knows a
// replay by the openid too.
//
// Suppressed and NoUser end the message as rejected, or as unknown when an
// earlier attempt may have arrived.
func (l *Ledger) Begin(ctx context.Context, e job.Envelope) (Start, error) {
	now, hash := time.Now(), e.Hash()
	o := &op{script: l.scripts.begin, keys: l.beginKeys(e, now), args: l.beginArgs(e, now, hash)}
	v, err := l.begin(ctx, o)
	if err == nil && v[0] == "missing" {
		o.args = append(o.args, fields(Record{
			State: Queued, Class: e.Class, To: e.To, User: e.User, Template: e.Template, Hash: hash,
			QueuedAt: e.QueuedAt, NotBefore: e.NotBefore, NotAfter: e.NotAfter,
		})...)
		v, err = l.begin(ctx, o)
	}
	if err != nil {
		return Start{}, err
	}
	decision, err := decisionOf(v[0])
	if err != nil {
		return Start{}, err
	}
	s := Start{Decision: decision, State: stateOf(v[1]), Attempts: int(number(v[2])), To: v[3], Reason: v[5]}
	if decision == NotYet {
		s.After = moment(v[4])
	} else {
		s.OpenSince = moment(v[4])
	}
	return s, nil
}

// begin runs the script and reads its six texts.
func (l *Ledger) begin(ctx context.Context, o *op) ([]string, error) {
	if err := l.batch.do(ctx, o); err != nil {
		return nil, fmt.Errorf("ledger: begin: %w", err)
	}
	return texts(o.cmd.Val(), 6)
}

func (l *Ledger) beginKeys(e job.Envelope, now time.Time) []string {
	keys := []string{
		l.recordKey(e.ID), l.countsKey(day(now)), l.suppressionsKey(), l.deadKey(), l.letterKey(e.ID),
	}
	if e.User != "" {
		keys = append(keys, UserKey(l.cfg.Account, e.User))
	}
	return keys
}

func (l *Ledger) beginArgs(e job.Envelope, now time.Time, hash string) []any {
	old := "0" // the record was written lately: no need to prolong its life
	if now.Sub(e.QueuedAt) > live/2 {
		old = "1"
	}
	queued := "0" // of an envelope that does not tell
	if !e.QueuedAt.IsZero() {
		queued = stamp(e.QueuedAt)
	}
	return []any{
		stamp(now), classLetter(e.Class), hash, e.To, e.Template,
		millis(l.cfg.Keep), millis(l.life(now, e.NotBefore, e.NotAfter)), old, e.ID, queued,
	}
}

func decisionOf(word string) (Decision, error) {
	switch word {
	case "go":
		return Go, nil
	case "ended":
		return Ended, nil
	case "stray":
		return Stray, nil
	case "suppressed":
		return Suppressed, nil
	case "nouser":
		return NoUser, nil
	case "wait":
		return NotYet, nil
	default:
		return 0, fmt.Errorf("ledger: begin answered %.20q", word)
	}
}

// millis is a duration in milliseconds as Redis takes it.
func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
