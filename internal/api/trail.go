package api

import (
	"cmp"
	"strings"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/auditlog"
)

// notAudited is the action of a route whose calls write no line into the audit trail, or
// whose handler writes it.
const notAudited = "-"

// entry is what the audit trail tells of a call. Each route that does not only read is
// audited, under its pattern where it names no action; audited is false for the others.
func (r route) entry(c *call) (e auditlog.Entry, audited bool) {
	if r.action == notAudited || r.scope == "" || strings.HasPrefix(r.pattern, "GET ") {
		return e, false
	}
	id, verb, isVerb := strings.Cut(c.r.PathValue("verb"), ":")
	e = auditlog.Entry{
		Account: c.key.Account, Action: cmp.Or(r.action, r.pattern), Actor: c.actor(), From: c.server.cfg.ClientIP(c.r),
		User: c.r.PathValue("user"), Detail: auditlog.ID(cmp.Or(c.r.PathValue("id"), id)),
	}
	if isVerb {
		e.Action = verb + " " + e.Action
	}
	return e, verb != "test" // which changes nothing
}

// actor names the key of the call in the audit trail.
func (c *call) actor() string {
	if c.key.Name == "" {
		return "API key " + c.key.ID
	}
	return "API key " + c.key.ID + " " + c.key.Name
}

// note writes the line of the call into the audit trail, before anything is changed.
func (c *call) note(r route) error {
	if e, audited := r.entry(c); audited {
		return c.tell(e)
	}
	return nil
}

// noteWebhook writes the line of a call that gives a webhook an address, which is known
// when the body has been read.
func (c *call) noteWebhook(action string, in webhookRequest) error {
	e, _ := route{action: action, scope: apikey.Admin}.entry(c)
	if in.URL != nil {
		e.Detail = strings.TrimSpace(e.Detail + " " + auditlog.Host(*in.URL))
	}
	return c.tell(e)
}

func (c *call) tell(e auditlog.Entry) error {
	return auditlog.Trail{File: c.server.cfg.Audit, Logger: c.server.log}.Note(c.r.Context(), c.account.Ledger, e)
}
