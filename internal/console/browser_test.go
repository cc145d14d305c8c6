package console_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/internal/browsertest"
	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

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
	browsertest.Poll[bool](t, browser, "the number of pending messages changes while the page is open",
		`[...document.querySelectorAll("#queues-`+account+` tbody tr")].some(r => r.cells[0].innerText.includes("default") && r.cells[1].innerText === "3")`)
	browser.Click(t, `nav a[href*="/messages"]`)
	browser.Shows(t, "enqueued from", "2-find")
	typeInto(t, browser, `input[name="openid"]`, openid)
	browser.Click(t, `form[role="search"] button`)
	browser.Shows(t, "dead-2", "3-found")
	browser.Click(t, `a[href*="id=dead-2"]`)
	browser.Shows(t, "The card, values masked", "4-story")
	browser.Click(t, `button[value="retry"]`)
	browser.Shows(t, "Send message dead-2 again?", "5-confirm")
	browser.Click(t, `button.main`)
	browser.Shows(t, "Put on its queue again.", "6-retried")
	if got := b.state(t, "dead-2"); got != ledger.Queued {
		t.Errorf("dead-2: %s", got)
	}
	browser.Click(t, `nav a[href*="/dead"]`)
	browser.Shows(t, "Retry all 2", "7-dead")
	browser.Click(t, `tbody button[value="retry"]`)
	browser.Shows(t, "Dead letters to send again: 2", "8-confirm-all")
	browser.Click(t, `button.main`)
	browser.Shows(t, "2 of 2 done, 0 failed", "9-run")
	browser.Click(t, `nav a[href*="/console/?"]`)
	browser.Shows(t, "Quota of the day", "10-overview")
	browser.Click(t, `#g-`+account+` button`)
	browser.Shows(t, "Stop sending: account", "11-pause")
	typeInto(t, browser, `input[name="reason"]`, "wrong template")
	browser.Click(t, `button.danger`)
	browser.Shows(t, "wrong template", "12-paused")
	browser.Click(t, `#g-`+account+` button`)
	browser.Shows(t, "Send again: account", "13-resume")
	browser.Click(t, `button.main`)
	browser.Shows(t, "Resumed.", "14-resumed")
	browser.Click(t, `nav a[href*="/audit"]`)
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

// violations runs axe-core on the page, which .ci/axe/run names. Other runs leave it out.
func violations(t *testing.T, b *browsertest.Browser) string {
	t.Helper()
	path := os.Getenv("WXNOTIFY_TEST_AXE")
	if path == "" {
		return "[]"
	}
	script := string(must[[]byte](t)(os.ReadFile(path)))
	browsertest.Do(t, b, "load axe-core", chromedp.Evaluate[string](script+";axe.version"))
	browsertest.Do(t, b, "start axe-core", chromedp.Evaluate[bool](`
		window.found = undefined;
		axe.run(document).then((r) => {
			window.found = JSON.stringify(r.violations.map((v) => [v.impact, v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html + " " + n.failureSummary)]));
		}, (e) => { window.found = String(e); });
		true`))
	return browsertest.Poll[string](t, b, "axe-core ends", `window.found`)
}

func accessible(t *testing.T, b *browsertest.Browser, what string) {
	t.Helper()
	if found := violations(t, b); found != "[]" {
		t.Errorf("%s: axe-core: %s", what, found)
	}
}

// axe-core is loaded and finds what is wrong.
func TestChromiumRunsAxe(t *testing.T) {
	t.Parallel()
	if os.Getenv("WXNOTIFY_TEST_AXE") == "" {
		t.Skip("run by .ci/axe/run")
	}
	browser := browsertest.New(t, browsertest.Config{})
	b := setup(t)
	browser.Visit(t, b.url+"/", "Overview", "axe")
	browsertest.Do(t, browser, "break the page", chromedp.Evaluate[bool](`document.body.append(new Image()); true`))
	if found := violations(t, browser); !strings.Contains(found, "image-alt") {
		t.Errorf("axe-core: %s", found)
	}
}

// Every page fits the screen of a phone, in both languages.
func TestChromiumShowsEveryPageOnDesktopAndPhone(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{})
	b := setupWith(t, redistest.Start(t).Client(t), console.Config{TwoPersons: true, LinkKey: wechat.NewSecret(linkKey)})
	b.full(t)
	b.logOut = true
	b.askToDrop(t)
	made := b.post(t, "/share", append(b.get(t, "/message?id=dead-1").hidden(t, "/console/share"), "hours", "8")...)
	link := regexp.MustCompile(`href="/console(/shared/[^"]*)"`).FindStringSubmatch(made.body)[1]
	found := b.post(t, "/messages", "template", strings.Repeat("T", 60))
	search := "/messages?query=" + regexp.MustCompile(`query=([^"&]*)`).FindStringSubmatch(found.body)[1]
	for _, s := range screens() {
		use(t, browser, s)
		for lang, overview := range map[string]string{"en": "Overview", "zh": "概览"} {
			for _, path := range append(pages(), "/approvals", search, link) {
				if path == "/none" {
					continue
				}
				separator := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
				picture := strings.Join([]string{s.name, lang, strings.NewReplacer("/", "", "?", "-", "=", "-").Replace(path[:min(len(path), 20)])}, "-")
				text := overview
				if path == link {
					text = template
				}
				browser.Visit(t, b.url+path+separator+"lang="+lang, text, picture)
				accessible(t, browser, picture)
				wide := browsertest.Do(t, browser, "width", chromedp.Evaluate[float64](`document.documentElement.scrollWidth - innerWidth`))
				if wide > 0 {
					t.Errorf("%s: wider than the screen by %v px", picture, wide)
				}
				unmarked := browsertest.Do(t, browser, "tables that go on without a mark", chromedp.Evaluate[float64](
					`[...document.querySelectorAll("table")].filter((e) => { const s = e.closest(".scroll"); return s ? s.scrollWidth > s.clientWidth && !getComputedStyle(s).backgroundImage.includes("gradient") : e.scrollWidth > e.parentElement.clientWidth }).length`))
				if unmarked > 0 {
					t.Errorf("%s: %v tables go on without a mark", picture, unmarked)
				}
			}
		}
	}
	for _, line := range browser.Console() {
		t.Errorf("console: %s", line)
	}
}

// One operator asks to drop all, another one confirms; a colleague without a login reads
// a message's page.
func TestChromiumAsksASecondPersonAndSharesAStory(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{Language: "zh-CN"})
	b := setupWith(t, redistest.Start(t).Client(t), console.Config{TwoPersons: true, LinkKey: wechat.NewSecret(linkKey)})
	b.dead(t, 47003, "dead-1", "dead-2")
	browser.Visit(t, b.url+"/dead", "丢弃全部 2", "1-dead")
	browser.Click(t, `form[action$="/act-all"] button[value="drop"]`)
	browser.Shows(t, "确定吗", "2-confirm")
	accessible(t, browser, "confirm")
	browser.Click(t, `button.danger`)
	browser.Shows(t, "撤回", "3-asked")
	accessible(t, browser, "asked")
	b.name = "wang"
	browser.Visit(t, b.url+"/approvals", "拒绝", "4-second")
	accessible(t, browser, "second")
	browser.Click(t, `button[value="approve"]`)
	browser.Shows(t, "li 于", "5-confirm-second")
	browser.Click(t, `button.danger`)
	browser.Shows(t, "已完成 2 / 2", "6-run")
	browser.Visit(t, b.url+"/message?id=dead-1", "生成链接", "7-story")
	browser.Click(t, `form[action$="/share"] button`)
	browser.Shows(t, "复制此链接的地址", "8-link")
	accessible(t, browser, "link")
	browser.Click(t, `.secret a`)
	browser.Shows(t, "dead-1", "9-shared")
}

// A table that the operator has opened stays open while its numbers change.
func TestChromiumKeepsATableOpenWhileItIsLive(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{})
	b := setup(t)
	b.enqueue(t, "m-0")
	browser.Visit(t, b.url+"/?lang=en", "From the queue to the follower", "20-day")
	const open = `details:has(#dt-` + account + `)`
	browser.Click(t, open+` summary`)
	browser.Shows(t, "enqueued\t1", "21-table")
	browser.Click(t, `h1`) // the table is not in use
	for i := range 16 {
		b.enqueue(t, fmt.Sprint("more-", i))
	}
	browser.Shows(t, "enqueued\t17", "22-live")
	if !browsertest.Do(t, browser, "open", chromedp.Evaluate[bool](`document.querySelector("`+open+`").open`)) {
		t.Error("the table was closed")
	}
	for _, line := range browser.Console() {
		t.Errorf("console: %s", line)
	}
}
