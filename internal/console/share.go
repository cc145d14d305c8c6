package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sealedShare is the kind of what a link to a message's page holds.
const sealedShare = "share"

// shareHours are the lives of links that are offered.
func shareHours() []int { return []int{1, 8, 24, 72} }

// share is what a link says: encrypted and authenticated under the key of the links, so
// that no address shows an ID.
type share struct {
	Account string `json:"a"`
	ID      string `json:"i"`
	Until   int64  `json:"u"` // Unix seconds
}

// shareView is the page that shows a new link.
type shareView struct {
	ID, Link, Back string
	Until          time.Time
}

// ServeShared serves the pages of links, and the style sheet, to requests without a login.
// All else, and all without Config.LinkKey, is not found.
func (c *Console) ServeShared(w http.ResponseWriter, r *http.Request) { c.open.ServeHTTP(w, r) }

func (c *Console) openRoutes() http.Handler {
	mux := http.NewServeMux()
	if c.links == nil {
		return mux
	}
	mux.HandleFunc("GET /console/shared/{link}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Robots-Tag", "noindex")
		r = WithOperator(r, Operator{}) // each operator sees the same
		c.answer(w, &request{Request: r, open: true}, View, c.shared)
	})
	for _, name := range []string{"style.css", "icon.svg"} {
		mux.HandleFunc("GET /console/"+name, func(w http.ResponseWriter, _ *http.Request) { c.file(w, name) })
	}
	return mux
}

// shared shows the page of a link: what role support sees, without anything to click.
func (c *Console) shared(r *request) error {
	var s share
	if err := c.links.open(sealedShare, r.PathValue("link"), &s); err != nil {
		return &faultError{status: http.StatusNotFound, text: "This link is not valid: ask for a new one."}
	}
	if time.Now().Unix() >= s.Until {
		return &faultError{status: http.StatusGone, text: "This link has expired: ask for a new one."}
	}
	of := c.account(s.Account)
	if of == nil {
		return &faultError{status: http.StatusNotFound, text: "This process does not serve that account."}
	}
	r.account = of
	return c.showMessage(r, s.ID)
}

// share makes a link to a message's page.
func (c *Console) share(r *request) error {
	hours, err := strconv.Atoi(r.PostForm.Get("hours"))
	if err != nil || !slices.Contains(shareHours(), hours) {
		return wrong("The form is not one of this page.")
	}
	var id string
	if err := c.seals.open(sealedID, r.PostForm.Get("id"), &id); err != nil {
		return err
	}
	until := time.Now().Add(time.Duration(hours) * time.Hour)
	link, errLink := c.links.seal(sealedShare, share{r.account.AppID, id, until.Unix()})
	back, errBack := c.link(r, id)
	if err := errors.Join(errLink, errBack); err != nil {
		return err
	}
	if err := c.note(r.ctx(), r.account, r.who, change{action: "share", count: 1, detail: "message " + c.shownID(id) + " for " + strconv.Itoa(hours) + "h"}); err != nil {
		return err
	}
	return c.render(r, http.StatusOK, "share", r.text("Link to message %s", c.shownID(id)), shareView{
		ID: c.shownID(id), Link: c.base() + "/shared/" + link, Back: strings.TrimPrefix(back, c.base()), Until: until,
	})
}
