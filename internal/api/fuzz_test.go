package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzBody: no body makes the server fail, and what is accepted is enqueued.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{body, `{"messages":[` + body + `]}`, `{"messages":[{}]}`, `[]`, `{"id":1}`, "\xef\xbb\xbf" + body, `{"message":{"data":{"a":{"value":"\ud800"}}}}`} {
		f.Add(seed)
	}
	s := newStand(f)
	f.Fuzz(func(t *testing.T, text string) {
		must(t, s.rdb.FlushAll(t.Context()).Err())
		secret := s.key(t, appid, nil)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/messages", strings.NewReader(text))
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		switch {
		case w.Code >= http.StatusInternalServerError:
			t.Errorf("%d %s", w.Code, w.Body)
		case w.Code == http.StatusAccepted && pending(t, s.rdb) != 1:
			t.Errorf("accepted, and %d tasks", pending(t, s.rdb))
		case w.Code == http.StatusUnprocessableEntity && pending(t, s.rdb) != 0:
			t.Errorf("refused, and %d tasks", pending(t, s.rdb))
		}
	})
}
