// Package browsertest starts a headless Chromium for a test and records its console
// messages.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/internal/testutil"
)

// limit bounds the life of a browser, for tests that hang; patience bounds its start and
// each wait for a page. All are far above what a busy machine takes.
const (
	limit    = 9 * time.Minute
	patience = 3 * time.Minute
)

// Config of a browser. The zero value is an English desktop.
type Config struct {
	Language  string // of Accept-Language; default en-US
	UserAgent string // default: Chromium's own
	Width     int    // default 1280
	Height    int    // default 900
}

// Browser is one headless Chromium.
type Browser struct {
	Ctx context.Context //nolint:containedctx // chromedp's handle of the browser

	mu      sync.Mutex
	console []string
}

// New starts a Chromium until the test ends. If the binary is missing, the test is
// skipped, or fails if the environment variable CI is set. With -short the test is
// skipped because pages load slowly.
func New(t *testing.T, c Config) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("browser tests are skipped with -short")
	}
	if c.Language == "" {
		c.Language = "en-US"
	}
	if c.Width == 0 {
		c.Width, c.Height = 1280, 900
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", c.Language), chromedp.Flag("accept-lang", c.Language), chromedp.WindowSize(c.Width, c.Height),
		chromedp.WSURLReadTimeout(patience))
	if c.UserAgent != "" {
		options = append(options, chromedp.UserAgent(c.UserAgent))
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	b := &Browser{}
	ctx, stop := chromedp.NewContext(allocator, chromedp.WithListener(b.listen), chromedp.WithErrorf(t.Logf))
	t.Cleanup(stop)
	ctx, end := context.WithTimeout(ctx, limit)
	t.Cleanup(end)
	b.Ctx = ctx
	return b
}

func binary(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("CI") != "" { //nolint:forbidigo // CI is not a setting of ours
		t.Fatal("chromium is not installed: apt-get install chromium")
	}
	t.Skip("chromium is not installed: apt-get install chromium")
	return ""
}

func (b *Browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		b.console = append(b.console, string(e.Entry.Source)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, "exception: "+e.ExceptionDetails.Text)
	}
}

// Console returns the console messages since the last call: violations of the
// content security policy, missing files, exceptions.
func (b *Browser) Console() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages := b.console
	b.console = nil
	return messages
}

// Do runs an action. If it fails, the test fails with the page and the console.
func Do[T any](t *testing.T, b *Browser, what string, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b.Ctx, a)
	if err != nil {
		dom, _ := chromedp.Run(b.Ctx, chromedp.OuterHTML(chromedp.CSS("html")))
		_, body, _ := strings.Cut(dom, "<body")
		t.Fatalf("%s: %v\nconsole: %.2000q\n%.9000s", what, err, b.Console(), body)
	}
	return v
}

// Visit opens a page, waits for a text in it, saves a screenshot, and returns the
// DOM.
func (b *Browser) Visit(t *testing.T, url, text, picture string) string {
	t.Helper()
	Do(t, b, "open "+url, chromedp.Navigate(url))
	return b.Shows(t, text, picture)
}

// Shows waits for a text on the page, also if the page reloads itself,
// saves a screenshot, and returns the DOM.
func (b *Browser) Shows(t *testing.T, text, picture string) string {
	t.Helper()
	Poll[bool](t, b, "the page shows "+text, `!!document.body && document.body.innerText.includes("`+strings.ReplaceAll(text, `"`, `\"`)+`")`)
	b.Screenshot(t, picture)
	return Poll[string](t, b, "DOM", "document.documentElement.outerHTML")
}

// Poll waits until an expression is true on the page, or on one that follows it, and
// returns its value.
func Poll[T any](t *testing.T, b *Browser, what, expression string) T {
	t.Helper()
	var v T
	var err error
	poll := chromedp.Poll[T](expression, chromedp.WithPollingTimeout(patience))
	testutil.Until(t, "the page stays while it is asked", func() bool {
		v, err = chromedp.Run(b.Ctx, poll)
		return err == nil || !isLeft(err)
	})
	if err != nil {
		return Do(t, b, what, poll)
	}
	return v
}

// isLeft reports whether a page was left while it was asked. Chromium has several words
// for that.
func isLeft(err error) bool {
	return slices.ContainsFunc([]string{"navigated", "Cannot find context", "context was destroyed", "No node with given id"}, func(word string) bool {
		return strings.Contains(err.Error(), word)
	})
}

// Click clicks an element with the mouse. A page that changes at that moment moves what
// is under the mouse: the click is made again until the element has got it.
func (b *Browser) Click(t *testing.T, selector string) {
	t.Helper()
	watch := fmt.Sprintf(`addEventListener("click", (e) => { window.clicked = !!e.target.closest(%q); }, {capture: true, once: true}); window.clicked = false`, selector)
	testutil.Until(t, "a click on "+selector, func() bool {
		Do(t, b, "find "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
		Do(t, b, "watch clicks", chromedp.Evaluate[bool](watch))
		if _, err := chromedp.Run(b.Ctx, chromedp.Click(chromedp.CSS(selector))); err != nil && !isLeft(err) {
			Do(t, b, "click "+selector, chromedp.Click(chromedp.CSS(selector)))
		}
		missed, err := chromedp.Run(b.Ctx, chromedp.Evaluate[bool](`window.clicked === false`))
		return err != nil || !missed // the next page knows of no click, or is not there yet
	})
}

// Screenshot saves picture.png among the test's artifacts.
func (b *Browser) Screenshot(t *testing.T, picture string) {
	t.Helper()
	shot := Do(t, b, "screenshot", chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), picture+".png"), shot, 0o600); err != nil {
		t.Fatal(err)
	}
}
