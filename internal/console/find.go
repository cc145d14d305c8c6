package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// pageSize is how many rows a list has.
const pageSize = 50

// The kinds of what is sealed.
const (
	sealedID     = "id"
	sealedQuery  = "query"
	sealedCursor = "cursor"
	sealedPerson = "person"
	sealedRef    = "suppression"
)

// messageRow is one message in a list.
type messageRow struct {
	Link, ID, State, To, Template, Reason, Remedy string
	Errcode                                       wechat.Code
	QueuedAt, EndedAt                             time.Time
	Bad, Good                                     bool
}

// rowOf shows a record.
func (c *Console) rowOf(r *request, m *ledger.Record) (messageRow, error) {
	link, err := c.link(r, m.ID)
	row := messageRow{
		Link: link, ID: c.ids.Mask(m.ID), State: m.State.In(r.lang), To: mask.Name(m.To), Template: m.Template,
		Errcode: m.Errcode, QueuedAt: m.QueuedAt, EndedAt: m.EndedAt,
		Reason: mask.Text(strings.TrimSpace(ledger.ReasonText(m.Reason, r.lang) + " " + m.Detail)),
		Bad:    slices.Contains(missing(), m.State), Good: m.State == ledger.Delivered || m.State == ledger.Accepted,
	}
	if m.To == "" {
		row.To = mask.Name(m.User)
	}
	if m.Errcode != 0 {
		row.Remedy = m.Errcode.RemedyIn(r.lang)
	}
	return row, err
}

// rowsOf shows records.
func (c *Console) rowsOf(r *request, list []*ledger.Record) (rows []messageRow, err error) {
	for _, m := range list {
		row, err := c.rowOf(r, m)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// link is the address of a message's story. An ID that holds personal data is sealed.
func (c *Console) link(r *request, id string) (string, error) {
	values := map[string][]string{"account": {r.account.AppID}, "id": {id}}
	if c.ids.Mask(id) != id {
		ref, err := c.seals.seal(sealedID, id)
		if err != nil {
			return "", err
		}
		delete(values, "id")
		values["ref"] = []string{ref}
	}
	return c.base() + "/message?" + encode(values), nil
}

// messagesView is the page that finds messages.
type messagesView struct {
	States   []ledger.State
	Searched bool
	Filters  []string // what was asked for, masked
	Query    string   // sealed
	Rows     []messageRow
	Next     string // the sealed cursor
	Took     time.Duration
}

// messages shows the form, and what was found by the sealed query.
func (c *Console) messages(r *request) error {
	v := messagesView{States: ledger.States(), Query: r.Form.Get("query")}
	if v.Query == "" {
		return c.render(r, http.StatusOK, "messages", r.text("Messages"), v)
	}
	var q ledger.Query
	if err := c.seals.open(sealedQuery, v.Query, &q); err != nil {
		return err
	}
	var err error
	if q.Cursor, err = c.cursor(r); err != nil {
		return err
	}
	q.Limit = pageSize
	began := time.Now()
	page, err := r.account.Ledger.Find(r.ctx(), q)
	if err != nil {
		return err
	}
	if v.Next, err = c.sealCursor(page.Next); err != nil {
		return err
	}
	v.Searched, v.Took, v.Filters = true, time.Since(began).Round(time.Millisecond), filtersOf(r, q)
	if v.Rows, err = c.rowsOf(r, page.Records); err != nil {
		return err
	}
	return c.render(r, http.StatusOK, "messages", r.text("Messages"), v)
}

// cursor is where the page before a list's page ended; empty: it is the first one.
func (c *Console) cursor(r *request) (string, error) {
	sealed := r.Form.Get("cursor")
	if sealed == "" {
		return "", nil
	}
	var cursor string
	err := c.seals.open(sealedCursor, sealed, &cursor)
	return cursor, err
}

// sealCursor seals a cursor, which may have a user or an ID in it. Empty stays empty.
func (c *Console) sealCursor(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	return c.seals.seal(sealedCursor, cursor)
}

// filtersOf names what was asked for.
func filtersOf(r *request, q ledger.Query) []string {
	var out []string
	add := func(name, value string) {
		if value != "" {
			out = append(out, r.text(name)+" "+value)
		}
	}
	add("openid", mask.Name(q.To))
	add("user", mask.Name(q.User))
	add("template", q.Template)
	for _, s := range q.States {
		add("state", s.In(r.lang))
	}
	if q.Errcode != 0 {
		add("errcode", strconv.Itoa(int(q.Errcode)))
	}
	add("from", moment(q.Since))
	add("to", moment(q.Until))
	return out
}

// find reads the form and leads to the message, or to the list with a sealed query: no
// address of a page holds an openid.
func (c *Console) find(r *request) error {
	value := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	if id := value("id"); id != "" {
		found, err := r.account.Ledger.Get(r.ctx(), id)
		switch {
		case err != nil:
			return err
		case found[0] == nil:
			return c.noMessage(id)
		}
		return c.leadTo(r, id)
	}
	if text := value("msgid"); text != "" {
		msgid, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return wrong("A msgid has digits only.")
		}
		id, err := r.account.Ledger.ByMsgID(r.ctx(), wechat.MessageID(msgid))
		switch {
		case err != nil:
			return err
		case id == "":
			return &faultError{status: http.StatusNotFound, text: "No message of this account has the msgid %s.", args: []any{text}}
		}
		return c.leadTo(r, id)
	}
	q, err := queryOf(value)
	if err != nil {
		return err
	}
	if q.To != "" {
		if q.BoundTo, err = r.account.Roster.Users(r.ctx(), q.To); err != nil {
			return err
		}
	}
	sealed, err := c.seals.seal(sealedQuery, q)
	if err != nil {
		return err
	}
	c.redirect(r, "/messages", map[string]string{"query": sealed}, "")
	return nil
}

// queryOf reads the fields of the form. Times are those of an input datetime-local, in
// the time zone of the process.
func queryOf(value func(string) string) (ledger.Query, error) {
	q := ledger.Query{To: value("openid"), User: value("user"), Template: value("template")}
	if err := checkPerson(q.User, q.To); err != nil {
		return q, err
	}
	if state := ledger.State(value("state")); state != "" {
		if !slices.Contains(ledger.States(), state) {
			return q, wrong("There is no such state.")
		}
		q.States = []ledger.State{state}
	}
	if text := value("errcode"); text != "" {
		code, err := strconv.Atoi(text)
		if err != nil || code == 0 {
			return q, wrong("An errcode is a number other than 0.")
		}
		q.Errcode = wechat.Code(code)
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		text := value(name)
		if text == "" {
			continue
		}
		at, err := time.ParseInLocation("2006-01-02T15:04", text, time.Local)
		if err != nil {
			return q, wrong("A time is written like %s.", "2026-11-26T18:30")
		}
		*to = at
	}
	return q, nil
}

// checkPerson refuses what can be no user or openid, such as a masked one that was copied
// from a page: nothing would be found. Empty ones are not given.
func checkPerson(user, openid string) error {
	switch {
	case openid != "" && wechat.ValidateOpenID(openid) != nil:
		return wrong("This is not an openid: give it whole, not masked.")
	case user != "" && producer.CheckUser(user) != nil:
		return wrong("This is not a user: give it whole, not masked.")
	}
	return nil
}

// leadTo redirects to a message's story.
func (c *Console) leadTo(r *request, id string) error {
	link, err := c.link(r, id)
	if err != nil {
		return err
	}
	http.Redirect(r.w, r.Request, link, http.StatusSeeOther)
	return nil
}
