// Package browsertest gives tests a Chromium of their own, and what its console
// said.
package browsertest

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
)

// limit ends a browser whose test hangs.
const limit = 5 * time.Minute

// Config of a browser. The zero value speaks English on a desktop.
type Config struct {
	Language  string // of Accept-Language; default en-US
	UserAgent string // default: Chromium's own
	Width     int    // default 1280
	Height    int    // default 900
}

// Browser is one headless Chromium.
type Browser struct {
	Ctx context.Context //nolint:containedctx // chromedp keeps its browser there

	mu   sync.Mutex
	said []string
}

// New starts a Chromium for the length of the test. Without the binary the test
// is skipped, but fails where CI is set: CI must have it. A short run skips it
// too: pages take their time.
func New(t *testing.T, c Config) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser is left to the whole run")
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
		chromedp.Flag("lang", c.Language), chromedp.Flag("accept-lang", c.Language), chromedp.WindowSize(c.Width, c.Height))
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
		b.said = append(b.said, string(e.Entry.Source)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, "exception: "+e.ExceptionDetails.Text)
	}
}

// Complaints are what the console said since the last call: of the policy, of
// missing files, of errors.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

// Do runs an action; when it fails the test ends with what the page holds.
func Do[T any](t *testing.T, b *Browser, what string, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b.Ctx, a)
	if err != nil {
		dom, _ := chromedp.Run(b.Ctx, chromedp.OuterHTML(chromedp.CSS("html")))
		_, body, _ := strings.Cut(dom, "<body")
		t.Fatalf("%s: %v\nconsole: %.2000q\n%.9000s", what, err, b.Complaints(), body)
	}
	return v
}

// Visit opens a page, waits for a text in it, keeps a picture, and returns the DOM.
func (b *Browser) Visit(t *testing.T, url, text, picture string) string {
	t.Helper()
	Do(t, b, "open "+url, chromedp.Navigate(url))
	return b.Shows(t, text, picture)
}

// Shows waits for a text on the page, which may load itself anew meanwhile, keeps
// a picture, and returns the DOM.
func (b *Browser) Shows(t *testing.T, text, picture string) string {
	t.Helper()
	seen := chromedp.Poll[bool](
		`!!document.body && document.body.innerText.includes("`+strings.ReplaceAll(text, `"`, `\"`)+`")`,
		chromedp.WithPollingTimeout(30*time.Second))
	const reloads = 5
	for range reloads {
		if _, err := chromedp.Run(b.Ctx, seen); err == nil || !strings.Contains(err.Error(), "navigated") {
			break
		}
	}
	Do(t, b, "the page shows "+text, seen)
	b.Keep(t, picture)
	return Do(t, b, "DOM", chromedp.OuterHTML(chromedp.CSS("html")))
}

// Keep keeps a picture among the test's artifacts.
func (b *Browser) Keep(t *testing.T, picture string) {
	t.Helper()
	shot := Do(t, b, "picture", chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), picture+".png"), shot, 0o600); err != nil {
		t.Fatal(err)
	}
}
