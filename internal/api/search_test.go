package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/apikey"
)

type listed struct {
	Messages []struct{ ID, State, To string }
	Next     string
}

func list(t *testing.T, s *stand, secret, query string) listed {
	t.Helper()
	a := want(t, s.call(t, "GET", "/v1/messages"+query, secret, ""), http.StatusOK)
	var out listed
	must(t, json.Unmarshal(a.Body, &out))
	return out
}

func TestMessagesAreListedByFiltersTheNewestFirst(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	for i := range 7 {
		text := message(fmt.Sprint("m", i))
		if i%2 == 1 {
			text = strings.Replace(text, "VWXYZ1", "VWXYZ2", 1)
		}
		want(t, s.call(t, "POST", "/v1/messages", secret, text), http.StatusAccepted)
	}
	want(t, s.call(t, "DELETE", "/v1/messages/m3", secret, ""), http.StatusOK)
	for query, n := range map[string]int{
		"": 7, "?to=oABCDEFGHIJKLMNOPQRSTUVWXYZ2": 3, "?to=oNobody": 0, "?state=cancelled": 1, "?state=queued,cancelled": 7,
		"?state=queued&to=oABCDEFGHIJKLMNOPQRSTUVWXYZ2": 2, "?errcode=43004": 0, "?until=2020-01-01T00:00:00Z": 0, "?since=2020-01-01T00:00:00Z": 7,
		"?template_id=ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY": 7, "?template_id=other": 0, "?user=nobody": 0,
	} {
		if got := list(t, s, secret, query); len(got.Messages) != n {
			t.Errorf("%s: %d messages, want %d: %+v", query, len(got.Messages), n, got)
		}
	}
	reader := s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Read} })
	seen := map[string]bool{}
	next, pages := "", 0
	for ; pages < 20; pages++ {
		page := list(t, s, reader, "?limit=2&cursor="+url.QueryEscape(next))
		for _, m := range page.Messages {
			if seen[m.ID] || strings.Contains(m.To, "VWXYZ") {
				t.Errorf("message %+v", m)
			}
			seen[m.ID] = true
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(seen) != 7 || pages < 3 {
		t.Errorf("%d messages on %d pages", len(seen), pages+1)
	}
}

func TestWrongParametersOfTheListAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	a := want(t, s.call(t, "GET", "/v1/messages?state=gone&limit=0&since=yesterday&errcode=x&too=o1&to=a&to=b", secret, ""), http.StatusBadRequest)
	for _, pointer := range []string{"/state", "/limit", "/since", "/errcode", "/too", "/to"} {
		if !strings.Contains(string(a.Body), `"pointer":"`+pointer+`"`) {
			t.Errorf("%s is not named: %s", pointer, a.Body)
		}
	}
	for _, query := range []string{
		"?cursor=x", "?cursor=-", "?cursor=zz%2d", "?limit=1001", "?errcode=0", "?a=%zz", "?user=%b2%e2", "?to=oSIM%E2%80%A601", "?to=%E6%B5%8B", "?user=", "?to=", "?template_id=&user=u", "?state=",
		"?since=2026-11-26T00:00:00Z&until=2026-11-26T00:00:00Z", "?since=2026-11-27T00:00:00Z&until=2026-11-26T00:00:00Z",
	} {
		want(t, s.call(t, "GET", "/v1/messages"+query, secret, ""), http.StatusBadRequest)
	}
	want(t, s.call(t, "GET", "/v1/messages?cursor=", secret, ""), http.StatusOK)
}

// FuzzList: no query makes the list fail.
func FuzzList(f *testing.F) {
	for _, seed := range []string{"cursor=abc-m1", "cursor=-", "state=queued,&limit=9", "since=2026-01-01T00:00:00Z", "a=%zz;", "to=%00&cursor=zzzzzzzzzzzzzzzz-a"} {
		f.Add(seed)
	}
	s := newStand(f)
	secret := s.key(f, appid, nil)
	f.Fuzz(func(t *testing.T, query string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/messages", nil)
		must(t, err)
		r.URL.RawQuery = query
		if a := s.do(r, secret); a.Status != http.StatusOK && a.Status != http.StatusBadRequest && a.Status != http.StatusTooManyRequests {
			t.Errorf("%q: %d %s", query, a.Status, a.Body)
		}
	})
}
