package console_test

import (
	"net/http"
	"strings"
	"testing"
)

// Requests that fail before the link is read show a page without navigation, too: it names
// the accounts.
func TestAFailedRequestWithoutALoginShowsNoNavigation(t *testing.T) {
	t.Parallel()
	b := withLinks(t)
	for _, query := range []string{"?account=nope", "?account=%zz", "?x=1;y=2"} {
		for _, header := range [][]string{nil, {"Accept-Language", "zh"}} {
			page := b.stranger(t, http.MethodGet, "/console/shared/AAAA"+query, header...)
			for _, never := range []string{"<nav", "<script", "<form", account, "asynqmon"} {
				if strings.Contains(page.body, never) {
					t.Errorf("%s: %d, the page has %q", query, page.status, never)
				}
			}
		}
	}
}
