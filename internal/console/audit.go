package console

import (
	"net/http"
	"regexp"
	"time"

	"github.com/wxnotify/wxnotify/internal/mask"
)

// auditView is the page of the audit trail.
type auditView struct {
	Rows []auditRow
	Next string
}

type auditRow struct {
	At                          time.Time
	Action, Actor, Whom, Detail string
}

// entryID is the ID of an entry of the trail.
var entryID = regexp.MustCompile(`^\d{1,20}-\d{1,20}$`)

func (c *Console) audit(r *request) error {
	before := r.Form.Get("before")
	if before != "" && !entryID.MatchString(before) {
		return wrong("The form is not one of this page.")
	}
	found, err := r.account.Ledger.Audited(r.ctx(), before, pageSize)
	if err != nil {
		return err
	}
	v := auditView{}
	for _, e := range found {
		whom := e.User
		if whom == "" {
			whom = e.OpenID
		}
		v.Rows = append(v.Rows, auditRow{At: e.At, Action: e.Action, Actor: mask.Text(e.Actor), Whom: whom, Detail: mask.Text(e.Detail)})
	}
	if len(found) >= pageSize {
		v.Next = found[len(found)-1].ID
	}
	return c.render(r, http.StatusOK, "audit", r.text("Audit"), v)
}
