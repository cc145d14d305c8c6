package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/deadletter"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// deed is something that can be done to messages.
type deed struct {
	name    string // in forms
	past    string // in the audit trail, and the name of the notice
	ask     string // the question, of one message
	askAll  string // of many
	warning string
	button  string
	bad     bool
	states  []ledger.State // in which it can be done
	do      func(ctx context.Context, a *Account, id string) error
}

func (c *Console) deeds() map[string]deed {
	return map[string]deed{
		"cancel": {
			name: "cancel", past: "cancelled", ask: "Cancel message %s?", askAll: "Messages to cancel: %s", bad: true, button: "Cancel sending",
			warning: "A cancelled message is not sent any more, and its ID is not free until its record has expired.",
			states:  []ledger.State{ledger.Queued, ledger.Scheduled, ledger.Retrying},
			do:      func(ctx context.Context, a *Account, id string) error { return a.Producer.Cancel(ctx, id) },
		},
		"retry": {
			name: "retry", past: "retried", ask: "Send message %s again?", askAll: "Dead letters to send again: %s", button: "Retry",
			warning: "A fresh budget of attempts begins. Fix the cause first, or WeChat refuses again.",
			states:  []ledger.State{ledger.Dead},
			do: func(ctx context.Context, a *Account, id string) error {
				return deadletter.Retry(ctx, c.cfg.Redis, a.Ledger, a.AppID, id)
			},
		},
		"drop": {
			name: "drop", past: "dropped", ask: "Drop message %s?", askAll: "Dead letters to drop: %s", bad: true, button: "Drop",
			warning: "What is dropped cannot be sent again: the body is deleted. The record stays until it expires.",
			states:  []ledger.State{ledger.Dead},
			do:      func(ctx context.Context, a *Account, id string) error { return a.Ledger.Drop(ctx, id) },
		},
	}
}

// act changes one message.
func (c *Console) act(r *request) error {
	d, known := c.deeds()[r.PostForm.Get("do")]
	var id string
	if !known {
		return wrong("The form is not one of this page.")
	}
	if err := c.seals.open(sealedID, r.PostForm.Get("id"), &id); err != nil {
		return err
	}
	link, err := c.link(r, id)
	if err != nil {
		return err
	}
	q := confirmation{
		Text: r.text(d.ask, c.shownID(id)), Details: []string{r.text(d.warning)}, Button: r.text(d.button), Bad: d.bad,
		Action: "/act", Back: link[len(c.base()):],
	}
	return c.ask(r, q, change{action: d.name, count: 1, detail: "1 message: " + c.shownID(id)}, func() error {
		if err := d.do(r.ctx(), r.account, id); err != nil {
			return refusal(r, err)
		}
		http.Redirect(r.w, r.Request, link+"&done="+d.past, http.StatusSeeOther)
		return nil
	})
}

// refusal explains why one message was not changed.
func refusal(r *request, err error) error {
	var late *producer.TooLateError
	text := ""
	switch {
	case errors.As(err, &late):
		text = late.In(r.lang)
	case errors.Is(err, ledger.ErrNotDead):
		text = r.text("It is not dead any more.")
	case errors.Is(err, ledger.ErrNoPayload):
		text = r.text("Its body was dropped: enqueue the message under a new ID.")
	case errors.Is(err, queue.ErrActive):
		text = r.text("A worker is sending it: try again when the attempt has ended.")
	case errors.Is(err, producer.ErrNotFound):
		text = r.text("There is no such message any more.")
	default:
		return err
	}
	return &faultError{status: http.StatusConflict, text: "%s", args: []any{text}, err: err}
}

// selection is which messages an action on many is about.
type selection struct {
	Dead    bool // dead letters; else what Query finds
	Errcode wechat.Code
	Reason  string // of dead letters without an errcode
	Narrow  bool   // only those of Errcode and Reason
	Query   ledger.Query
	Before  time.Time // what came later is left alone
}

const (
	// maxSelected bounds an action on many.
	maxSelected = 1_000_000
	// countLimit bounds the time in which the messages of an action are counted first.
	countLimit = 10 * time.Second
	countPage  = 1000
)

// actOnAll changes all messages that match a selection: it shows how many, then does so
// in the background.
func (c *Console) actOnAll(r *request) error {
	d, known := c.deeds()[r.PostForm.Get("do")]
	if !known {
		return wrong("The form is not one of this page.")
	}
	s := selection{Before: time.Now()}
	sealed := r.PostForm.Get("query")
	back := "/messages?account=" + r.account.AppID + "&query=" + sealed
	if what := r.PostForm.Get("what"); what != "" {
		back = "/dead?account=" + r.account.AppID
		if err := c.seals.open(sealedSelection, what, &s); err != nil {
			return err
		}
	} else if err := c.seals.open(sealedQuery, sealed, &s.Query); err != nil {
		return err
	}
	if !r.confirmed() {
		s.Before = time.Now()
		ctx, cancel := context.WithTimeout(r.ctx(), countLimit)
		defer cancel()
		ids, err := c.gather(ctx, r.account, s, d)
		if err != nil && ctx.Err() == nil {
			return err
		}
		return c.confirmAll(r, d, s, len(ids), err == nil, back)
	}
	entry := change{action: d.name + " all", detail: s.String()}
	if c.cfg.TwoPersons && d.name == "drop" {
		ids, err := c.gather(r.ctx(), r.account, s, d)
		if err != nil {
			return err
		}
		entry.count = len(ids)
		return c.askSecond(r, &approval{
			role: Operate, entry: entry,
			text:   func(r *request) string { return r.text(d.askAll, count(entry.count)) + "; " + s.In(r) },
			detail: func(r *request) string { return r.text(d.warning) },
			do:     func(r *request) error { return c.startAll(r, d, s) },
		})
	}
	if err := c.note(r.ctx(), r.account, r.who, entry); err != nil {
		return err
	}
	return c.startAll(r, d, s)
}

// startAll begins an action on many and shows it.
func (c *Console) startAll(r *request, d deed, s selection) error {
	c.runs.start(r.ctx(), c, r.account, r.who, d, s)
	c.redirect(r, "/runs", nil, "")
	return nil
}

// confirmAll shows the number. The selection is sealed with the moment of the count, so
// that later messages are not changed.
func (c *Console) confirmAll(r *request, d deed, s selection, n int, all bool, back string) error {
	sealed, err := c.seals.seal(sealedSelection, s)
	if err != nil {
		return err
	}
	r.PostForm.Del("query")
	r.PostForm.Set("what", sealed)
	q := confirmation{
		Text: r.text(d.askAll, count(n)), Details: []string{s.In(r), r.text(d.warning), r.text("It is done in the background and can be stopped.")},
		Button: r.text(d.button), Bad: d.bad, Action: "/act-all", Back: back,
	}
	if !all {
		q.Details = append(q.Details, r.text("There are more: counting ended after %s.", countLimit.String()))
	} else if n == 0 {
		q.None, q.Text, q.Details = true, r.text("No message is in a state in which this can be done."), []string{s.In(r)}
	}
	return c.confirm(r, q)
}

// gather lists the messages of a selection to which d can be done. With an error it has
// found some of them.
func (c *Console) gather(ctx context.Context, a *Account, s selection, d deed) ([]string, error) {
	seen := map[string]bool{}
	var ids []string
	take := func(found []*ledger.Record) {
		for _, m := range found {
			if m != nil && !seen[m.ID] && s.has(m) && d.fits(m) {
				seen[m.ID] = true
				ids = append(ids, m.ID)
			}
		}
	}
	if s.Dead {
		for offset, total := 0, 1; offset < total && len(ids) < maxSelected; offset += countPage {
			found, n, err := a.Ledger.Dead(ctx, offset, countPage)
			if err != nil {
				return ids, err
			}
			total = n
			take(found)
		}
		return ids, nil
	}
	q := s.Query
	q.Limit = countPage
	if len(q.States) == 0 {
		q.States = d.states
	}
	for len(ids) < maxSelected {
		page, err := a.Ledger.Find(ctx, q)
		if err != nil {
			return ids, err
		}
		take(page.Records)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	return ids, nil
}

// fits reports whether d can be done to m.
func (d deed) fits(m *ledger.Record) bool {
	for _, state := range d.states {
		if m.State == state {
			return state == ledger.Dead || m.EndedAt.IsZero()
		}
	}
	return false
}

// has reports whether m belongs to the selection, as far as the list that it comes from
// does not tell.
func (s selection) has(m *ledger.Record) bool {
	switch {
	case m.QueuedAt.After(s.Before), s.Dead && m.EndedAt.After(s.Before):
		return false
	case s.Dead && s.Narrow:
		return m.Errcode == s.Errcode && (s.Errcode != 0 || m.Reason == s.Reason)
	}
	return true
}

// String describes the selection in the audit trail.
func (s selection) String() string { return s.In(&request{lang: wechat.English}) }

// In describes it for the operator.
func (s selection) In(r *request) string {
	filters := filtersOf(r, s.Query)
	switch {
	case s.Dead && s.Narrow && s.Errcode != 0:
		return r.text("dead letters with errcode %s", strconv.Itoa(int(s.Errcode)))
	case s.Dead && s.Narrow:
		return r.text("dead letters with the reason: %s", mask.Text(ledger.ReasonText(s.Reason, r.lang)))
	case s.Dead:
		return r.text("all dead letters")
	case len(filters) == 0:
		return r.text("all messages")
	}
	return r.text("messages with %s", strings.Join(filters, ", "))
}
