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
	v.Kinds, v.Scopes = apikey.Kinds(), apikey.Scopes()
	return c.render(r, http.StatusOK, "keys", r.text("API keys"), v)
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
