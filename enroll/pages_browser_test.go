package enroll_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/browsertest"
)

// faultsOf lists what a reader would stumble over: text that is small, pale or
// cut off, a button that a thumb misses, a page wider than its screen.
const faultsOf = `(() => {
	const faults = [], wide = document.documentElement.scrollWidth;
	if (wide > innerWidth) faults.push('scrolls sideways: ' + wide + ' in ' + innerWidth);
	const rgb = s => s.match(/[\d.]+/g).map(Number);
	const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = e => {
		for (; e; e = e.parentElement) {
			const c = rgb(getComputedStyle(e).backgroundColor);
			if (c.length < 4 || c[3] === 1) return c;
		}
		return [255, 255, 255];
	};
	const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
	for (const e of document.body.querySelectorAll('*')) {
		const style = getComputedStyle(e), box = e.getBoundingClientRect();
		const text = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
		if (e.tagName === 'svg') {
			const c = contrast(rgb(style.stroke), ground(e.parentElement));
			if (c < 3) faults.push('icon has a contrast of ' + c.toFixed(2));
		}
		if (/^(A|BUTTON)$/.test(e.tagName) && (box.height < 44 || box.width < 44)) faults.push('button of ' + box.width + 'x' + box.height);
		if (e.tagName === 'IMG' && (!e.complete || e.naturalWidth < 400 || box.width < 200)) faults.push('picture of ' + e.naturalWidth + ' px on ' + box.width);
		if (!text) continue;
		const c = contrast(rgb(style.color), ground(e)), size = parseFloat(style.fontSize);
		if (c < 4.5) faults.push(text + ' has a contrast of ' + c.toFixed(2));
		if (size < (e.closest('footer') ? 14 : 16)) faults.push(text + ' is ' + size + ' px');
		if (box.left < 0 || box.right > innerWidth || e.scrollWidth > e.clientWidth + 1 && style.display !== 'inline') faults.push(text + ' is cut off');
	}
	return faults;
})()`

// screen is where a page is looked at.
type screen struct {
	name, agent   string
	width, height int64
	scheme        string
}

func screens() []screen {
	return []screen{
		{"phone", onWeChat, 375, 812, "light"},
		{"phone-dark", onWeChat, 375, 812, "dark"},
		{"browser", onPhone, 320, 640, "light"},
		{"desk", onDesk, 1280, 800, "light"},
	}
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

// gallery serves /<page>?<language> as a reader with that agent sees it.
func gallery(t *testing.T, agent string, build func(name string) enroll.Page) string {
	t.Helper()
	show, err := newShow()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept-Language", r.URL.RawQuery)
		r.Header.Set("User-Agent", agent)
		show(w, r, build(r.URL.Path[1:]))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// meant is a page as a follower meets it: with what belongs to it, and no more.
func meant(t *testing.T, name string) enroll.Page {
	t.Helper()
	v := whole(t, name)
	v.Status, v.Refresh = http.StatusOK, 0 // the console would complain of other statuses
	if name != "scan" && name != "follow" {
		v.QR = nil
	}
	if name == "spent" || name == "taken" || name == "invalid" {
		v.User = ""
	}
	switch name {
	case "confirm":
		v.Link, v.Wrong = "", ""
	case "scan":
		v.Refresh, v.Link, v.Wrong = time.Hour, "", ""
	case "bound", "enrolled", "follow", "snapshot":
		v.Wrong = ""
	case "spent", "invalid", "missing", "notfound", "mismatch":
		v.Link = ""
	}
	return v
}

func TestChromiumShowsEveryPage(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, browsertest.Config{})
	for _, s := range screens() {
		url := gallery(t, s.agent, func(name string) enroll.Page { return meant(t, name) })
		use(t, b, s)
		for _, name := range enroll.PageNames() {
			for _, lang := range []string{"zh", "en"} {
				look(t, b, url+"/"+name+"?"+lang, name+"-"+lang+"-"+s.name)
			}
		}
	}
}

// look opens a page, lists its faults and keeps a picture.
func look(t *testing.T, b *browsertest.Browser, url, picture string) {
	t.Helper()
	browsertest.Do(t, b, "open "+url, chromedp.Navigate(url))
	for _, fault := range browsertest.Do(t, b, "faults", chromedp.Evaluate[[]string](faultsOf)) {
		t.Errorf("%s: %s", picture, fault)
	}
	b.Screenshot(t, picture)
	for _, said := range b.Console() {
		t.Errorf("%s: console: %s", picture, said)
	}
}

// Names from elsewhere are long, unbroken or in another direction; a page
// with everything on it is long as well. None may break it.
func TestChromiumShowsOddTexts(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, browsertest.Config{})
	odd := map[string]string{"long": strings.Repeat("无", 80), "unbroken": strings.Repeat("W", 80), "arabic": "عيادة الصباح 12", "hostile": `"><script>alert(1)</script><b style="x">`}
	use(t, b, screens()[2])
	for which, text := range odd {
		url := gallery(t, onPhone, func(name string) enroll.Page {
			v := whole(t, name)
			v.Status, v.Refresh, v.Account, v.Wrong, v.User = http.StatusOK, time.Hour, text, text, text
			return v
		})
		for _, name := range []string{"scan", "confirm", "snapshot", "mismatch"} {
			look(t, b, url+"/"+name+"?en", name+"-"+which)
		}
	}
}

// After yes the browser is redirected to the business's page, and from there to another
// site. Browsers apply the page's form-action to all of these redirects.
func TestChromiumFollowsTheAnswer(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, browsertest.Config{})
	last := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<title>the shop</title><link rel=icon href=data:,><h1>welcome to the shop</h1>")
	}))
	t.Cleanup(last.Close)
	business := httptest.NewServer(http.RedirectHandler(last.URL, http.StatusFound))
	t.Cleanup(business.Close)
	show, err := newShow()
	must(t, err)
	var answer url.Values // written before the browser goes on
	ours := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/enroll/wx/callback" && r.ParseForm() == nil {
			answer = r.PostForm
			http.Redirect(w, r, business.URL, http.StatusSeeOther)
			return
		}
		v := enroll.NamedPage("confirm")
		v.Form = &enroll.PageForm{State: "0state", Code: "c0de", LeadsTo: []string{business.URL}}
		show(w, r, v)
	}))
	t.Cleanup(ours.Close)
	browsertest.Do(t, b, "open", chromedp.Navigate(ours.URL+"/enroll/wx/callback?state=0state&code=c0de"))
	browsertest.Do(t, b, "say yes", chromedp.Evaluate[any](`document.querySelector("button[value=yes]").click()`))
	b.Shows(t, "welcome to the shop", "after-yes")
	if got := answer.Encode(); got != "answer=yes&code=c0de&state=0state" {
		t.Errorf("sent %s", got)
	}
	for _, said := range b.Console() {
		t.Errorf("console: %s", said)
	}
}
