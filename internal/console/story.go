package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// storyView is a message's page.
type storyView struct {
	Row               messageRow
	Class             job.Class
	User              string
	MsgID, RID        string
	Attempts, Resends int
	PossibleDuplicate bool
	Reason, Remedy    string
	Why               []string // it does not move; empty: it has ended
	Events            []eventView
	Story             []producer.Attempt // the last 8
	Card              *cardView
	Ref               string // the sealed ID
	Suppressed        string // sealed; empty: its recipient is not suppressed
	Actions           map[string]bool
	ShareHours        []int // lives of links that can be made; empty: none can
}

type eventView struct {
	At   time.Time // zero: not known
	Text string
}

// cardView is the card as the follower sees it, its values masked.
type cardView struct {
	Lines []wechat.PreviewLine
	Opens string
	Title string // the template
	Key   string // that the message is sealed with, and that this process does not have
}

// encode writes a query.
func encode(values map[string][]string) string { return url.Values(values).Encode() }

// idOf is the message that a request names, in clear or sealed.
func (c *Console) idOf(r *request) (id string, err error) {
	if ref := r.Form.Get("ref"); ref != "" {
		err = c.seals.open(sealedID, ref, &id)
		return id, err
	}
	return r.Form.Get("id"), nil
}

// message shows a message's story.
func (c *Console) message(r *request) error {
	id, err := c.idOf(r)
	if err != nil {
		return err
	}
	return c.showMessage(r, id)
}

// noMessage says that no message has an ID.
func (c *Console) noMessage(id string) error {
	shown := c.ids.Mask(cut(id, 128))
	if mask.Masked(id) {
		return &faultError{status: http.StatusNotFound, text: "The ID %s is masked, and no message is found by it: look for the message by its openid, user or msgid.", args: []any{shown}}
	}
	return &faultError{status: http.StatusNotFound, text: "No message of this account has the ID %s: it was never enqueued, or its end is longer ago than records are kept.", args: []any{shown}}
}

func (c *Console) showMessage(r *request, id string) error {
	found, err := r.account.Ledger.Get(r.ctx(), id)
	switch {
	case err != nil:
		return err
	case found[0] == nil:
		return c.noMessage(id)
	}
	v, err := c.storyOf(r, found[0])
	if err != nil {
		return err
	}
	return c.render(r, http.StatusOK, "message", r.text("Message %s", v.Row.ID), v)
}

func (c *Console) storyOf(r *request, m *ledger.Record) (v storyView, err error) {
	v = storyView{
		Class: m.Class, User: mask.Name(m.User), RID: m.RID, Attempts: m.Attempts, Resends: m.Resends, PossibleDuplicate: m.PossibleDuplicate,
		Actions: map[string]bool{},
	}
	if v.Row, err = c.rowOf(r, m); err != nil {
		return v, err
	}
	if m.MsgID != 0 {
		v.MsgID = m.MsgID.String()
	}
	status, err := r.account.Producer.Status(r.ctx(), m.ID, producer.In(r.lang), producer.Story())
	if err != nil && !errors.Is(err, producer.ErrNotFound) {
		return v, err
	}
	if status != nil {
		v.Reason, v.Remedy = mask.Text(status.Reason), mask.Text(status.Remedy)
		v.Story = status.Story
		for i := range v.Story {
			v.Story[i].Reason, v.Story[i].Worker = mask.Text(v.Story[i].Reason), mask.Text(v.Story[i].Worker)
		}
	}
	if v.Ref, err = c.seals.seal(sealedID, m.ID); err != nil {
		return v, err
	}
	task, err := c.queues.Task(r.ctx(), r.account.AppID, m.Class, m.ID)
	if err != nil {
		return v, err
	}
	v.Why = whyOf(r, m, task, c.live.of(r.ctx(), r.account))
	v.Events = eventsOf(r, m, task)
	if v.Card, err = c.cardOf(r, m, task); err != nil {
		return v, err
	}
	if c.links != nil {
		v.ShareHours = shareHours()
	}
	for name, d := range c.deeds() {
		v.Actions[name] = d.fits(m) && (name != "retry" || v.Card != nil)
	}
	if m.Reason == ledger.ReasonSuppressed && m.To != "" {
		v.Suppressed, err = c.seals.seal(sealedRef, suppressionRef{OpenID: m.To})
	}
	return v, err
}

// eventsOf is what is known of a message's life, in its order.
func eventsOf(r *request, m *ledger.Record, task *queue.Waiting) []eventView {
	var out []eventView
	add := func(at time.Time, text string, args ...any) { out = append(out, eventView{at, r.text(text, args...)}) }
	add(m.QueuedAt, "Enqueued in class %s", string(m.Class))
	if !m.NotBefore.IsZero() {
		add(m.NotBefore, "Not to be sent before this time")
	}
	if m.Attempts > 0 {
		add(time.Time{}, "Attempts so far: %s", count(m.Attempts))
	}
	if !m.OpenSince.IsZero() {
		add(m.OpenSince, "First attempt whose outcome is not known")
	}
	if m.Errcode != 0 {
		add(time.Time{}, "WeChat's last answer: errcode %d (%s)", int(m.Errcode), m.Errcode.Name())
	}
	if m.Resends > 0 {
		add(time.Time{}, "Sent again after a failed receipt: %d times", m.Resends)
	}
	if m.Revivals > 0 {
		add(m.RevivedAt, "Sent again by an operator (%d so far): the audit trail names who", m.Revivals)
	}
	if !m.SentAt.IsZero() {
		add(m.SentAt, "WeChat accepted it")
	}
	if m.Receipt != "" {
		add(m.EndedAt, "WeChat's receipt: %s", mask.Text(m.Receipt))
	}
	if task != nil && !task.Due.IsZero() {
		add(task.Due, "Next attempt, at the earliest")
	}
	if !m.NotAfter.IsZero() && m.EndedAt.IsZero() {
		add(m.NotAfter, "Expires when it was not sent by then")
	}
	if !m.EndedAt.IsZero() {
		add(m.EndedAt, "Ended: %s", m.State.In(r.lang))
	}
	return out
}

// cardOf is the card of a message whose body is still there: it waits, or it is a dead
// letter. Nil: nothing of it is kept.
func (c *Console) cardOf(r *request, m *ledger.Record, task *queue.Waiting) (*cardView, error) {
	var payload []byte
	if task != nil {
		payload = task.Payload
	}
	if payload == nil {
		kept, err := r.account.Ledger.Payload(r.ctx(), m.ID)
		if err != nil || kept == nil {
			return nil, err
		}
		payload = kept
	}
	e, err := job.NewCodec(r.account.AppID, r.account.SealKeys).Parse(m.ID, payload)
	if missing := (*seal.UnknownKeyError)(nil); errors.As(err, &missing) {
		return &cardView{Title: m.Template, Key: missing.ID}, nil
	}
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // written by a newer version, or not by us: no card
	}
	var body wechat.TemplateMessage
	if json.Unmarshal(e.Body, &body) != nil {
		return nil, nil //nolint:nilerr,nilnil // as above
	}
	p := body.Preview("")
	v := &cardView{Lines: p.Lines, Title: m.Template}
	for i := range v.Lines {
		v.Lines[i].Text = mask.Value(v.Lines[i].Text)
	}
	switch {
	case body.MiniProgram != nil && body.MiniProgram.AppID != "":
		v.Opens = r.text("the mini program %s", body.MiniProgram.AppID)
	case p.Opens != "":
		v.Opens = mask.URL(p.Opens)
	}
	return v, nil
}
