package console_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestTemplatesAreAskedForOnceAnHour(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	b := setup(t)
	b.account.Templates = &templates.Known{Ask: func(context.Context) ([]wechat.Template, error) {
		asked.Add(1)
		return []wechat.Template{{ID: template, Title: "Report", Content: "{{thing1.DATA}}\n{{time2.DATA}}"}}, nil
	}}
	b.again(t)
	for range 3 {
		b.get(t, "/templates").must(t, "templates", http.StatusOK, template, "<code>thing1</code> <code>time2</code>", "WeChat's answer of <time>", "</time>, kept for an hour")
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestTemplatesThatCannotBeReadSayWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.account.Templates = &templates.Known{Ask: func(context.Context) ([]wechat.Template, error) {
		return nil, &wechat.Error{Op: "/cgi-bin/template/get_all_private_template", Code: 40164}
	}}
	b.again(t)
	b.get(t, "/templates").must(t, "refused by WeChat", http.StatusOK, "WeChat could not be asked", "40164")
	b.account.Templates = &templates.Known{Ask: func(context.Context) ([]wechat.Template, error) { return nil, errors.New("call " + phone) }}
	b.again(t)
	if page := b.get(t, "/templates"); !strings.Contains(page.body, "WeChat could not be asked") || strings.Contains(page.body, phone) {
		t.Errorf("%s", page.body)
	}
	b.account.Templates = nil
	b.again(t)
	b.get(t, "/templates").must(t, "without an AppSecret", http.StatusOK, "does not ask WeChat")
}

func TestADisabledWebhookIsEnabled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.get(t, "/webhooks").must(t, "none", http.StatusOK, "There is no webhook.")
	hook := must[webhook.Webhook](t)(b.account.Webhooks.Add(t.Context(), webhook.Webhook{URL: "https://shop.example.com/hooks?token=canary"}))
	if page := b.get(t, "/webhooks"); strings.Contains(page.body, "<form") || !strings.Contains(page.body, "https://shop.example.com/…") {
		t.Errorf("an enabled one: %s", page.body)
	}
	must[webhook.Webhook](t)(b.account.Webhooks.Update(t.Context(), hook.ID, func(w *webhook.Webhook) { w.Disabled, w.Reason = time.Now(), "410 Gone" }))
	page := b.get(t, "/webhooks")
	page.must(t, "a disabled one", http.StatusOK, "410 Gone")
	form := page.hidden(t, "/console/webhooks")
	b.role = console.Support
	b.post(t, "/webhooks", form...).must(t, "role support", http.StatusForbidden)
	b.role = console.Operate
	question := b.post(t, "/webhooks", form...)
	question.must(t, "the question", http.StatusOK, "Send events to https://shop.example.com/… again?")
	b.confirm(t, question, "/webhooks").must(t, "confirmed", http.StatusOK, "Enabled.")
	if w := must[webhook.Webhook](t)(b.account.Webhooks.Get(t.Context(), hook.ID)); !w.Disabled.IsZero() {
		t.Error("it is still disabled")
	}
	if trail := b.trail(t); !strings.Contains(trail, "enable webhook  "+hook.ID) {
		t.Errorf("the trail: %s", trail)
	}
	b.post(t, "/webhooks", "id", "wh_none", "confirm", "yes").must(t, "one that does not exist", http.StatusNotFound, "no such webhook")
}

func TestASessionCanBeEndedOnEachPage(t *testing.T) {
	t.Parallel()
	b := setupWith(t, redistest.Start(t).Client(t), console.Config{Prefix: "/ops"})
	const form = `<form method="post" action="/ops/oidc/logout">`
	if page := b.get(t, "/runs"); strings.Contains(page.body, form) {
		t.Error("a login by password shows the button")
	}
	b.logOut = true
	b.get(t, "/runs").must(t, "with a session", http.StatusOK, form)
}
