package console_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

const linkKey = "canary-key-of-links-0123456789abcdef"

// withLinks is a console whose links need no login, below a prefix.
func withLinks(t *testing.T) *bundle {
	t.Helper()
	return setupWith(t, redistest.Start(t).Client(t), console.Config{Prefix: "/ops", LinkKey: wechat.NewSecret(linkKey)})
}

// stranger asks without a login.
func (b *bundle) stranger(t *testing.T, method, path string, header ...string) shown {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.console.ServeShared(w, r)
	return shown{w.Code, w.Body.String(), r.URL, w.Header()}
}

var sharedLink = regexp.MustCompile(`href="/ops(/console/shared/[A-Za-z0-9_-]+)"`)

// linkTo makes a link to a message.
func (b *bundle) linkTo(t *testing.T, page string) string {
	t.Helper()
	made := b.post(t, "/share", append(b.get(t, page).hidden(t, "/console/share"), "hours", "8")...)
	made.must(t, "the page of the link", http.StatusOK, "without a login, until <time>")
	found := sharedLink.FindStringSubmatch(made.body)
	if found == nil {
		t.Fatalf("no link in %s", made.body)
	}
	return found[1]
}

func TestALinkShowsOneMessageMaskedAndNothingElse(t *testing.T) {
	t.Parallel()
	b := withLinks(t)
	b.full(t)
	b.role = console.Support
	link := b.linkTo(t, "/message?id=dead-1")
	b.stranger(t, http.MethodGet, link).must(t, "the page", http.StatusOK, "47003", "Its story", "The card, values masked", "oCAN…Ef")
	for _, header := range [][]string{nil, {"Accept-Language", "zh"}} {
		page := b.stranger(t, http.MethodGet, link, header...)
		for _, canary := range canaries() {
			if strings.Contains(page.body, canary) {
				t.Errorf("the page shows %q", canary)
			}
		}
		for _, never := range []string{"<form", "<nav", "<script", "/console/messages", "/console/audit"} {
			if strings.Contains(page.body, never) {
				t.Errorf("the page has %s", never)
			}
		}
		if page.header.Get("X-Robots-Tag") != "noindex" || page.header.Get("Cache-Control") != "no-store" {
			t.Errorf("header %v", page.header)
		}
	}
	b.stranger(t, http.MethodGet, "/console/style.css").must(t, "the style sheet", http.StatusOK)
	for _, path := range []string{"/console/", "/console/messages", "/console/message?id=dead-1", "/console/console.js", "/console/audit", "/console/shared/", link + "/x"} {
		if page := b.stranger(t, http.MethodGet, path); page.status != http.StatusNotFound {
			t.Errorf("%s without a login: %d", path, page.status)
		}
	}
	if page := b.stranger(t, http.MethodPost, link); page.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", page.status)
	}
	if trail := b.trail(t); !strings.Contains(trail, "li (console) share  message dead-1 for 8h") {
		t.Errorf("the trail: %s", trail)
	}
}

func TestALinkHidesAnIDWithPersonalData(t *testing.T) {
	t.Parallel()
	b := withLinks(t)
	b.enqueue(t, phoned)
	page := b.post(t, "/messages", "id", phoned)
	made := b.post(t, "/share", append(page.hidden(t, "/console/share"), "hours", "1")...)
	if strings.Contains(made.body, phone) {
		t.Error("the page of the link shows the phone number")
	}
	link := sharedLink.FindStringSubmatch(made.body)[1]
	if shown := b.stranger(t, http.MethodGet, link); shown.status != http.StatusOK || strings.Contains(shown.body, phone) {
		t.Errorf("the linked page: %d", shown.status)
	}
}

func TestForgedAndForeignLinksAreRefused(t *testing.T) {
	t.Parallel()
	b := withLinks(t)
	b.enqueue(t, "wait-1")
	link := b.linkTo(t, "/message?id=wait-1")
	changed := []byte(link)
	changed[len(changed)-3] ^= 1
	for what, path := range map[string]string{"changed": string(changed), "cut": link[:len(link)-4], "guessed": "/console/shared/AAAA"} {
		b.stranger(t, http.MethodGet, path).must(t, what, http.StatusNotFound)
	}
	again := setupWith(t, b.rdb, console.Config{LinkKey: wechat.NewSecret(linkKey)})
	again.stranger(t, http.MethodGet, link).must(t, "in another process with the key", http.StatusOK, "wait-1")
	other := setupWith(t, b.rdb, console.Config{LinkKey: wechat.NewSecret(linkKey + "2")})
	other.stranger(t, http.MethodGet, link).must(t, "with another key", http.StatusNotFound, "ask for a new one")
	without := setupOn(t, b.rdb, "")
	without.stranger(t, http.MethodGet, link).must(t, "where there are no links", http.StatusNotFound)
	without.post(t, "/share").must(t, "made where there are none", http.StatusNotFound)
	if strings.Contains(without.get(t, "/message?id=wait-1").body, "/console/share") {
		t.Error("the page offers a link where there are none")
	}
}

func TestLinksAreMadeByRoleSupportForTheLivesThatAreOffered(t *testing.T) {
	t.Parallel()
	b := withLinks(t)
	b.enqueue(t, "wait-1")
	form := b.get(t, "/message?id=wait-1").hidden(t, "/console/share")
	for _, hours := range []string{"", "0", "-1", "1000000", "x"} {
		b.post(t, "/share", append(form, "hours", hours)...).must(t, "hours "+hours, http.StatusBadRequest)
	}
	b.role = console.View
	b.post(t, "/share", append(form, "hours", "8")...).must(t, "role view", http.StatusForbidden)
}
