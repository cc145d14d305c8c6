package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/wechat"
)

// State is where a message is on its way.
type State = ledger.State

// The states. Delivered, rejected, expired, cancelled, unknown and dead are
// ends; accepted is one when no receipt comes within 24 h.
const (
	Queued    State = ledger.Queued    // waits for its turn, the quota or the rate
	Scheduled State = ledger.Scheduled // waits for its not-before
	Sending   State = ledger.Sending   // a worker sends it
	Retrying  State = ledger.Retrying  // waits for the next attempt
	Accepted  State = ledger.Accepted  // WeChat took it; the receipt is awaited
	Delivered State = ledger.Delivered // the receipt says success
	Rejected  State = ledger.Rejected  // refused for good: errcode, reason or receipt say why
	Expired   State = ledger.Expired   // its not-after came first
	Cancelled State = ledger.Cancelled
	Unknown   State = ledger.Unknown // it may have arrived; it is not sent again
	Dead      State = ledger.Dead    // given up; an admin can send it again
)

// Status is what is known of a message. Its JSON is the same in the HTTP API, on
// the command line and in exports; times are RFC 3339.
type Status struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Class   ClassName `json:"class"`
	State   State     `json:"state"`
	// To is the openid, masked unless asked with Unmasked; for a message to a user
	// the one that it went to. Empty: it is addressed to a user and was not sent
	// yet, or the recipient's data were erased.
	To         string           `json:"to"`
	TemplateID string           `json:"template_id"`
	Key        string           `json:"key,omitempty"`          // ID of the API key that enqueued it; empty: none did
	MsgID      wechat.MessageID `json:"msgid,string,omitempty"` // WeChat's; 0: none yet
	Errcode    wechat.Code      `json:"errcode,omitempty"`      // of the last attempt; 0: none
	RID        string           `json:"rid,omitempty"`          // WeChat's id of the call that Errcode answered, for rid/get
	Reason     string           `json:"reason,omitempty"`       // why it is in this state, in the language asked for with In
	Remedy     string           `json:"remedy,omitempty"`       // what to do about it, in that language
	Attempts   int              `json:"attempts"`
	// PossibleDuplicate: the follower may have seen it twice.
	PossibleDuplicate bool      `json:"possible_duplicate"`
	QueuedAt          time.Time `json:"queued_at,omitzero"`
	NotBefore         time.Time `json:"not_before,omitzero"`
	NotAfter          time.Time `json:"not_after,omitzero"`
	SentAt            time.Time `json:"sent_at,omitzero"`  // WeChat took it
	EndedAt           time.Time `json:"ended_at,omitzero"` // zero: it has not ended
	// OperatorRetries is how often an operator had it sent again after it was dead, and
	// OperatorRetriedAt the last of these.
	OperatorRetries   int       `json:"operator_retries,omitempty"`
	OperatorRetriedAt time.Time `json:"operator_retried_at,omitzero"`
	// Receipt is success, user-block, system-failed, freq-limit, or WeChat's own
	// words. Empty: none came.
	Receipt string `json:"receipt,omitempty"`
	// Story is the last 8 attempts, the oldest first, where asked for with the view Story.
	// An attempt whose worker died before its outcome was known is not in it.
	Story []Attempt `json:"story,omitempty"`
}

// Ended reports whether nothing more will happen to the message.
func (s *Status) Ended() bool { return !s.EndedAt.IsZero() }

// View says how a status is shown.
type View func(*view)

type view struct {
	unmasked bool
	story    bool
	lang     wechat.Lang
}

// Unmasked shows the whole openid: for programs, not for people.
func Unmasked() View { return func(v *view) { v.unmasked = true } }

// In has Reason and Remedy in lang. Default: wechat.English.
func In(lang wechat.Lang) View { return func(v *view) { v.lang = lang } }

// Status tells what became of a message. The error wraps ErrNotFound when there
// is none of this ID.
func (p *Producer) Status(ctx context.Context, id string, views ...View) (*Status, error) {
	found, err := p.StatusMany(ctx, []string{id}, views...)
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, &noMessageError{id}
	}
	return found[0], nil
}

// StatusMany tells what became of many messages, in the order of ids, in few
// round trips. One that is not found is nil.
func (p *Producer) StatusMany(ctx context.Context, ids []string, views ...View) ([]*Status, error) {
	var v view
	for _, set := range views {
		set(&v)
	}
	records, err := p.ledger.Get(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("producer: status: %w", err)
	}
	out := make([]*Status, len(records))
	for i, r := range records {
		if r != nil {
			out[i] = p.statusOf(r, v)
		}
	}
	return out, nil
}

func (p *Producer) statusOf(r *ledger.Record, v view) *Status {
	to := r.To
	if to != "" && !v.unmasked {
		to = wechat.MaskOpenID(to)
	}
	reason, remedy := r.Words(v.lang)
	s := &Status{
		ID: r.ID, Account: p.cfg.Account, Class: r.Class, State: r.State, To: to,
		TemplateID: r.Template, Key: r.Key, MsgID: r.MsgID, Errcode: r.Errcode, RID: r.RID,
		Reason: reason, Remedy: remedy,
		Attempts: r.Attempts, PossibleDuplicate: r.PossibleDuplicate, QueuedAt: r.QueuedAt,
		NotBefore: r.NotBefore, NotAfter: r.NotAfter, SentAt: r.SentAt, EndedAt: r.EndedAt, Receipt: r.Receipt,
		OperatorRetries: r.Revivals, OperatorRetriedAt: r.RevivedAt,
	}
	if v.story {
		s.Story = storyOf(r, v.lang)
	}
	return s
}

// Cancel ends a message before it is sent. The error wraps ErrNotFound, or is a
// *TooLateError when the message is being sent, may have been seen, or has
// ended. Cancelling twice is no error.
func (p *Producer) Cancel(ctx context.Context, id string) error {
	cancelled, record, err := p.ledger.Cancel(ctx, id)
	switch {
	case err != nil:
		return fmt.Errorf("producer: %w", err)
	case record == nil:
		return &noMessageError{id}
	case !cancelled:
		return &TooLateError{ID: id, State: record.State}
	}
	// The record keeps the message from being sent. It must outlive the task, so it is
	// released only when that is gone.
	err = p.tasks.Delete(ctx, p.cfg.Account, record.Class, id)
	switch {
	case errors.Is(err, queue.ErrActive): // the worker that has it drops it
		return nil
	case err != nil && !errors.Is(err, queue.ErrNotFound):
		return fmt.Errorf("producer: cancelled, but its task could not be deleted; cancel it again: %w", err)
	}
	_ = p.ledger.Release(ctx, id) // else it is kept for longer than it need be
	return nil
}

// printable bounds what a caller gave as an ID for an error text.
func printable(id string) string {
	if len(idFaults(id)) > 0 {
		return fmt.Sprintf("%.40q", id)
	}
	return id
}
