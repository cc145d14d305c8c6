package console_test

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/internal/browsertest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// An operator who has clicked into the page sees changes all the same: what is in use keeps
// the focus and shows the new state.
func TestChromiumShowsAPauseInThePartThatIsInUse(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t, browsertest.Config{})
	b := setup(t)
	browser.Visit(t, b.url+"/?lang=en", "Quota of the day", "30-open")
	const button = `#g-` + account + ` button`
	browsertest.Do(t, browser, "focus", chromedp.Focus(chromedp.CSS(button)))
	if err := b.account.Gate.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual, Detail: "wang: stocktaking"}); err != nil {
		t.Fatal(err)
	}
	browser.Shows(t, "wang: stocktaking", "31-paused")
	if now := browsertest.Do(t, browser, "focus stays", chromedp.Evaluate[string](`document.activeElement.innerText`)); now != "Resume" {
		t.Errorf("the focus is on %q", now)
	}
	if err := b.account.Gate.Open(t.Context(), ratelimit.ReasonManual); err != nil {
		t.Fatal(err)
	}
	browsertest.Poll[bool](t, browser, "the badge is open again", `document.querySelector("#g-`+account+` .badge").innerText === "open"`)
}

// The overview is read once a second for all who look; after a change it is read anew.
func TestThePageAfterAChangeShowsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.get(t, "/").must(t, "before", http.StatusOK, `value="pause"`)
	for _, row := range []struct{ do, shows string }{{"pause", "until an admin opens it"}, {"resume", `<span class="badge good">open</span>`}} {
		page := b.get(t, "/")
		b.confirm(t, b.post(t, "/gate", append(page.hidden(t, "/console/gate"), "do", row.do)...), "/gate").must(t, "after "+row.do, http.StatusOK, row.shows)
	}
}
