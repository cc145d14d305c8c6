package console

import (
	"context"
	"net/http"
	"strconv"

	"github.com/wxnotify/wxnotify/internal/auditlog"
)

// confirmation is a page that asks before a change.
type confirmation struct {
	Text    string // what will be done, with the number
	Details []string
	Button  string
	Bad     bool // it cannot be undone
	Action  string
	Fields  []field
	Ask     string // label of a field reason; empty: there is none
	Back    string
	None    bool // nothing would be changed: there is no button
}

// field is a hidden field.
type field struct{ Name, Value string }

// confirmed reports whether the operator has seen the confirmation of this change.
func (r *request) confirmed() bool { return r.PostForm.Get("confirm") == "yes" }

// confirm shows the confirmation. Its form has the fields of the request too.
func (c *Console) confirm(r *request, q confirmation) error {
	for _, name := range []string{"do", "id", "class", "query", "what", "errcode", "person", "key"} {
		if value := r.PostForm.Get(name); value != "" {
			q.Fields = append(q.Fields, field{name, value})
		}
	}
	return c.render(r, http.StatusOK, "confirm", r.text("Are you sure?"), q)
}

// ask makes a change in two requests: the first one shows q, the second one writes entry to
// the audit trail and then calls do, which answers it.
func (c *Console) ask(r *request, q confirmation, entry change, do func() error) error {
	if !r.confirmed() {
		return c.confirm(r, q)
	}
	if err := c.note(r.ctx(), r.account, r.who, entry); err != nil {
		return err
	}
	return do()
}

// change is what the audit trail tells of a change.
type change struct {
	action       string // such as cancelled
	openid, user string // whose data it is about
	count        int    // of messages; 0: not known, or not about messages
	detail       string // without openids
}

// note writes a change to the account's audit trail, the audit log and the log, before it
// is made: there is no change without a line.
func (c *Console) note(ctx context.Context, a *Account, who Operator, ch change) error {
	return c.trail.Note(ctx, a.Ledger, auditlog.Entry{
		Account: a.AppID, Action: ch.action, Actor: who.title(), From: who.Address, OpenID: ch.openid, User: ch.user, Count: ch.count, Detail: ch.detail,
	})
}

// shownID is an ID in a text.
func (c *Console) shownID(id string) string { return c.ids.Mask(id) }

func count(n int) string { return grouped(strconv.Itoa(n)) }
