package ops_test

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/internal/browsertest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

func TestQue10ChromiumSeesNoPersonalData(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, browsertest.Config{})
	s := newStory(t)
	l := serve(t, s.rdb, nil)
	pages := []struct{ path, text, picture string }{
		{"/asynqmon/", bulkQueue, "asynqmon-queues"},
		{"/asynqmon/queues/" + bulkQueue + "?status=active", "oCAN…Ef", "active"},
		{"/asynqmon/queues/" + bulkQueue + "?status=pending", "TEMPLATE_ORDER_PAID", "pending"},
		{"/asynqmon/queues/" + bulkQueue + "?status=aggregating", "Aggregating", "aggregating"},
		{"/asynqmon/queues/" + bulkQueue + "?status=scheduled", "TEMPLATE_ORDER_PAID", "scheduled"},
		{"/asynqmon/queues/" + bulkQueue + "?status=retry", "40003", "retry"},
		{"/asynqmon/queues/" + bulkQueue + "?status=archived", "40003", "archived"},
		{"/asynqmon/queues/" + bulkQueue + "?status=completed", "oCAN…Ef", "completed"},
		{"/asynqmon/queues/" + bulkQueue + "/tasks/archived-1-paid", "TEMPLATE_ORDER_PAID", "task"},
		{"/asynqmon/queues/" + bulkQueue + "/tasks/completed-1-paid", "TEMPLATE_ORDER_PAID", "task-completed"},
		{"/asynqmon/servers", "Servers", "servers"},
		{"/asynqmon/schedulers", "Scheduler", "schedulers"},
		{"/asynqmon/redis", "redis", "redis"},
	}
	for _, p := range pages {
		if found := leaks(b.Visit(t, l.url+p.path, p.text, p.picture)); found != nil {
			t.Errorf("%s shows %q", p.path, found)
		}
	}
	for _, c := range b.Console() {
		t.Errorf("console: %s", c)
	}
}

// asynqmon's page has no button that would be refused.
func TestChromiumOffersNoActions(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, browsertest.Config{})
	s := newStory(t)
	l := serve(t, s.rdb, nil)
	for path, text := range map[string]string{
		"/": bulkQueue, "/queues/" + bulkQueue + "?status=retry": "40003", "/queues/" + bulkQueue + "?status=archived": "40003",
		"/queues/" + bulkQueue + "?status=pending": "TEMPLATE_ORDER_PAID",
	} {
		b.Visit(t, l.url+"/asynqmon"+path, text, "read-only")
		const actions = `document.querySelectorAll('main button[aria-label="actions"], main input[type="checkbox"], main [aria-label^="Delete"], main [aria-label^="Run"], main [aria-label^="Archive"]').length`
		if n := browsertest.Do(t, b, "actions", chromedp.Evaluate[int](actions)); n != 0 {
			t.Errorf("%s: %d buttons and boxes of actions", path, n)
		}
	}
}

func closedGate(_ context.Context, appid string) (ratelimit.State, error) {
	china := time.FixedZone("", 8*3600)
	s := ratelimit.State{Day: "2026-11-22", Used: 61200, Cap: 100000, Reserve: 2000, Rate: 50, ResetsAt: time.Date(2026, 11, 23, 0, 0, 0, 0, china)}
	if appid == account {
		s.Used = 98000
		s.Pauses = []ratelimit.PauseState{{
			Pause: ratelimit.Pause{Reason: ratelimit.ReasonQuota, Detail: "98000 of 100000; " + openid, Until: s.ResetsAt},
			Owner: "worker-1:4711", Since: s.ResetsAt.Add(-time.Hour),
		}}
	}
	return s, nil
}
