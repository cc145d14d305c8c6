package ops_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// browser is a Chromium of the test's own, and what its console said.
type browser struct {
	ctx context.Context

	mu   sync.Mutex
	said []string
}

func newBrowser(t *testing.T, language string) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed: apt-get install chromium")
		}
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", language), chromedp.Flag("accept-lang", language), chromedp.WindowSize(1280, 900))
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	b := &browser{}
	ctx, stop := chromedp.NewContext(allocator, chromedp.WithListener(b.listen), chromedp.WithErrorf(t.Logf))
	t.Cleanup(stop)
	ctx, end := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(end)
	b.ctx = ctx
	return b
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		b.said = append(b.said, string(e.Entry.Source)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, "exception: "+e.ExceptionDetails.Text)
	}
}

func must[T any](t *testing.T, b *browser, what string, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		dom, _ := chromedp.Run(b.ctx, chromedp.OuterHTML(chromedp.CSS("html")))
		_, body, _ := strings.Cut(dom, "<body")
		t.Fatalf("%s: %v\nconsole: %.2000q\n%.9000s", what, err, b.complaints(), body)
	}
	return v
}

func (b *browser) keep(t *testing.T, picture string) {
	t.Helper()
	shot := must(t, b, "picture", chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), picture+".png"), shot, 0o600); err != nil {
		t.Fatal(err)
	}
}

// complaints are what the console said of the policy, of missing files and of errors.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.said...)
}

// visit opens a page, waits for a text in it, keeps a picture, and returns the DOM.
func (b *browser) visit(t *testing.T, url, text, picture string) string {
	t.Helper()
	must(t, b, "open "+url, chromedp.Navigate(url))
	must(t, b, url+" shows "+text, chromedp.Poll[bool](
		`!!document.body && document.body.innerText.includes(`+quote(text)+`)`, chromedp.WithPollingTimeout(20*time.Second)))
	b.keep(t, picture)
	return must(t, b, "DOM", chromedp.OuterHTML(chromedp.CSS("html")))
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func TestQue10ChromiumSeesNobody(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, "en-US")
	s := newStory(t)
	l := serve(t, s.rdb, nil)
	pages := []struct{ path, text, picture string }{
		{"/", queue, "index"},
		{"/asynqmon/", queue, "asynqmon-queues"},
		{"/asynqmon/queues/" + queue + "?status=active", "oCAN…Ef", "active"},
		{"/asynqmon/queues/" + queue + "?status=pending", "TEMPLATE_ORDER_PAID", "pending"},
		{"/asynqmon/queues/" + queue + "?status=aggregating", "Aggregating", "aggregating"},
		{"/asynqmon/queues/" + queue + "?status=scheduled", "TEMPLATE_ORDER_PAID", "scheduled"},
		{"/asynqmon/queues/" + queue + "?status=retry", "40003", "retry"},
		{"/asynqmon/queues/" + queue + "?status=archived", "40003", "archived"},
		{"/asynqmon/queues/" + queue + "?status=completed", "oCAN…Ef", "completed"},
		{"/asynqmon/queues/" + queue + "/tasks/archived-1-paid", "TEMPLATE_ORDER_PAID", "task"},
		{"/asynqmon/queues/" + queue + "/tasks/completed-1-paid", "TEMPLATE_ORDER_PAID", "task-completed"},
		{"/asynqmon/servers", "Servers", "servers"},
		{"/asynqmon/schedulers", "Scheduler", "schedulers"},
		{"/asynqmon/redis", "redis", "redis"},
	}
	for _, p := range pages {
		if found := leaks(b.visit(t, l.url+p.path, p.text, p.picture)); found != nil {
			t.Errorf("%s shows %q", p.path, found)
		}
	}
	for _, c := range b.complaints() {
		t.Errorf("console: %s", c)
	}
}

// asynqmon's page does not say why an action failed; ours does.
func TestChromiumShowsRefusals(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, "en-US")
	s := newStory(t)
	l := serve(t, s.rdb, nil)
	b.visit(t, l.url+"/asynqmon/queues/"+queue+"?status=retry", "40003", "retry-page")
	must(t, b, "menu", chromedp.Click(chromedp.CSS(`button[aria-label="actions"]`)))
	must(t, b, "archive all", chromedp.Click(chromedp.Search(`//li[contains(., "Archive All")]`)))
	notice := must(t, b, "notice", chromedp.Text(chromedp.CSS(`#wxnotify-notice`)))
	b.keep(t, "refused")
	if !strings.Contains(notice, "archiving all tasks") {
		t.Errorf("notice %q", notice)
	}
	if q, err := s.inspect.GetQueueInfo(queue); err != nil || q.Retry != 1 {
		t.Errorf("the retry task is gone: %+v %v", q, err)
	}
}

func TestChromiumIndexInTrouble(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, "zh-CN")
	s := newStory(t)
	if err := s.rdb.Del(t.Context(), "asynq:{"+queue+"}:t:pending-1-paid").Err(); err != nil {
		t.Fatal(err)
	}
	l := serve(t, s.rdb, func(c *ops.Config) {
		c.Accounts = []string{account, "wxfedcba9876543210"}
		c.Gate = closedGate
		c.Checks = []ops.Check{
			{Name: "redis", Run: func(ctx context.Context) error { return s.rdb.Ping(ctx).Err() }},
			{Name: "token " + account, Run: func(context.Context) error { return lastError() }},
		}
	})
	dom := b.visit(t, l.url+"/", "需要处理", "index-zh-trouble")
	for _, want := range []string{"LREM", "今日配额已用完", "noeviction", "pending-1-paid"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if found := leaks(dom); found != nil {
		t.Errorf("the page leaks %q", found)
	}
	for _, c := range b.complaints() {
		t.Errorf("console: %s", c)
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
