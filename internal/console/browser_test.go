package console_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/internal/browsertest"
	"github.com/wxnotify/wxnotify/internal/ledger"
)

func click(t *testing.T, b *browsertest.Browser, selector string) {
	t.Helper()
	browsertest.Do(t, b, "click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func typeInto(t *testing.T, b *browsertest.Browser, selector, text string) {
	t.Helper()
	browsertest.Do(t, b, "type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// An operator finds a message by openid, reads its story, retries it, retries all with one
// errcode, pauses and resumes, by clicking.
func TestChromiumFindsReadsRetriesPausesAndResumes(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{})
	b := setup(t)
	b.bind(t, user, openid)
	b.enqueue(t, "wait-1")
	b.dead(t, 47003, "dead-1", "dead-2", "dead-3")
	browser.Visit(t, b.url+"/", "Quota of the day", "1-overview")
	b.enqueue(t, "wait-2", "wait-3")
	browsertest.Do(t, browser, "the number of pending messages changes while the page is open",
		chromedp.Poll[bool](`[...document.querySelectorAll("#queues-`+account+` tbody tr")].some(r => r.cells[0].innerText.includes("default") && r.cells[1].innerText === "3")`))
	click(t, browser, `nav a[href*="/messages"]`)
	browser.Shows(t, "enqueued from", "2-find")
	typeInto(t, browser, `input[name="openid"]`, openid)
	click(t, browser, `form[role="search"] button`)
	browser.Shows(t, "dead-2", "3-found")
	click(t, browser, `a[href*="id=dead-2"]`)
	browser.Shows(t, "The card, values masked", "4-story")
	click(t, browser, `button[value="retry"]`)
	browser.Shows(t, "Send message dead-2 again?", "5-confirm")
	click(t, browser, `button.main`)
	browser.Shows(t, "Put on its queue again.", "6-retried")
	if got := b.state(t, "dead-2"); got != ledger.Queued {
		t.Errorf("dead-2: %s", got)
	}
	click(t, browser, `nav a[href*="/dead"]`)
	browser.Shows(t, "Retry all 2", "7-dead")
	click(t, browser, `tbody button[value="retry"]`)
	browser.Shows(t, "Send 2 dead letters again?", "8-confirm-all")
	click(t, browser, `button.main`)
	browser.Shows(t, "2 of 2 done, 0 failed", "9-run")
	click(t, browser, `nav a[href*="/console/?"]`)
	browser.Shows(t, "Quota of the day", "10-overview")
	click(t, browser, `#g-`+account+` button`)
	browser.Shows(t, "Stop sending: account", "11-pause")
	typeInto(t, browser, `input[name="reason"]`, "wrong template")
	click(t, browser, `button.danger`)
	browser.Shows(t, "wrong template", "12-paused")
	click(t, browser, `#g-`+account+` button`)
	browser.Shows(t, "Send again: account", "13-resume")
	click(t, browser, `button.main`)
	browser.Shows(t, "Resumed.", "14-resumed")
	click(t, browser, `nav a[href*="/audit"]`)
	dom := browser.Shows(t, "li (console)", "15-audit")
	for _, c := range canaries() {
		if strings.Contains(dom, c) {
			t.Errorf("the page shows %q", c)
		}
	}
	for _, line := range browser.Console() {
		t.Errorf("console: %s", line)
	}
}

// screen is a size and a colour scheme.
type screen struct {
	name          string
	width, height int64
	scheme        string
}

func screens() []screen {
	return []screen{{"desktop", 1280, 900, "light"}, {"phone", 375, 700, "light"}, {"phone-dark", 375, 700, "dark"}, {"desktop-dark", 1280, 900, "dark"}}
}

func use(t *testing.T, b *browsertest.Browser, s screen) {
	t.Helper()
	browsertest.Do(t, b, "viewport", chromedp.EmulateViewport(s.width, s.height))
	browsertest.Do(t, b, "colours", func(ctx context.Context, target *chromedp.Target) (struct{}, error) {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: s.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return struct{}{}, err
	})
}

// Every page fits the screen of a phone, in both languages.
func TestChromiumShowsEveryPageOnDesktopAndPhone(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{})
	b := setup(t)
	b.full(t)
	for _, s := range screens() {
		use(t, browser, s)
		for lang, overview := range map[string]string{"en": "Overview", "zh": "概览"} {
			for _, path := range pages() {
				if path == "/none" {
					continue
				}
				separator := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
				picture := strings.Join([]string{s.name, lang, strings.NewReplacer("/", "", "?", "-", "=", "-").Replace(path)}, "-")
				browser.Visit(t, b.url+path+separator+"lang="+lang, overview, picture)
				wide := browsertest.Do(t, browser, "width", chromedp.Evaluate[float64](`document.documentElement.scrollWidth - innerWidth`))
				if wide > 0 {
					t.Errorf("%s: wider than the screen by %v px", picture, wide)
				}
			}
		}
	}
	for _, line := range browser.Console() {
		t.Errorf("console: %s", line)
	}
}
