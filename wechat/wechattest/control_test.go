package wechattest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func readAll(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// control makes a control call that must succeed.
func (b *bench) control(method, path, body string) reply {
	b.Helper()
	p, query, _ := strings.Cut(path, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		b.Fatal(err)
	}
	return b.call(method, "/_sim/"+p, q, body)
}

func TestControlScriptAndFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		r := b.control("POST", "script", `{"replies":[
			{"do":"errcode","errcode":-1,"times":2},
			{"do":"http_status","status":502,"accepted":true},
			{"do":"hang","delay":"1m"},
			{"do":"slow","delay":0.5},
			{"do":"cut_before"},{"do":"cut_after_accept"},{"do":"cut_mid_answer"},
			{"do":"garbage","text":"<html>"},
			{"do":"ok"},
			{"do":"errcode","errcode":45009,"path":"/cgi-bin/stable_token"},
			{"do":"errcode","errcode":43004,"openid":"oX","account":"wxsim0000000000001","forever":true}]}`)
		if r.num("waiting") != 12 {
			t.Errorf("waiting = %v, want 12", r)
		}
		for i, want := range []string{"-1", "-1", "502 ", "EOF", "0", "EOF", "EOF", "cut in the answer", "200 <html>", "0", "0"} {
			if got := b.raw(openid, ""); !strings.HasPrefix(got, want) {
				t.Errorf("call %d: %q, want %q", i, got, want)
			}
		}
		if r := b.fetchStable(false); r.code() != 45009 {
			t.Errorf("stable_token: %v, want 45009", r)
		}
		if got := b.raw("oX", ""); got != "43004" {
			t.Errorf("oX: %q, want 43004", got)
		}
		b.control("POST", "script", `{"clear":true}`)
		if got := b.raw("oX", ""); got != "0" {
			t.Errorf("after clear: %q, want 0", got)
		}
		b.control("POST", "faults", `{"faults":[{"ratio":1,"do":"errcode","errcode":45011}]}`)
		if got := b.raw(openid, ""); got != "45011" {
			t.Errorf("fault: %q, want 45011", got)
		}
		b.control("POST", "faults", "")
		if got := b.raw(openid, ""); got != "0" {
			t.Errorf("no faults: %q, want 0", got)
		}
	})
}

func TestControlChangesTheAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{Strangers: true})
		send := func() wechat.Code { return b.send(order(openid, "")).code() }
		for _, tt := range []struct {
			path, body string
			want       wechat.Code
		}{
			{"followers", `{"openids":["` + openid + `"],"do":"follow"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"unfollow"}`, 43004},
			{"followers", `{"openids":["` + openid + `"],"do":"subscribe","scene":"s"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"refuse","template_id":"` + wechattest.TemplateOrderPaid + `"}`, 43101},
			{"followers", `{"openids":["` + openid + `"],"do":"allow","template_id":"` + wechattest.TemplateOrderPaid + `"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"reject","errcode":50002}`, 50002},
			{"followers", `{"openids":["` + openid + `"],"do":"reject"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"receipt","status":"failed:user block"}`, 0},
			{"followers", `{"openids":["oZ"],"do":"snapshot"}`, 0},
			{"templates", `{"delete":["` + wechattest.TemplateOrderPaid + `"]}`, 40037},
			{"templates", `{"add":[{"template_id":"` + wechattest.TemplateOrderPaid + `","title":"x","content":"{{thing9.DATA}}"}]}`, 47003},
			{"templates", `{"add":[{"template_id":"` + wechattest.TemplateOrderPaid + `","title":"x","content":"{{thing1.DATA}}"}]}`, 0},
			{"account", `{"freeze":48004}`, 48004},
			{"account", `{"freeze":0}`, 0},
			{"quota", `{"daily_limit":5,"used":5}`, 45009},
			{"quota", `{"daily_limit":10,"minute_limit":1}`, 45011},
			{"quota", `{"minute_limit":0}`, 0},
			{"tokens/kill", ``, 40001},
		} {
			b.control("POST", tt.path, tt.body)
			if got := send(); got != tt.want {
				t.Errorf("after %s %s: %d, want %d", tt.path, tt.body, got, tt.want)
			}
		}
		b.token = b.fetchStable(false).str("access_token")
		b.control("POST", "tokens/kill", `{"refuse_stable":true}`)
		if got := send(); got != 40001 {
			t.Errorf("refused stable token: %d, want 40001", got)
		}
		b.control("POST", "account", `{"freeze_tokens":40243,"allowed_ips":[],"appsecret":"`+wechattest.AppSecret+`"}`)
		if r := b.fetchClassic(); r.code() != 40243 {
			t.Errorf("frozen: %v, want 40243", r)
		}
		if code := b.control("POST", "oauth/code", `{"openid":"oZ"}`).str("code"); b.exchange(code).num("is_snapshotuser") != 1 {
			t.Error("a code for oZ did not name a snapshot user")
		}
	})
}

func TestControlCallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{answers: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.URL.Query().Get("echostr"))
		}}}
		server := wechattest.NewLoopback(in)
		defer server.Close()
		b := setup(t, wechattest.Config{CallbackClient: server.Client()})
		b.control("POST", "callback", `{"url":"http://shop.test/wx","mode":"secure","token":"t","encoding_aes_key":"`+aesKey+
			`","delay":"1s","copies":1,"tries":1,"timeout":"2s"}`)
		b.control("POST", "callback/verify", "")
		b.a.Push(wechattest.Event{Name: "VIEW", OpenID: openid})
		synctest.Wait()
		if got := in.events(); len(got) != 2 || got[1].Encrypt == "" {
			t.Errorf("events = %+v, want the verification and an encrypted event", got)
		}
		if s := b.control("GET", "stats", "")["callbacks"].(map[string]any); s["taken"] != json.Number("1") {
			t.Errorf("callbacks = %v, want 1 taken", s)
		}
	})
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID}, {AppID: "wxB"}}})
	const mine = `"account":"` + wechattest.AppID + `"`
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "script", `{"replies":[{"do":"explode"}]}`, "replies[0]: do"},
		{"POST", "script", `{"replies":[{"do":"errcode"}]}`, "errcode other than 0"},
		{"POST", "script", `{"replies":[{"do":"http_status"}]}`, "status from 200"},
		{"POST", "script", `{"replies":[{"do":"ok","path":"/x"}]}`, "path /x"},
		{"POST", "script", `{"replies":[{"do":"hang","delay":"soon"}]}`, "duration"},
		{"POST", "script", `{"replys":[]}`, "replys"},
		{"POST", "script", `{`, "body"},
		{"POST", "faults", `{"faults":[{"ratio":2,"do":"ok"}]}`, "faults[0]: ratio"},
		{"POST", "faults", `{"faults":[{"ratio":1,"do":"x"}]}`, "faults[0]: do"},
		{"POST", "followers", `{"openids":["o1"],"do":"follow"}`, "account is empty"},
		{"POST", "followers", `{"account":"wx0","do":"follow"}`, "wx0 is not on"},
		{"POST", "followers", `{` + mine + `,"do":"follow"}`, "openids is empty"},
		{"POST", "followers", `{` + mine + `,"openids":["x y"],"do":"follow"}`, "an openid is"},
		{"POST", "followers", `{` + mine + `,"openids":["o1"],"do":"marry"}`, "marry"},
		{"POST", "followers", `{` + mine + `,"openids":["o1"],"do":"scan","ticket":"x"}`, "ticket"},
		{"POST", "templates", `{` + mine + `,"add":[{}]}`, "add[0].template_id"},
		{"GET", "templates", ``, "account is empty"},
		{"POST", "callback", `{` + mine + `,"mode":"x"}`, "mode"},
		{"POST", "callback", `{` + mine + `,"mode":"secure","encoding_aes_key":"short"}`, "EncodingAESKey"},
		{"POST", "callback", `{` + mine + `,"url":"/relative"}`, "CallbackConfig.URL"},
		{"POST", "oauth/code", `{` + mine + `,"openid":"o1","scope":"x"}`, "scope"},
		{"GET", "messages?limit=1001", ``, "limit is at most 1000"},
		{"GET", "messages?after=x", ``, "after is a number"},
		{"GET", "seen", ``, "client_msg_id is empty"},
	} {
		path, query, _ := strings.Cut(tt.path, "?")
		q, _ := url.ParseQuery(query)
		resp, text, err := b.do(tt.method, "/_sim/"+path, q, tt.body)
		var out struct{ Error string }
		if err != nil || resp.StatusCode != http.StatusBadRequest || json.Unmarshal(text, &out) != nil || !strings.Contains(out.Error, tt.want) {
			t.Errorf("%s %s %s: %s, %v; want 400 and %q", tt.method, tt.path, tt.body, text, err, tt.want)
		}
	}
}

func TestControlRefusesACrossSiteBrowser(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "same-origin": http.StatusOK, "": http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.p.BaseURL()+"/_sim/reset", nil)
		if err != nil {
			t.Fatal(err)
		}
		if site != "" {
			req.Header.Set("Sec-Fetch-Site", site)
		}
		resp, err := b.p.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Sec-Fetch-Site %q: status %d, want %d", site, resp.StatusCode, want)
		}
	}
}

func TestControlListsAndReset(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for _, id := range []string{"a", "b", "c"} {
		b.send(order(openid, id))
	}
	b.send("{}")
	page := b.control("GET", "messages?after=1&limit=1", "")
	list := page["messages"].([]any)
	m := reply(list[0].(map[string]any))
	if len(list) != 1 || m.str("client_msg_id") != "b" || page.num("last") != 2 || page.num("total") != 3 || m.str("openid") != openid ||
		m.str("title") != "订单支付成功通知" || m["lines"].([]any)[0].(map[string]any)["label"] != "商品名称" {
		t.Errorf("messages = %v", page)
	}
	if r := b.control("GET", "seen?client_msg_id=b", ""); r.num("count") != 1 || len(r["messages"].([]any)) != 1 {
		t.Errorf("seen = %v, want b once", r)
	}
	stats := b.control("GET", "stats", "")
	sends := reply(reply(stats["calls"].(map[string]any))[wechattest.SendPath].(map[string]any))
	if stats.num("seen") != 3 || sends.num("total") != 4 || sends.num("ok") != 3 || reply(sends["by_errcode"].(map[string]any)).num("40003") != 1 {
		t.Errorf("stats = %v", stats)
	}
	b.control("POST", "reset", "")
	if b.p.SeenTotal() != 0 || b.p.Calls(wechattest.SendPath).Total != 0 || b.a.Used() != 0 || b.p.SeenCount("a") != 0 {
		t.Error("reset left something")
	}
	b.send(order(openid, "a"))
	if page := b.control("GET", "messages", ""); page.num("total") != 1 || len(page["messages"].([]any)) != 1 {
		t.Errorf("after reset and a send: %v, want one message", page)
	}
}

func TestListPage(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, Name: "康宁医院"}, {AppID: "wxB"}}})
	page := func(language, query string) (string, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.p.BaseURL()+"/"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", language)
		resp, err := b.p.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return string(readAll(t, resp)), resp.Header
	}
	if text, _ := page("en", ""); !strings.Contains(text, "Nothing has arrived yet") {
		t.Error("the empty page does not say so")
	}
	b.send(strings.Replace(order(openid, "id-<script>"), `"data"`, `"url":"javascript:alert(1)","data"`, 1))
	b.send(strings.Replace(order(openid, "id-2"), `"data"`, `"url":"https://shop.test/o?x=1","miniprogram":{"appid":"wxmini","pagepath":"pages/o"},"data"`, 1))
	b.send("{}")
	for language, want := range map[string]string{
		"": "WeChat, simulated", "en": "WeChat, simulated", "zh-CN,zh;q=0.9,en;q=0.8": "微信平台模拟器",
		"en-GB;q=0.5, zh;q=0.4": "WeChat, simulated", "fr, zh-TW;q=0.1": "微信平台模拟器", "zh;q=x": "WeChat, simulated",
	} {
		if text, _ := page(language, ""); !strings.Contains(text, "<h1>"+want+"</h1>") {
			t.Errorf("Accept-Language %q: no %q", language, want)
		}
	}
	text, header := page("zh", "")
	for _, want := range []string{
		"订单支付成功通知", "红富士苹果 &amp; &lt;梨&gt;", "商品名称", "oSIM…01", "id-2", "pages/o", "小程序", "康宁医院", "40003",
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
	if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy = %q", csp)
	}
	if still, _ := page("en", "?still=1"); strings.Contains(still, `http-equiv="refresh"`) {
		t.Error("?still=1 refreshes")
	}
	for range 40 {
		b.send(order(openid, ""))
	}
	if text, _ := page("en", ""); strings.Count(text, "<article") != 30 || !strings.Contains(text, "?before=13&") {
		t.Errorf("the page has %d messages, want 30 and a link to the older", strings.Count(text, "<article"))
	}
	if text, _ := page("en", "?before=13"); strings.Count(text, "<article") != 12 || strings.Contains(text, `http-equiv="refresh"`) {
		t.Error("the older page must have the other 12 and not refresh")
	}
	if resp, _, err := b.do("GET", "/", url.Values{"before": {"x"}}, ""); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("before=x: %v %v, want 400", resp, err)
	}
}

func TestUnknownPathsAndTheStyle(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for path, want := range map[string]int{"/cgi-bin/nothing": 404, "/_sim/nothing": 404, "/_sim/": 200, "/x": 404, "/_sim/page.css": 200} {
		resp, _, err := b.do("GET", path, nil, "")
		if err != nil || resp.StatusCode != want {
			t.Errorf("GET %s: %v %v, want %d", path, resp, err, want)
		}
	}
}
