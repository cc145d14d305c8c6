package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/mask"
)

// overlap is how long the old secret of a rotated key is accepted.
const overlap = 24 * time.Hour

// keysView is the page of API keys.
type keysView struct {
	Keys   []apikey.Key
	Kinds  []apikey.Kind
	Scopes []apikey.Scope
	Secret string // shown once
	Of     string // the key whose secret it is
}

func (c *Console) keys(r *request) error { return c.showKeys(r, keysView{}) }

func (c *Console) showKeys(r *request, v keysView) (err error) {
	if v.Keys, err = r.account.Keys.List(r.ctx()); err != nil {
		return err
	}
	v.Kinds, v.Scopes = apikey.Kinds(), slices.DeleteFunc(apikey.Scopes(), c.needsTwo)
	return c.render(r, http.StatusOK, "keys", r.text("API keys"), v)
}

// needsTwo reports that what the scope allows needs a second person here. Its secret is not
// shown to one.
func (c *Console) needsTwo(scope apikey.Scope) bool { return c.cfg.TwoPersons && scope == apikey.Erase }

// showsSecret refuses a key whose secret would do alone what needs a second person.
func (c *Console) showsSecret(scopes []apikey.Scope) error {
	if !slices.ContainsFunc(scopes, c.needsTwo) {
		return nil
	}
	return &faultError{
		status: http.StatusForbidden,
		text:   "A key of scope erase would erase a person without a second one. Create and rotate it on the command line: wxnotify api keys.",
	}
}

// actOnKey creates, rotates or revokes a key.
func (c *Console) actOnKey(r *request) error {
	id, do := r.PostForm.Get("key"), r.PostForm.Get("do")
	entry, q := change{action: do + " key", detail: cut(id, 40)}, confirmation{Action: "/keys", Back: "/keys?account=" + r.account.AppID}
	switch do {
	case "create":
		return c.createKey(r)
	case "rotate":
		q.Text, q.Button = r.text("Give key %s a new secret?", cut(id, 40)), r.text("Rotate")
		q.Details = []string{r.text("The old secret is accepted for 24 hours more.")}
		keys, err := r.account.Keys.List(r.ctx())
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(keys, func(k apikey.Key) bool { return k.ID == id }); at >= 0 {
			if err := c.showsSecret(keys[at].Scopes); err != nil {
				return err
			}
		}
		return c.ask(r, q, entry, func() error {
			key, secret, err := r.account.Keys.Rotate(r.ctx(), id, overlap)
			if err != nil {
				return keyFault(err)
			}
			return c.showKeys(r, keysView{Secret: secret, Of: key.Name})
		})
	case "revoke":
		q.Text, q.Button, q.Bad = r.text("Revoke key %s?", cut(id, 40)), r.text("Revoke"), true
		q.Details = []string{r.text("Programs that use it are refused within seconds. It cannot be undone.")}
		return c.ask(r, q, entry, func() error {
			if err := r.account.Keys.Revoke(r.ctx(), id); err != nil {
				return keyFault(err)
			}
			c.redirect(r, "/keys", nil, "revoked")
			return nil
		})
	}
	return wrong("The form is not one of this page.")
}

func keyFault(err error) error {
	if errors.Is(err, apikey.ErrNotFound) {
		return &faultError{status: http.StatusNotFound, text: "There is no such key any more.", err: err}
	}
	return err
}

func (c *Console) createKey(r *request) error {
	k := apikey.Key{Name: strings.TrimSpace(r.PostForm.Get("name")), Kind: apikey.Kind(r.PostForm.Get("kind"))}
	for _, scope := range r.PostForm["scope"] {
		k.Scopes = append(k.Scopes, apikey.Scope(scope))
	}
	if err := c.showsSecret(k.Scopes); err != nil {
		return err
	}
	for guest := range strings.FieldsSeq(r.PostForm.Get("guests")) {
		k.Guests = append(k.Guests, guest)
	}
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}
	slices.Sort(scopes)
	detail := strconv.Quote(mask.Text(cut(k.Name, 60))) + " " + string(k.Kind) + " " + strings.Join(scopes, ",")
	if err := c.note(r.ctx(), r.account, r.who, change{action: "create key", detail: cut(detail, 150)}); err != nil {
		return err
	}
	key, secret, err := r.account.Keys.Create(r.ctx(), k)
	if err != nil {
		return &faultError{status: http.StatusBadRequest, text: "%s", args: []any{mask.Text(err.Error())}, err: err}
	}
	return c.showKeys(r, keysView{Secret: secret, Of: key.Name})
}
