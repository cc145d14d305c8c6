package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// full has something on every page.
func (b *bundle) full(t *testing.T) {
	t.Helper()
	b.bind(t, user, openid)
	b.enqueue(t, "wait-1", phoned)
	b.dead(t, 47003, "dead-1", "dead-"+openid)
	if err := b.account.Ledger.Suppress(t.Context(), ledger.Suppression{OpenID: openid, Reason: "asked by " + phone, ByAdmin: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.account.Ledger.Audit(t.Context(), ledger.Entry{Action: "tested", Actor: "li", OpenID: openid, User: user, Detail: "call " + phone}); err != nil {
		t.Fatal(err)
	}
	if err := b.account.Gate.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonAccount, Detail: "openid " + openid + " " + phone}); err != nil {
		t.Fatal(err)
	}
	hook := must[webhook.Webhook](t)(b.account.Webhooks.Add(t.Context(), webhook.Webhook{URL: "https://shop.example.com/hooks/canary-secret-of-the-path?token=canary"}))
	must[webhook.Webhook](t)(b.account.Webhooks.Update(t.Context(), hook.ID, func(w *webhook.Webhook) { w.Disabled, w.Reason = time.Now(), "24 hours of failures" }))
	if err := b.rdb.LPush(t.Context(), "wxn:{"+account+"}:webhook:"+hook.ID+":log",
		`{"event":"1-0","type":"message.dead","at":"2026-11-26T08:00:00Z","status":500,"ms":12}`,
		`{"event":"1-1","type":"message.dead","at":"2026-11-26T08:01:00Z","error":"dial: refused, call `+phone+`","ms":3}`,
		`{"event":"1-2","type":"message.delivered","at":"2026-11-26T08:02:00Z","status":204,"ms":7}`).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := heartbeat.NewReporter(b.rdb, account, heartbeat.Worker{ID: "w", Host: "host-1", Version: "v1.2.3", Concurrency: 8}).Beat(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// pages are all that can be asked for by GET.
func pages() []string {
	return []string{
		"/", "/messages", "/message?id=wait-1", "/message?id=dead-1", "/dead", "/suppressions", "/roster", "/keys", "/templates", "/webhooks", "/runs", "/audit", "/none",
	}
}

// Every page, and all that they lead to, in both languages, below a prefix.
func TestNoPageShowsPersonalDataOrLeavesThePrefix(t *testing.T) {
	t.Parallel()
	const prefix = "/wx-ops"
	b := setupOn(t, redistest.Start(t).Client(t), prefix)
	b.full(t)
	links := regexp.MustCompile(`(?:href|action|src|data-live)="([^"]+)"`)
	for _, lang := range []string{"en", "zh"} {
		seen := map[string]bool{}
		next := append(pages(), b.post(t, "/messages").url.RequestURI()[len(prefix+"/console"):])
		for len(next) > 0 {
			path := next[0]
			next = next[1:]
			if seen[path] || strings.HasPrefix(path, "/live") {
				continue
			}
			seen[path] = true
			if strings.Contains(path, "lang=") {
				continue
			}
			page := b.get(t, path+map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]+"lang="+lang)
			if page.status >= http.StatusInternalServerError || page.status == http.StatusGone {
				t.Errorf("%s: %d %s", path, page.status, page.body)
			}
			for _, c := range append(canaries(), "canary-secret-of-the-path", "token=canary") {
				if strings.Contains(page.body, c) {
					t.Errorf("%s (%s) shows %q", path, lang, c)
				}
			}
			if strings.Contains(page.body, "&lt;") {
				t.Errorf("%s (%s) shows HTML as text: %s", path, lang, page.body)
			}
			for _, m := range links.FindAllStringSubmatch(page.body, -1) {
				link := strings.ReplaceAll(m[1], "&amp;", "&")
				below, inside := strings.CutPrefix(link, prefix+"/console")
				switch {
				case !strings.HasPrefix(link, prefix+"/") && link != "#main":
					t.Errorf("%s leads out of the prefix: %s", path, link)
				case inside && !strings.Contains(m[0], "action="):
					next = append(next, below)
				}
			}
		}
		if len(seen) < 20 {
			t.Errorf("%d pages only", len(seen))
		}
	}
}

func TestThePolicyForbidsInlineScripts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.full(t)
	for _, path := range pages() {
		page := b.get(t, path)
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if page.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
		if regexp.MustCompile(`<script>|style="|onclick|<style`).MatchString(page.body) {
			t.Errorf("%s has an inline script or style", path)
		}
	}
	for file, kind := range map[string]string{"style.css": "text/css", "console.js": "javascript", "icon.svg": "image/svg+xml"} {
		if page := b.get(t, "/"+file); page.status != http.StatusOK || !strings.Contains(page.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", file, page.status, page.header.Get("Content-Type"))
		}
	}
	for _, file := range []string{"/layout.html", "/pages", "/..%2fconsole.go"} {
		if page := b.get(t, file); page.status != http.StatusNotFound {
			t.Errorf("%s: %d", file, page.status)
		}
	}
}

// stream reads the first n events of a live page and then ends it.
func (b *bundle) stream(t *testing.T, page string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := must[*http.Request](t)(http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/live?page="+page, http.NoBody))
	resp := must[*http.Response](t)(b.client.Do(req)) //nolint:bodyclose // closed below
	defer func() { _ = resp.Body.Close() }()
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, kind)
	}
	var events []string
	var event strings.Builder
	for scanner := bufio.NewScanner(resp.Body); len(events) < n && scanner.Scan(); {
		line, isData := strings.CutPrefix(scanner.Text(), "data: ")
		if isData {
			event.WriteString(line + "\n")
		} else if event.Len() > 0 {
			events = append(events, event.String())
			event.Reset()
		}
	}
	return events
}

func TestLivePagesSendTheirChangingPart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.full(t)
	if events := b.stream(t, "overview", 1); len(events) != 1 || !strings.Contains(events[0], `id="g-`+account) || strings.Contains(events[0], "<html") {
		t.Errorf("overview: %q", events)
	}
	if events := b.stream(t, "runs", 1); len(events) != 1 || !strings.Contains(events[0], "Nothing runs in the background") {
		t.Errorf("runs: %q", events)
	}
	close(b.stop)
	if events := b.stream(t, "overview", 5); len(events) != 1 {
		t.Errorf("a stream went on after the server's stop: %d events", len(events))
	}
}

func TestWithoutRedisPagesSaySo(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := setupOn(t, redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second}), "")
	t.Cleanup(func() { _ = b.rdb.Close() })
	server.Kill()
	b.get(t, "/").must(t, "the overview", http.StatusOK, "cannot be read", "gate:", "queues:", "workers:", "token:")
	for _, path := range []string{"/dead", "/suppressions", "/roster", "/keys", "/webhooks", "/audit", "/message?id=x"} {
		b.get(t, path).must(t, path, http.StatusServiceUnavailable, "This cannot be read or changed now")
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	t.Parallel()
	_, err := console.New(console.Config{Accounts: []console.Account{{AppID: account}}})
	if text := fmt.Sprint(err); !strings.Contains(text, "config.Redis") || !strings.Contains(text, "Config.Accounts[0]") {
		t.Error(text)
	}
	if _, err = console.New(console.Config{}); err == nil || !strings.Contains(err.Error(), "Config.Accounts: is required") {
		t.Error(err)
	}
}
