package simserver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestPageListsMessagesNewestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, Name: "康宁医院"}, {AppID: "wxB"}}})
	page := func(language, query string) string {
		return b.do("GET", "/"+query, "", "Accept-Language", language).Body.String()
	}
	if text := page("en", ""); !strings.Contains(text, "Nothing has arrived yet") {
		t.Error("the empty page does not say so")
	}
	b.send(strings.Replace(order(openid, "id-<script>"), `"data"`, `"url":"javascript:alert(1)","data"`, 1))
	b.send(strings.Replace(order(openid, "id-2"), `"data"`, `"url":"https://shop.test/o?x=1","miniprogram":{"appid":"wxmini","pagepath":"pages/o"},"data"`, 1))
	b.send("{}")
	w := b.do("GET", "/", "", "Accept-Language", "zh")
	text := w.Body.String()
	for _, want := range []string{
		"订单支付成功通知", "红富士苹果 &amp; &lt;梨&gt;", "商品名称", "oSIM…01", "id-2", "pages/o", "小程序", "康宁医院", "40003", "invalid openid",
		`http-equiv="refresh"`, `<b>3</b> / 100,000`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, no := range []string{b.token, wechattest.AppSecret, openid, "<script", "javascript:alert", "ZgotmplZ", "style="} {
		if strings.Contains(text, no) {
			t.Errorf("the page shows %q", no)
		}
	}
	if strings.Index(text, "id-2") > strings.Index(text, "id-&lt;script") {
		t.Error("the newest message does not come first")
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy = %q", csp)
	}
	if still := page("en", "?still=1"); strings.Contains(still, `http-equiv="refresh"`) {
		t.Error("?still=1 refreshes")
	}
	for range 40 {
		b.send(order(openid, ""))
	}
	if text := page("en", ""); strings.Count(text, "<article") != 30 || !strings.Contains(text, "?before=13&") {
		t.Errorf("the page has %d messages, want 30 and a link to older ones", strings.Count(text, "<article"))
	}
	if text := page("en", "?before=13"); strings.Count(text, "<article") != 12 || strings.Contains(text, `http-equiv="refresh"`) || strings.Contains(text, "?before=") {
		t.Error("the older page must have the other 12, no refresh and no link to older ones")
	}
	if w := b.do("GET", "/?before=x", ""); w.Code != http.StatusBadRequest {
		t.Errorf("before=x: %d, want 400", w.Code)
	}
}

func TestPageFollowsTheVisitorsLanguage(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for _, tt := range []struct{ header, query, want string }{
		{"", "", "WeChat, simulated"},
		{"en", "", "WeChat, simulated"},
		{"zh-CN,zh;q=0.9,en;q=0.8", "", "微信平台模拟器"},
		{"en-GB;q=0.5, zh;q=0.4", "", "WeChat, simulated"},
		{"fr, zh-TW;q=0.1", "", "微信平台模拟器"},
		{"fr", "", "WeChat, simulated"},
		{"zh", "?lang=en", "WeChat, simulated"},
		{"en", "?lang=zh", "微信平台模拟器"},
	} {
		if text := b.do("GET", "/"+tt.query, "", "Accept-Language", tt.header).Body.String(); !strings.Contains(text, "<h1>"+tt.want+"</h1>") {
			t.Errorf("Accept-Language %q, %q: no %q", tt.header, tt.query, tt.want)
		}
	}
}

func TestPageShowsWhatBecameOfReceipts(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.a.SetCallback(wechattest.CallbackConfig{BeforeAnswer: true, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	b.a.SetReceipt("oBlocked", wechattest.ReceiptUserBlock)
	b.send(order(openid, ""))
	b.send(order("oBlocked", ""))
	text := b.do("GET", "/", "").Body.String()
	for _, want := range []string{`<span class="state ok">delivered</span>`, `<span class="state no">failed:user block</span>`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
