package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// Decision is what Begin says.
type Decision string

// The decisions.
const (
	Send       Decision = "send"       // call WeChat
	Ended      Decision = "ended"      // it ended before, or was accepted; drop the task
	Foreign    Decision = "foreign"    // another class or another body owns this ID; drop the task
	Superseded Decision = "superseded" // a later delivery has written, or this one was undone; put the task back for a second
	Suppressed Decision = "suppressed" // the recipient must not be written to; recorded as rejected
	NoUser     Decision = "no-user"    // addressed to a user that is not on the roster; recorded as rejected
	NotYet     Decision = "not-yet"    // to be sent again after a failed receipt, but not before Start.After
)

// Delivery names one fetch of a task.
type Delivery struct {
	// N is the number that the queue gave out with the fetch: positive, and larger
	// than that of every fetch before.
	N int64
	// Redelivered says that the task was handed to a handler before.
	Redelivered bool
}

// Start is Begin's answer.
type Start struct {
	Decision  Decision
	State     State     // before Begin
	Attempts  int       // counted so far
	To        string    // the openid, resolved when the envelope names a user
	OpenSince time.Time // first attempt before this one whose outcome is not known; zero: none
	Reason    string    // of the suppression; of Ended: the message ended by this call, and why
	After     time.Time // of NotYet
}

// beginning is a message in a call of Begin.
type beginning struct {
	number                 int64
	id, to, user, template string
	class, hash            string // as the script takes them
}

// missing is the script's answer where there is no record.
const missing = "missing"

// Begin reads the record and the suppressions of the recipient and marks the
// message as being sent by delivery d, so that a crash after this is known. Up to
// 64 concurrent callers share one script call. When Begin returns an error, it is
// not known whether the message is marked: call Undo, and put the task back.
//
// A user's message goes to the openid that was bound last, of those that may be
// written to; a replay to the one of the first attempt, since WeChat knows a
// replay by the openid too.
//
// Suppressed and NoUser end the message as rejected, or as unknown when an
// earlier attempt may have arrived.
//
// A missing record is made again from the envelope: a fail-over of Redis lost it.
// But where it may have ended and expired, because the task was redelivered or is
// older than 30 days, the message ends as unknown with the reason
// [ReasonRecordExpired]: it may have been sent.
func (l *Ledger) Begin(ctx context.Context, e job.Envelope, d Delivery) (Start, error) {
	b := beginning{
		number: d.N, id: e.ID, to: l.sealed.Seal(seal.OpenID, e.To), user: e.User, template: e.Template, class: classCode(e.Class), hash: e.Hash(),
	}
	if err := l.guard.Admit(ctx); err != nil {
		return Start{}, fmt.Errorf("ledger: begin: %w", err)
	}
	answer, err := l.begins.Do(ctx, b)
	expired := false
	if err == nil && answer == missing {
		if expired, err = l.restore(ctx, e, b.hash, d.Redelivered); err != nil {
			return Start{}, err
		}
		answer, err = l.begins.Do(ctx, b)
	}
	var s Start
	if err == nil {
		s, err = parseStart(answer)
	}
	if err != nil {
		return Start{}, fmt.Errorf("ledger: begin: %w", names.Explain(err))
	}
	s.To = cmp.Or(l.sealed.Open(seal.OpenID, s.To), e.To)
	if expired && s.Decision == Ended {
		s.Reason = ReasonRecordExpired
	}
	return s, nil
}

// restore writes a record that is missing. It reports whether it wrote an end.
func (l *Ledger) restore(ctx context.Context, e job.Envelope, hash string, redelivered bool) (ended bool, err error) {
	now := time.Now()
	r := Record{
		State: Queued, Class: e.Class, To: l.sealed.Seal(seal.OpenID, e.To), User: l.sealed.Seal(seal.User, e.User), Template: e.Template, Key: e.Key, Hash: hash,
		QueuedAt: e.QueuedAt, NotBefore: e.NotBefore, NotAfter: e.NotAfter,
	}
	life := l.life(now, e.NotBefore, e.NotAfter)
	since := e.QueuedAt
	if e.NotBefore.After(since) {
		since = e.NotBefore
	}
	if redelivered || now.Sub(since) > live {
		r.State, r.EndedAt, r.Reason = Unknown, now, ReasonRecordExpired
		life = l.cfg.Keep
	}
	end := ""
	if r.State.Ended() {
		end = r.State.code()
	}
	written, err := l.run(ctx, "restore", l.telling(now, l.recordKey(e.ID)), append([]any{stamp(now), millis(life), end}, fields(r)...)...)
	return written == int64(1) && r.State.Ended(), err
}

func (l *Ledger) sendBegins(ctx context.Context, list []beginning) ([]string, error) {
	now := time.Now()
	keys := append(make([]string, 0, 5+len(list)), l.suppressionsKey(), l.suppressionStartsKey())
	args := append(make([]any, 0, 3+6*len(list)), stamp(now), millis(l.cfg.Keep), millis(live))
	for i := range list {
		keys = append(keys, l.recordKey(list[i].id))
	}
	for i := range list {
		b := &list[i]
		args = append(args, &b.number, &b.class, &b.hash, &b.to, &b.template) // a pointer is not boxed
		if b.user == "" {
			args = append(args, "0")
			continue
		}
		keys = append(keys, l.UserKey(b.user))
		args = append(args, len(keys))
	}
	return l.lua["begin"].Texts(ctx, l.rdb, false, l.telling(now, keys...), args...)
}

func parseStart(answer string) (Start, error) {
	decision, rest, _ := strings.Cut(answer, "\n")
	state, rest, known := strings.Cut(rest, "\n")
	if !known {
		return Start{}, errors.New(answer) // an error of the script
	}
	attempts, rest, more := strings.Cut(rest, "\n")
	s := Start{Decision: Decision(decision), State: stateOf(state), Attempts: int(number(attempts))}
	if more {
		since, rest, _ := strings.Cut(rest, "\n")
		s.OpenSince = moment(since)
		s.To, s.Reason, _ = strings.Cut(rest, "\n")
	}
	if s.Decision == NotYet {
		s.After, s.OpenSince = s.OpenSince, time.Time{}
	}
	return s, nil
}
