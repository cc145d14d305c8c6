package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/mask"
)

// personRef names a user, an openid, or one binding, sealed.
type personRef struct{ User, OpenID string }

// rosterView is the page of users.
type rosterView struct {
	Rows  []bindingRow
	Next  string
	Total int64
	Of    string // who was looked for, masked
	Erase string // sealed: who was looked for
}

type bindingRow struct {
	User, OpenID, How string
	Follows           string
	BoundAt           time.Time
	Person            string // sealed
}

// roster lists users in the order of their enrolment, or the bindings of one person.
func (c *Console) roster(r *request) error {
	var who personRef
	if sealed := r.Form.Get("person"); sealed != "" {
		if err := c.seals.open(sealedPerson, sealed, &who); err != nil {
			return err
		}
	}
	v := rosterView{}
	var found []enroll.Binding
	var err error
	if who == (personRef{}) {
		found, v.Next, err = c.rosterPage(r)
	} else {
		v.Erase = r.Form.Get("person")
		v.Of = strings.TrimSpace(mask.Name(who.User) + " " + mask.Name(who.OpenID))
		found, err = c.bindingsOf(r, who)
	}
	if err != nil {
		return err
	}
	if v.Total, err = r.account.Roster.Count(r.ctx()); err != nil {
		return err
	}
	for _, b := range found {
		row := bindingRow{User: mask.Name(b.User), OpenID: mask.Name(b.OpenID), How: b.How, BoundAt: b.BoundAt, Follows: r.text("not known")}
		if b.Follows != nil {
			row.Follows = r.text("does not follow")
			if *b.Follows {
				row.Follows = r.text("follows")
			}
		}
		if row.Person, err = c.seals.seal(sealedPerson, personRef{b.User, b.OpenID}); err != nil {
			return err
		}
		v.Rows = append(v.Rows, row)
	}
	return c.render(r, http.StatusOK, "roster", r.text("Roster"), v)
}

// rosterPage returns a page of users, and the sealed cursor of the next one.
func (c *Console) rosterPage(r *request) ([]enroll.Binding, string, error) {
	cursor, err := c.cursor(r)
	if err != nil {
		return nil, "", err
	}
	found, next, err := r.account.Roster.Page(r.ctx(), cursor, pageSize)
	if err != nil {
		return nil, "", err
	}
	sealed, err := c.sealCursor(next)
	return found, sealed, err
}

func (c *Console) bindingsOf(r *request, who personRef) ([]enroll.Binding, error) {
	users := []string{who.User}
	if who.User == "" {
		var err error
		if users, err = r.account.Roster.Users(r.ctx(), who.OpenID); err != nil {
			return nil, err
		}
	}
	var out []enroll.Binding
	for _, user := range users {
		found, err := r.account.Roster.Of(r.ctx(), user)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// findPerson leads to a person with a sealed name.
func (c *Console) findPerson(r *request) error {
	who := personRef{User: strings.TrimSpace(r.PostForm.Get("user")), OpenID: strings.TrimSpace(r.PostForm.Get("openid"))}
	if (who.User == "") == (who.OpenID == "") {
		return wrong("Name a user or an openid, one of the two.")
	}
	if err := checkPerson(who.User, who.OpenID); err != nil {
		return err
	}
	sealed, err := c.seals.seal(sealedPerson, who)
	if err != nil {
		return err
	}
	c.redirect(r, "/roster", map[string]string{"person": sealed}, "")
	return nil
}

func eraseWarning(r *request) string {
	return r.text("Bindings, recipients in records, bodies that wait, suppressions: nothing of the person stays. Messages that were not sent are cancelled. It cannot be undone and may take a minute.")
}

// actOnPerson unbinds an openid from a user, or erases a person.
func (c *Console) actOnPerson(r *request) error {
	var who personRef
	if err := c.seals.open(sealedPerson, r.PostForm.Get("person"), &who); err != nil {
		return err
	}
	do, shown := r.PostForm.Get("do"), strings.TrimSpace(mask.Name(who.User)+" "+mask.Name(who.OpenID))
	q := confirmation{Action: "/person", Back: "/roster?account=" + r.account.AppID, Bad: true}
	switch do {
	case "unbind":
		q.Text, q.Button = r.text("Take the openid from the user: %s?", shown), r.text("Unbind")
		q.Details = []string{r.text("Messages to the user go to another of their openids, or to none. The link by which it was bound cannot be used again.")}
	case "erase":
		q.Text, q.Button = r.text("Erase all data of %s?", shown), r.text("Erase")
		q.Details = []string{eraseWarning(r)}
	default:
		return wrong("The form is not one of this page.")
	}
	if !r.confirmed() {
		return c.confirm(r, q)
	}
	entry := change{action: do, openid: who.OpenID, user: who.User}
	if c.cfg.TwoPersons && do == "erase" {
		return c.askSecond(r, &approval{
			role: Admin, entry: entry, detail: eraseWarning,
			text: func(r *request) string { return r.text("Erase all data of %s?", shown) },
			do:   func(r *request) error { return c.erase(r, who) },
		})
	}
	if err := c.note(r.ctx(), r.account, r.who, entry); err != nil {
		return err
	}
	if do == "unbind" {
		if _, err := r.account.Roster.By(r.who.title()).Unbind(r.ctx(), who.User, who.OpenID); err != nil {
			return err
		}
		c.redirect(r, "/roster", nil, "unbound")
		return nil
	}
	return c.erase(r, who)
}

// erase erases a person.
func (c *Console) erase(r *request, who personRef) error {
	person := enroll.Person{User: who.User}
	if who.User == "" {
		person.OpenID = who.OpenID
	}
	found, err := r.account.Roster.Erase(r.ctx(), person)
	switch {
	case err != nil:
		return err
	case found.Nothing():
		return &faultError{status: http.StatusNotFound, text: "Nothing of this person was found: check user and openid to the letter."}
	}
	c.redirect(r, "/roster", nil, "erased")
	return nil
}
