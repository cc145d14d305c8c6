package browsertest_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/browsertest"
)

func TestVisitWaitsForTheTextAndRecordsTheConsole(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'")
		_, _ = w.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><body>` +
			`<script>setTimeout(() => document.body.append("a late text"), 200); throw new Error("broken")</script>`))
	}))
	t.Cleanup(server.Close)
	b := browsertest.New(t, browsertest.Config{})
	if dom := b.Visit(t, server.URL, "a late text", "late"); !strings.Contains(dom, "a late text") {
		t.Errorf("DOM = %s", dom)
	}
	if shot, err := os.Stat(filepath.Join(t.ArtifactDir(), "late.png")); err != nil || shot.Size() == 0 {
		t.Errorf("no screenshot: %v", err)
	}
	if messages := strings.Join(b.Console(), "\n"); !strings.Contains(messages, "exception") || !strings.Contains(messages, "Content Security Policy") {
		t.Errorf("console = %q, want the exception and the refused icon", messages)
	}
	if messages := b.Console(); len(messages) != 0 {
		t.Errorf("console messages are returned twice: %q", messages)
	}
}

// A page that grows above a button moves it from under the mouse.
func TestClickHitsAButtonThatMoves(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><body><div id="above"></div>` +
			`<button onclick="document.body.append('got ' + ++window.n)">press</button>` +
			`<script>window.n = 0; let m = 0; addEventListener("mousedown", () => { if (++m < 3) above.style.height = (300 * m) + "px" })</script>`))
	}))
	t.Cleanup(server.Close)
	b := browsertest.New(t, browsertest.Config{})
	b.Visit(t, server.URL, "press", "before")
	b.Click(t, "button")
	b.Shows(t, "got 1", "after")
}
