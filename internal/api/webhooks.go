package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/webhook"
)

// webhookRequest makes or changes a webhook. A field that is absent stays.
type webhookRequest struct {
	URL      *string      `json:"url"`
	Events   *[]string    `json:"events"`
	Classes  *[]job.Class `json:"classes"`
	Keys     *[]string    `json:"keys"`
	OpenIDs  *bool        `json:"openids"`
	Disabled *bool        `json:"disabled"`
}

func (in webhookRequest) apply(w *webhook.Webhook) {
	if in.URL != nil {
		w.URL = *in.URL
	}
	if in.Events != nil {
		w.Types = *in.Events
	}
	if in.Classes != nil {
		w.Classes = *in.Classes
	}
	if in.Keys != nil {
		w.Keys = *in.Keys
	}
	if in.OpenIDs != nil {
		w.OpenIDs = *in.OpenIDs
	}
	switch {
	case in.Disabled != nil && !*in.Disabled:
		w.Disabled = time.Time{}
	case in.Disabled != nil && w.Disabled.IsZero():
		w.Disabled, w.Reason = time.Now().UTC().Truncate(time.Second), "by an API key"
	}
}

// webhookView is a webhook with its latest attempts; Secret is shown once.
type webhookView struct {
	webhook.Webhook
	Secret   string            `json:"secret,omitempty"`
	Attempts []webhook.Attempt `json:"attempts,omitempty"`
}

// readWebhook reads the body, and refuses openids to a key that may not read them.
func (c *call) readWebhook() (in webhookRequest, err error) {
	body, err := c.read()
	if err == nil {
		err = decode(body, &in)
	}
	if err == nil && in.OpenIDs != nil && *in.OpenIDs && !c.key.May(apikey.ReadOpenID) {
		err = c.needsOpenIDs()
	}
	return in, err
}

func (c *call) needsOpenIDs() error {
	return problemf(http.StatusForbidden, codeScope, "the key has not the scope %s, which openids need", apikey.ReadOpenID)
}

// webhookProblem names what is wrong with a webhook.
func webhookProblem(err error) error {
	if errors.Is(err, webhook.ErrNotFound) {
		return problemf(http.StatusNotFound, codeNotFound, "there is no webhook of this id")
	}
	var faults []fault
	for _, one := range leaves(err) {
		var invalid *webhook.InvalidError
		if !errors.As(one, &invalid) {
			return err
		}
		faults = append(faults, newFault("/"+invalid.Field, "value-form", invalid.Detail))
	}
	if len(faults) > 0 {
		return malformed(faults...)
	}
	return err
}

func (s *server) getWebhooks(c *call) error {
	list, err := c.account.Webhooks.List(c.r.Context())
	if err != nil {
		return err
	}
	views := make([]webhookView, len(list))
	for i, w := range list {
		views[i].Webhook = w
	}
	return c.answer(http.StatusOK, map[string][]webhookView{"webhooks": views})
}

func (s *server) postWebhook(c *call) error {
	in, err := c.readWebhook()
	if err != nil {
		return err
	}
	if err := c.noteWebhook("add webhook", in); err != nil {
		return err
	}
	var w webhook.Webhook
	in.apply(&w)
	if w, err = c.account.Webhooks.Add(c.r.Context(), w); err != nil {
		return webhookProblem(err)
	}
	return c.answer(http.StatusCreated, webhookView{Webhook: w, Secret: w.Secrets[0].Value})
}

func (s *server) getWebhook(c *call) error {
	w, err := c.account.Webhooks.Get(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return webhookProblem(err)
	}
	attempts, err := c.account.Webhooks.Attempts(c.r.Context(), w.ID)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, webhookView{Webhook: w, Attempts: attempts})
}

func (s *server) patchWebhook(c *call) error {
	in, err := c.readWebhook()
	if err != nil {
		return err
	}
	if err := c.noteWebhook("change webhook", in); err != nil {
		return err
	}
	moved := false // where it gets openids, which the key may not read
	w, err := c.account.Webhooks.Update(c.r.Context(), c.r.PathValue("id"), func(w *webhook.Webhook) {
		before := *w
		in.apply(w)
		if moved = w.OpenIDs && w.URL != before.URL && !c.key.May(apikey.ReadOpenID); moved {
			*w = before
		}
	})
	switch {
	case err != nil:
		return webhookProblem(err)
	case moved:
		return c.needsOpenIDs()
	}
	return c.answer(http.StatusOK, webhookView{Webhook: w})
}

func (s *server) deleteWebhook(c *call) error {
	id := c.r.PathValue("id")
	if err := c.account.Webhooks.Remove(c.r.Context(), id); err != nil {
		return webhookProblem(err)
	}
	return c.answer(http.StatusOK, map[string]string{"removed": id})
}

// postWebhookVerb serves POST /v1/webhooks/{id}:test, :recover and :rotate.
func (s *server) postWebhookVerb(c *call) error {
	id, verb, _ := strings.Cut(c.r.PathValue("verb"), ":")
	switch verb {
	case "test":
		attempt, err := webhook.NewService(c.account.Webhooks, c.account.Events, s.log).Test(c.r.Context(), id)
		if err != nil && attempt.Error == "" {
			return webhookProblem(err)
		}
		return c.answer(http.StatusOK, attempt)
	case "rotate":
		w, err := c.account.Webhooks.Rotate(c.r.Context(), id, 24*time.Hour)
		if err != nil {
			return webhookProblem(err)
		}
		return c.answer(http.StatusOK, webhookView{Webhook: w, Secret: w.Secrets[0].Value})
	case "recover":
		var in struct {
			Since time.Time `json:"since"`
		}
		body, err := c.read()
		if err == nil {
			err = decode(body, &in)
		}
		if err == nil && in.Since.IsZero() {
			err = malformed(newFault("/since", "field-missing", "is required: a time such as 2026-12-01T08:00:00+08:00"))
		}
		if err == nil {
			err = webhookProblem(c.account.Webhooks.Recover(c.r.Context(), id, in.Since))
		}
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, map[string]time.Time{"since": in.Since})
	default:
		return problemf(http.StatusNotFound, codeNotFound, "there is no %s; see /docs", c.r.URL.Path)
	}
}
