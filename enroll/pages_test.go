package enroll_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
)

const (
	onDesk     = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
	onPhone    = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	onWeChat   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.60(0x18003c2f) NetType/WIFI Language/zh_CN"
	onWeChatPC = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI WindowsWechat"
	onHarmony  = "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile HuaweiBrowser/5.0.4.300"
)

// usualStatus is what a page answers when it is not told.
func usualStatus() map[string]int {
	return map[string]int{
		"scan": 200, "confirm": 200, "bound": 200, "enrolled": 200, "taken": 409, "toomany": 503, "follow": 200, "spent": 410, "invalid": 400, "mismatch": 403,
		"snapshot": 200, "busy": 503, "refused": 200, "missing": 400, "notfound": 404, "error": 500,
	}
}

// newShow builds the pages once for all tests, as a program does.
var newShow = sync.OnceValues(enroll.NewShow)

// answer asks for a page with headers, given as name and value.
func answer(t *testing.T, method string, v enroll.Page, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	show, err := newShow()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, "/enroll/wx0123456789abcdef?ticket=T", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	show(w, r, v)
	return w
}

// sampleQR holds an address with an enrolment ticket.
var sampleQR = sync.OnceValues(func() ([]byte, error) {
	return enroll.QRPNG("https://notify.example.com/enroll/wx0123456789abcdef?ticket=" + strings.Repeat("aZ09", 30))
})

// whole is a page with everything that it can have.
func whole(t *testing.T, name string) enroll.Page {
	t.Helper()
	qr, err := sampleQR()
	if err != nil {
		t.Fatal(err)
	}
	v := enroll.NamedPage(name)
	v.Account, v.QR, v.Link, v.Refresh, v.Wrong = "晨光口腔诊所", qr, "https://shop.example.com/orders/1001?from=wx", 3*time.Second, "E-STATE"
	v.User, v.Wait = "p***401", 40*time.Second
	if name == "confirm" {
		v.Form = &enroll.PageForm{State: "0abc", Code: "c0de", LeadsTo: []string{"https://open.weixin.qq.com/connect", "", "https://shop.example:8443/x?y"}}
	}
	return v
}

func TestEveryPageInEveryLanguage(t *testing.T) {
	t.Parallel()
	titles := map[string]string{}
	for _, name := range enroll.PageNames() {
		for accept, lang := range map[string]string{"zh-CN,zh;q=0.9": "zh-CN", "en-US,en;q=0.9": "en"} {
			w := answer(t, http.MethodGet, whole(t, name), "Accept-Language", accept, "User-Agent", onWeChat)
			body := w.Body.String()
			if w.Code != usualStatus()[name] {
				t.Errorf("%s: status %d", name, w.Code)
			}
			if !strings.Contains(body, `<html lang="`+lang+`">`) || w.Header().Get("Content-Language") != lang {
				t.Errorf("%s: not in %s", name, lang)
			}
			title := between(t, body, "<h1>", "</h1>")
			if other, twice := titles[title]; twice {
				t.Errorf("%s and %s have one title", name, other)
			}
			titles[title] = name
			for _, want := range []string{
				"<title>" + title + " · 晨光口腔诊所</title>", `content="width=device-width`, `<meta http-equiv="refresh" content="3">`,
				`href="https://shop.example.com/orders/1001?from=wx"`, "E-STATE", "p***401", `src="data:image/png;base64,`,
			} {
				if !strings.Contains(body, want) {
					t.Errorf("%s in %s lacks %q", name, lang, want)
				}
			}
			strict(t, name, w.Header(), body)
		}
	}
}

// strict checks what holds for every page, whatever stands in it.
func strict(t *testing.T, name string, h http.Header, body string) {
	t.Helper()
	sum := sha256.Sum256([]byte(between(t, body, "<style>", "</style>")))
	forms, never := "'none'", "<form"
	if name == "confirm" {
		forms, never = "'self' https:", "<button type"
	}
	for field, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; img-src data:; base-uri 'none'; form-action " + forms + "; frame-ancestors 'none'",
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
		"Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()", "X-Robots-Tag": "noindex, nofollow",
		"Content-Length": strconv.Itoa(len(body)), "Vary": "Accept-Language, User-Agent, Sec-CH-UA-Mobile",
	} {
		if h.Get(field) != want {
			t.Errorf("%s: %s is %q, want %q", name, field, h.Get(field), want)
		}
	}
	low := strings.ToLower(body)
	for _, never := range []string{"<script", "javascript:", " style=", " onload=", " onerror=", "zgotmplz", "<iframe", never, "@import", "url("} {
		if strings.Contains(low, never) {
			t.Errorf("%s holds %q", name, never)
		}
	}
	if n := strings.Count(low, "<style"); n != 1 {
		t.Errorf("%s has %d style sheets", name, n)
	}
}

func between(t *testing.T, s, from, to string) string {
	t.Helper()
	_, rest, found := strings.Cut(s, from)
	inner, _, closed := strings.Cut(rest, to)
	if !found || !closed {
		t.Fatalf("nothing between %s and %s", from, to)
	}
	return inner
}

func TestPageSaysOnlyWhatItIsGiven(t *testing.T) {
	t.Parallel()
	for _, name := range enroll.PageNames() {
		body := answer(t, http.MethodGet, enroll.NamedPage(name)).Body.String()
		_, body, _ = strings.Cut(body, "<body>")
		for _, never := range []string{"<img", "<a ", "refresh", "<footer", `class="account"`, `class="waiting"`} {
			if strings.Contains(body, never) {
				t.Errorf("a bare %s holds %q", name, never)
			}
		}
		if strings.Contains(body, "二维码，") {
			t.Errorf("a bare %s speaks of a picture that is not there", name)
		}
	}
}

func TestPageKeepsTheStatusItIsGiven(t *testing.T) {
	t.Parallel()
	v := enroll.NamedPage("busy")
	v.Status = http.StatusBadGateway
	if w := answer(t, http.MethodGet, v); w.Code != http.StatusBadGateway {
		t.Errorf("status %d", w.Code)
	}
	v = enroll.NamedPage("no such page")
	v.Status = http.StatusOK
	if w := answer(t, http.MethodGet, v); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "出了点问题") {
		t.Errorf("an unknown page: %d", w.Code)
	}
}

func TestHeadHasHeadersAndNoBody(t *testing.T) {
	t.Parallel()
	for _, name := range enroll.PageNames() {
		get, head := answer(t, http.MethodGet, whole(t, name)), answer(t, http.MethodHead, whole(t, name))
		if head.Body.Len() != 0 || head.Code != get.Code || fmt.Sprint(head.Header()) != fmt.Sprint(get.Header()) {
			t.Errorf("%s: HEAD %d %v, %d bytes; GET %d %v", name, head.Code, head.Header(), head.Body.Len(), get.Code, get.Header())
		}
	}
}

func TestStepsFitTheReader(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, agent, accept, want, never string }{
		{"scan", onDesk, "zh", "对准屏幕上的二维码", "长按"},
		{"scan", onPhone, "zh", "文件传输助手", "对准"},
		{"scan", onHarmony, "zh", "长按二维码，保存到相册", "对准"},
		{"scan", onDesk, "en", "Point it at the code", "Press and hold"},
		{"scan", onPhone, "en", "Press and hold the code to save it", "Point it"},
		{"follow", onWeChat, "zh", "打开图中的公众号", "保存"},
		{"follow", onWeChatPC, "zh", "用“扫一扫”扫描", "长按"},
		{"follow", onDesk, "en", "point it at the code", "Press"},
		{"follow", onPhone, "en", "choose it from your album", "point it"},
		{"snapshot", onWeChat, "zh", "使用完整服务", "二维码，"},
		{"snapshot", onWeChat, "en", "使用完整服务", "Press"},
	} {
		body := answer(t, http.MethodGet, whole(t, row.name), "User-Agent", row.agent, "Accept-Language", row.accept).Body.String()
		if !strings.Contains(body, row.want) || strings.Contains(body, row.never) {
			t.Errorf("%s for %.60s: want %q and no %q", row.name, row.agent, row.want, row.never)
		}
	}
	body := answer(t, http.MethodGet, whole(t, "scan"), "User-Agent", onDesk, "Sec-CH-UA-Mobile", "?1").Body.String()
	if !strings.Contains(body, "长按") {
		t.Error("a phone that calls itself a desktop, but says it is mobile, is taken for a desktop")
	}
}

func TestPagesHoldNoTechnicalWords(t *testing.T) {
	t.Parallel()
	technical := regexp.MustCompile(`(?i)oauth|openid|ticket|token|state|nonce|http|url|api|redis|server|html|json|error|invalid|callback|snapshot|session|cookie|服务器|接口|令牌|参数|错误码|授权码|回调|签名|请求`)
	for _, text := range enroll.AllWords() {
		if found := technical.FindString(text); found != "" {
			t.Errorf("%q holds %q", text, found)
		}
	}
}

func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</style><script>1</script>`, `</title><svg onload=alert(1)>`,
		"javascript:alert(1)", "\x00\xff\xfe<b>", "\u202eevil\u2066", strings.Repeat("长", 5000), "{{.T}}", "'';!--\"<XSS>=&{()}",
		`0;url=https://evil.example`, "a\r\nSet-Cookie: x=1",
	}
}

func TestHostileTextsAreEscaped(t *testing.T) {
	t.Parallel()
	for _, name := range enroll.PageNames() {
		for _, evil := range hostile() {
			v := whole(t, name)
			v.Account, v.Link, v.Wrong, v.QR, v.User = evil, evil, evil, []byte(evil), evil
			v.Form = &enroll.PageForm{State: `"><script>`, Code: `"><svg onload=x>`, LeadsTo: []string{evil, "https://a.example;script-src *", "https://a b"}}
			w := answer(t, http.MethodGet, v)
			body := w.Body.String()
			if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https:; frame-ancestors") {
				t.Errorf("%s with %.30q: %s", name, evil, policy)
			}
			low := strings.ToLower(body)
			for _, never := range []string{"<script", "<img src=x", "<svg onload", "<b>", "<xss", "\u202e", "\x00"} {
				if strings.Contains(low, never) {
					t.Errorf("%s with %.30q holds %q", name, evil, never)
				}
			}
			if len(body) > 80_000 || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s with %.30q: %d bytes, cookie %q", name, evil, len(body), w.Header().Get("Set-Cookie"))
			}
		}
	}
}

func TestButtonLeadsToWebPagesOnly(t *testing.T) {
	t.Parallel()
	for _, link := range []string{
		"https://shop.example.com", "https://shop.example.com:8443/a?b=c&d=%E4%B8%AD#e", "http://192.0.2.1/", "/enroll/wx0?ticket=a.b", "?ticket=x", "again", "HTTPS://SHOP.example.com/",
	} {
		if got := enroll.PageLink(link); got != link {
			t.Errorf("%q became %q", link, got)
		}
	}
	for _, link := range []string{
		"", "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "weixin://dl/business",
		"//evil.example/", `/\evil.example`, `\\evil.example`, "/\t/evil.example", "https:evil.example", "https:///evil.example", "https://:80/", "https://user:pw@evil.example/",
		"ftp://a.example/", "file:///etc/passwd", "https://a.example/ b", "https://a.example/\x00", "http://[::1", "%zz:", "https://a.example/" + strings.Repeat("a", 2048),
	} {
		if got := enroll.PageLink(link); got != "" {
			t.Errorf("%q is allowed as %q", link, got)
		}
	}
}

func TestRefreshIsInWholeSeconds(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{time.Nanosecond: "1", 2500 * time.Millisecond: "3", 5 * time.Second: "5"} {
		v := enroll.NamedPage("scan")
		v.Refresh = wait
		if body := answer(t, http.MethodGet, v).Body.String(); !strings.Contains(body, `<meta http-equiv="refresh" content="`+want+`">`) {
			t.Errorf("%v is not %s s", wait, want)
		}
	}
	v := enroll.NamedPage("scan")
	v.Refresh = -time.Second
	if body := answer(t, http.MethodGet, v).Body.String(); strings.Contains(body, "http-equiv") {
		t.Error("a negative wait refreshes")
	}
}

func TestUserIsShownMasked(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]string{
		"patient-401": "p***401", "13800004567": "1***567", "vera": "v***a", "患者-四百零一": "患***零一", "u-1": "***", "a": "***", "": "***",
	} {
		if got := enroll.MaskUser(user); got != want || strings.Contains(got, user) && user != "" {
			t.Errorf("%s is shown as %s, want %s", user, got, want)
		}
	}
}

// The page says when to try again; the confirmation is a form that needs no script.
func TestPagesFillInWaitAndForm(t *testing.T) {
	t.Parallel()
	body := answer(t, http.MethodGet, whole(t, "toomany"), "Accept-Language", "en").Body.String()
	if !strings.Contains(body, "in 40 seconds") {
		t.Errorf("%s", body)
	}
	body = answer(t, http.MethodGet, whole(t, "confirm"), "Accept-Language", "en").Body.String()
	for _, want := range []string{`method="post" action="callback"`, `name="state" value="0abc"`, `name="code" value="c0de"`, `name="answer" value="yes"`, `name="answer" value="no"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the question lacks %s", want)
		}
	}
}
