package enroll_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/enroll"
)

func TestLanguageOfTheReader(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		accept, explanation string
		zh                  bool
	}{
		{"", "names nothing", true},
		{"zh-CN,zh;q=0.9,en;q=0.8", "WeChat in China", true},
		{"zh-TW,zh;q=0.9,en-US;q=0.8", "Taiwan", true},
		{"zh-Hant-HK", "Hong Kong", true},
		{"ZH_cn", "an underscore is nonsense: names nothing", true},
		{"yue-HK", "Cantonese", true},
		{"en", "English", false},
		{"en-GB,en;q=0.9,zh;q=0.8", "prefers English", false},
		{"en;q=0.5, zh;q=0.8", "prefers Chinese, named last", true},
		{"zh;q=0.5, en;q=0.8", "prefers English, named last", false},
		{"zh, en", "two equal wishes", true},
		{"en, zh", "two equal wishes", false},
		{"en;q=0.7, zh;q=0.7, zh-TW;q=0.6", "two equal wishes", false},
		{"zh;q=0.3, en;q=0.7, zh-CN;q=0.7", "zh reaches en's wish after it", false},
		{"fr", "French", false},
		{"ja, ko;q=0.9", "Japanese and Korean", false},
		{"fr, zh;q=0.1", "French, and some Chinese", true},
		{"zh;q=0, en;q=0.1", "not Chinese", false},
		{"en;q=0, zh;q=0.1", "not English", true},
		{"en;q=0", "anything but English", true},
		{"fr, *;q=0.5", "anything, French first", false},
		{"en;q=0.8;level=1, zh ; Q=0.9 ", "spaces, cases, parameters", true},
		{";;,,;q=1,=", "only nonsense", true},
		{strings.Repeat("fr,", 300) + "zh", "long", true},
		{strings.Repeat("en,", 10_000), "longer than any browser's: not read", true},
		{"\x00\xff", "nonsense", true},
	} {
		if got := enroll.ReadsChinese(row.accept); got != row.zh {
			t.Errorf("%.60q (%s): Chinese %t", row.accept, row.explanation, got)
		}
	}
}

// A proxy may split the header in two.
func TestLanguageOverSeveralHeaders(t *testing.T) {
	t.Parallel()
	w := answer(t, http.MethodGet, enroll.NamedPage("bound"), "Accept-Language", "zh;q=0.1", "Accept-Language", "en")
	if lang := w.Header().Get("Content-Language"); lang != "en" {
		t.Errorf("answered in %s", lang)
	}
}

func TestInWeChat(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]bool{onWeChat: true, onWeChatPC: true, onPhone: false, onDesk: false, "": false} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("User-Agent", agent)
		if enroll.InWeChat(r) != want {
			t.Errorf("%.60q: %t", agent, !want)
		}
	}
}

func FuzzPageTexts(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, s, "zh")
	}
	f.Add("晨光口腔诊所", "https://shop.example.com/a?b=c", "en")
	f.Fuzz(func(t *testing.T, account, link, accept string) {
		if s := enroll.PageLine(account); !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") || utf8.RuneCountInString(s) > 41 {
			t.Errorf("%q became %q", account, s)
		}
		v := enroll.NamedPage("refused")
		v.Account, v.Link, v.Wrong = account, link, account
		w := answer(t, http.MethodGet, v, "Accept-Language", accept)
		body := w.Body.String()
		strictTags(t, body)
		if w.Code != http.StatusOK || !utf8.ValidString(body) {
			t.Errorf("%d, valid %t", w.Code, utf8.ValidString(body))
		}
	})
}

// strictTags counts the tags of a page: a text from elsewhere adds none.
func strictTags(t *testing.T, body string) {
	t.Helper()
	_, shown, _ := strings.Cut(body, "</style>")
	for tag, most := range map[string]int{"<a ": 1, "<svg": 1, "<path": 1, "<circle": 1, "<bdi": 2, "<p": 5, "<script": 0, "<img": 0, "<meta": 0, "<iframe": 0} {
		if n := strings.Count(strings.ToLower(shown), tag); n > most {
			t.Errorf("%d times %s", n, tag)
		}
	}
}
