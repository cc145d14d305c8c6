package console

import (
	"errors"
	"net/http"
	"time"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/webhook"
)

// shownAttempts is how many attempts of a webhook are listed.
const shownAttempts = 10

// webhookView is a webhook on its page.
type webhookView struct {
	webhook.Webhook
	Host     string // path and query may hold a secret
	Attempts []attemptRow
}

type attemptRow struct {
	webhook.Attempt
	Good bool
}

func (c *Console) webhooks(r *request) error {
	list, err := r.account.Webhooks.List(r.ctx())
	if err != nil {
		return err
	}
	var rows []webhookView
	for _, w := range list {
		v := webhookView{Webhook: w, Host: mask.URL(w.URL)}
		attempts, err := r.account.Webhooks.Attempts(r.ctx(), w.ID)
		if err != nil {
			return err
		}
		for _, a := range attempts[:min(len(attempts), shownAttempts)] {
			a.Error = mask.Text(a.Error)
			v.Attempts = append(v.Attempts, attemptRow{a, a.Status >= 200 && a.Status < 300})
		}
		rows = append(rows, v)
	}
	return c.render(r, http.StatusOK, "webhooks", r.text("Webhooks"), rows)
}

// enableWebhook has a disabled webhook get events again.
func (c *Console) enableWebhook(r *request) error {
	w, err := r.account.Webhooks.Get(r.ctx(), r.PostForm.Get("id"))
	if err != nil {
		return webhookFault(err)
	}
	q := confirmation{
		Text: r.text("Send events to %s again?", mask.URL(w.URL)), Button: r.text("Enable"), Action: "/webhooks", Back: "/webhooks?account=" + r.account.AppID,
		Details: []string{r.text("It goes on from where it was, as far as its events are kept.")},
	}
	return c.ask(r, q, change{action: "enable webhook", detail: w.ID}, func() error {
		if _, err := r.account.Webhooks.Update(r.ctx(), w.ID, func(w *webhook.Webhook) { w.Disabled = time.Time{} }); err != nil {
			return webhookFault(err)
		}
		c.redirect(r, "/webhooks", nil, "enabled")
		return nil
	})
}

func webhookFault(err error) error {
	if errors.Is(err, webhook.ErrNotFound) {
		return &faultError{status: http.StatusNotFound, text: "There is no such webhook any more.", err: err}
	}
	return err
}
