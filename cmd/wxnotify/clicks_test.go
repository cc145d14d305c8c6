package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/crypto/bcrypt"

	"github.com/wxnotify/wxnotify/internal/browsertest"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	clickedRun = 2000 // messages
	// Openids of the run: the simulator has 12 of the first kind and 3 of the second fail.
	doomedFollower, brokenFollower, leftFollower = "oDoomed%021d", "oBroken%021d", "oLeft%023d"
)

// clickedWorld is serve with a simulator, four logins and followers whose messages fail in
// three ways.
func clickedWorld(t *testing.T) (w *world, ops string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	check(t, err)
	var users strings.Builder
	for name, role := range map[string]string{"wang": "view", "li": "support", "zhao": "operate", "sun": "admin"} {
		_, _ = fmt.Fprintf(&users, "%s:%s:%s\n", name, role, hash)
	}
	public := testutil.FreeAddr(t)
	ops = testutil.FreeAddr(t)
	w = newWorld(t, redistest.Start(t).UserURL(t), "--callback-url", "http://"+public+"/callback/"+wechattest.AppID, "--callback-token", "clickstoken")
	w.env = w.with("WXNOTIFY_OPS_ADDR", ops, "WXNOTIFY_OPS_USERS_FILE", testutil.File(t, "users", users.String()), "WXNOTIFY_RATE", "250",
		"WXNOTIFY_PUBLIC_ADDR", public, "WXNOTIFY_API_ADDR", "-", "WXNOTIFY_CALLBACK_TOKEN", "clickstoken")
	var replies []map[string]any
	for i := range 15 {
		openid, errcode := fmt.Sprintf(doomedFollower, i), 777777
		if i >= 12 {
			openid, errcode = fmt.Sprintf(brokenFollower, i), 777778
		}
		replies = append(replies, map[string]any{"do": "errcode", "errcode": errcode, "openid": openid, "forever": true})
	}
	w.control(t, "POST", "/_sim/script", map[string]any{"replies": replies}, nil)
	w.control(t, "POST", "/_sim/followers", map[string]any{"do": "unfollow", "openids": []string{fmt.Sprintf(leftFollower, 0)}}, nil)
	start(t, w.env, "serve").says(t, "worker started")
	return w, ops
}

// enqueueClicked enqueues the run.
func enqueueClicked(t *testing.T, w *world) {
	t.Helper()
	var lines strings.Builder
	for i := range clickedRun {
		openid := fmt.Sprintf("oFollower%019d", i)
		switch {
		case i < 12:
			openid = fmt.Sprintf(doomedFollower, i)
		case i < 15:
			openid = fmt.Sprintf(brokenFollower, i)
		case i < 40:
			openid = fmt.Sprintf(leftFollower, 0)
		}
		_, _ = fmt.Fprintf(&lines, `{"id":"order-%d","message":{"touser":%q,"template_id":%q,"data":{"thing1":{"value":"茶"},"time2":{"value":"2026-11-26 10:00"},"amount3":{"value":"¥1.00"}}}}`+"\n",
			i, openid, wechattest.TemplateOrderPaid)
	}
	inProcess(t, w.env, "send", "--json", testutil.File(t, "run.ndjson", lines.String())).has(t, exitDone)
}

// seat is a browser with a login.
type seat struct {
	*browsertest.Browser
	url     string
	chinese bool
}

func logIn(t *testing.T, ops, name string, c browsertest.Config) seat {
	t.Helper()
	s := seat{browsertest.New(t, c), "http://" + ops + "/console", c.Language != ""}
	browsertest.Do(t, s.Browser, "log in as "+name, chromedp.Navigate("http://"+name+":pw@"+ops+"/console/"))
	return s
}

func (s seat) fill(t *testing.T, selector, text string) {
	t.Helper()
	browsertest.Do(t, s.Browser, "type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// until waits for a condition on the page.
func (s seat) until(t *testing.T, what, condition string) {
	t.Helper()
	browsertest.Poll[bool](t, s.Browser, what, condition)
}

func (s seat) count(t *testing.T, selector string) int {
	t.Helper()
	return browsertest.Do(t, s.Browser, "count "+selector, chromedp.Evaluate[int](`document.querySelectorAll(`+fmt.Sprintf("%q", selector)+`).length`))
}

// refuses opens a page by its address.
func (s seat) refuses(t *testing.T, path string) {
	t.Helper()
	s.Visit(t, s.url+path, map[bool]string{true: "您的角色", false: "Your role does not permit this."}[s.chinese], "refused"+strings.ReplaceAll(path, "/", "-"))
}

// fits reports what is wider than the screen.
func (s seat) fits(t *testing.T, what string) {
	t.Helper()
	if wide := browsertest.Do(t, s.Browser, "width", chromedp.Evaluate[float64](`document.documentElement.scrollWidth - innerWidth`)); wide > 0 {
		t.Errorf("%s: wider than the screen by %v px", what, wide)
	}
}

// Four operators work on a run of 2 000 messages by clicking, each as far as the role goes:
// one watches, one finds a message, one pauses, resumes, retries one and all of a cause,
// one reads the audit trail.
func TestChromiumOperatesARunByClicking(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a run takes a minute")
	}
	w, ops := clickedWorld(t)
	card := func(letter string) string { return "#" + letter + "-" + wechattest.AppID }
	watcher := logIn(t, ops, "wang", browsertest.Config{})
	operator := logIn(t, ops, "zhao", browsertest.Config{})
	watcher.Shows(t, "Quota of the day", "01-view-before")
	if n := watcher.count(t, "button") + watcher.count(t, `nav a[href*="/messages"]`); n != 0 {
		t.Errorf("role view is offered %d actions and searches", n)
	}
	const used = `Number(/used ([\d,]+)/.exec(document.body.innerText)[1].replaceAll(",", ""))`
	browsertest.Do(t, watcher.Browser, "mark the page", chromedp.Evaluate[bool](`window.sameLoad = true`))
	enqueueClicked(t, w)
	watcher.until(t, "numbers grow", used+` >= 100`)
	watcher.Screenshot(t, "02-view-live")

	operator.Shows(t, "Quota of the day", "03-operate")
	operator.Click(t, card("g")+" button")
	operator.Shows(t, "Stop sending: account", "04-pause")
	operator.fill(t, `input[name="reason"]`, "wrong price in the text")
	operator.Click(t, "button.danger")
	operator.Shows(t, "Paused.", "05-paused")
	watcher.until(t, "the pause is live", `document.querySelector("`+card("g")+` .badge").innerText === "stopped" && document.body.innerText.includes("zhao (console): wrong price in the text")`)
	watcher.Screenshot(t, "06-view-paused")
	operator.Click(t, card("g")+" button")
	operator.Shows(t, "Send again: account", "07-resume")
	operator.Click(t, "button.main")
	operator.Shows(t, "Resumed.", "08-resumed")
	watcher.until(t, "the resumption is live", `document.querySelector("`+card("g")+` .badge").innerText === "open"`)
	watcher.until(t, "numbers grow on, and 15 are dead", used+` >= `+strconv.Itoa(clickedRun)+` && document.querySelector("`+card("f")+` .big").innerText.startsWith("15 ")`)
	watcher.Shows(t, "43004", "09-view-ended")
	if !browsertest.Do(t, watcher.Browser, "same load", chromedp.Evaluate[bool](`window.sameLoad === true`)) {
		t.Error("the page was loaded again")
	}
	watcher.refuses(t, "/messages")
	watcher.refuses(t, "/keys")

	support := logIn(t, ops, "li", browsertest.Config{Language: "zh-CN"})
	browsertest.Do(t, support.Browser, "phone", chromedp.EmulateViewport(375, 700)) // a window is 500 px wide at least
	support.Click(t, `nav a[href*="/messages"]`)
	support.Shows(t, "入队时间", "10-support-find")
	support.fill(t, `input[name="openid"]`, fmt.Sprintf(doomedFollower, 7))
	support.Click(t, `form[role="search"] button`)
	support.Shows(t, "order-7", "11-support-found")
	support.fits(t, "what was found")
	support.Click(t, `a[href*="id=order-7"]`)
	support.Shows(t, "777777", "12-support-story")
	support.fits(t, "a story")
	if n := support.count(t, `button[value="retry"], button[value="drop"], nav a[href*="/keys"]`); n != 0 {
		t.Errorf("role support is offered %d actions", n)
	}
	support.refuses(t, "/keys")

	w.control(t, "POST", "/_sim/script", map[string]any{"clear": true}, nil) // the cause is mended
	operator.Click(t, `nav a[href*="/messages"]`)
	operator.Shows(t, "enqueued from", "13-find")
	operator.fill(t, `input[name="openid"]`, fmt.Sprintf(doomedFollower, 7))
	operator.Click(t, `form[role="search"] button`)
	operator.Shows(t, "order-7", "14-found")
	operator.Click(t, `a[href*="id=order-7"]`)
	operator.Shows(t, "The card, values masked", "15-story")
	operator.Click(t, `button[value="retry"]`)
	operator.Shows(t, "Send message order-7 again?", "16-confirm")
	operator.Click(t, "button.main")
	operator.Shows(t, "Sent again by an operator (1 so far)", "17-retried")
	operator.Click(t, `nav a[href*="/dead"]`)
	operator.Shows(t, "Retry all 14", "18-dead")
	operator.Click(t, `tr:has(code) button[value="retry"]`)
	operator.Shows(t, "Dead letters to send again: 11", "19-confirm-all")
	operator.Click(t, "button.main")
	operator.Shows(t, "11 of 11 done, 0 failed", "20-run")
	operator.refuses(t, "/keys")
	testutil.Until(t, "all 12 are sent", func() bool {
		return strings.Count(inProcess(t, w.env, "messages", "--state", "accepted,delivered", "--limit", "0").stdout, "\n") == clickedRun-25-3
	})

	admin := logIn(t, ops, "sun", browsertest.Config{Language: "zh-CN"})
	admin.Click(t, `nav a[href*="/keys"]`)
	admin.Shows(t, "API 密钥", "21-admin-keys")
	admin.Click(t, `nav a[href*="/audit"]`)
	admin.Shows(t, "zhao (console)", "22-admin-audit")
	for _, s := range []seat{watcher, operator, support, admin} {
		for _, line := range s.Console() {
			if !strings.Contains(line, http.StatusText(http.StatusForbidden)) && !strings.Contains(line, "403") {
				t.Errorf("console: %s", line)
			}
		}
	}
}
