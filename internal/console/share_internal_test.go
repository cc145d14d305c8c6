package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestALinkExpires(t *testing.T) {
	t.Parallel()
	links, err := newLinkSealer("canary-key-of-links-0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	c := &Console{cfg: Config{Accounts: []Account{{AppID: "wxa"}}}, links: links, words: wordsOf()}
	if c.pages, err = parsePages(c.words); err != nil {
		t.Fatal(err)
	}
	c.runs = &runs{}
	link, err := links.seal(sealedShare, share{"wxa", "m-1", time.Now().Add(-time.Second).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	c.open = c.openRoutes()
	for lang, text := range map[wechat.Lang]string{wechat.English: "This link has expired", wechat.Chinese: "该链接已失效"} {
		w := httptest.NewRecorder()
		c.ServeShared(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console/shared/"+link+"?lang="+string(lang), http.NoBody))
		if w.Code != http.StatusGone || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s: %d %s", lang, w.Code, w.Body)
		}
	}
}
