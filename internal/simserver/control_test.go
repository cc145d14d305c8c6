package simserver_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

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
			{"do":"errcode","errcode":45009,"path":"/cgi-bin/user/get"},
			{"do":"errcode","errcode":43004,"openid":"oX","account":"wxsim0000000000001","forever":true}]}`)
		if r.num("waiting") != 12 {
			t.Errorf("waiting = %v, want 12", r)
		}
		seen := 0
		for i, want := range []struct {
			outcome string
			seen    int
			takes   time.Duration
		}{
			{"-1", 0, 0},
			{"-1", 0, 0},
			{"502 ", 1, 0},
			{"cut", 0, time.Minute},
			{"0", 1, time.Second / 2},
			{"cut", 0, 0},
			{"cut", 1, 0},
			{"cut in the answer", 1, 0},
			{"200 <html>", 0, 0},
			{"0", 1, 0},
			{"0", 1, 0},
		} {
			start := time.Now()
			got := b.outcome(openid)
			seen += want.seen
			if !strings.HasPrefix(got, want.outcome) || b.p.SeenTotal() != seen || time.Since(start) != want.takes {
				t.Errorf("call %d: %q after %s, %d seen in all; want %q after %s, %d seen",
					i, got, time.Since(start), b.p.SeenTotal(), want.outcome, want.takes, seen)
			}
		}
		if w := b.do("GET", "/cgi-bin/user/get?access_token="+b.token, ""); !strings.Contains(w.Body.String(), "45009") {
			t.Errorf("user/get: %s, want 45009", w.Body)
		}
		if got := b.send(order("oX", "")); got != 43004 {
			t.Errorf("oX: %d, want 43004", got)
		}
		b.control("POST", "faults", `{"faults":[{"ratio":1,"do":"errcode","errcode":45011}]}`)
		b.control("POST", "script", `{"clear":true}`)
		if got := b.send(order("oX", "")); got != 45011 {
			t.Errorf("after clear: %d, want 45011: the faults stay", got)
		}
		b.control("POST", "faults", "")
		if got := b.send(order(openid, "")); got != 0 {
			t.Errorf("no faults: %d, want 0", got)
		}
	})
}

func TestControlChangesTheAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{Strangers: true})
		for _, tt := range []struct {
			path, body string
			want       wechat.Code
		}{
			{"followers", `{"openids":["` + openid + `"],"do":"follow"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"unfollow"}`, 43004},
			{"followers", `{"openids":["` + openid + `"],"do":"subscribe","scene":"s"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"unsubscribe"}`, 43004},
			{"followers", `{"account":"` + wechattest.AppID + `","openids":["` + openid + `"],"do":"follow"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"refuse","template_id":"` + wechattest.TemplateOrderPaid + `"}`, 43101},
			{"followers", `{"openids":["` + openid + `"],"do":"allow","template_id":"` + wechattest.TemplateOrderPaid + `"}`, 0},
			{"followers", `{"openids":["` + openid + `"],"do":"reject","errcode":50002}`, 50002},
			{"followers", `{"openids":["` + openid + `"],"do":"reject"}`, 0},
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
			if got := b.send(order(openid, "")); got != tt.want {
				t.Errorf("after %s %s: %d, want %d", tt.path, tt.body, got, tt.want)
			}
		}
		if code := b.control("POST", "oauth/code", `{"openid":"oZ"}`).str("code"); !strings.Contains(b.exchange(code), `"is_snapshotuser":1`) {
			t.Errorf("exchange of oZ's code: %s, want a snapshot user", b.exchange(code))
		}
	})
}

// exchange exchanges an OAuth code and returns the answer.
func (b *bench) exchange(code string) string {
	return b.do("GET", wechattest.OAuthTokenPath+"?"+url.Values{
		"appid": {wechattest.AppID}, "secret": {wechattest.AppSecret}, "code": {code}, "grant_type": {"authorization_code"},
	}.Encode(), "").Body.String()
}

func TestControlChangesTheTokenEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	fetch := func(path, secret string) (object, wechat.Code) {
		t.Helper()
		body := `{"grant_type":"client_credential","appid":"` + wechattest.AppID + `","secret":"` + secret + `"}`
		var o object
		if err := json.Unmarshal(b.do("POST", path, body).Body.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		return o, wechat.Code(o.num("errcode"))
	}
	token, _ := fetch(wechattest.StableTokenPath, wechattest.AppSecret)
	b.token = token.str("access_token")
	b.control("POST", "tokens/kill", `{"refuse_stable":true}`)
	if again, _ := fetch(wechattest.StableTokenPath, wechattest.AppSecret); b.send(order(openid, "")) != 40001 || again.str("access_token") != b.token {
		t.Error("want the stable token refused and still returned")
	}
	for _, tt := range []struct {
		body, secret string
		want         wechat.Code
	}{
		{`{"freeze_tokens":40243}`, wechattest.AppSecret, 40243},
		{`{"freeze_tokens":0,"allowed_ips":["1.2.3.4"]}`, wechattest.AppSecret, 40164},
		{`{"allowed_ips":[],"appsecret":"another"}`, wechattest.AppSecret, 40125},
		{`{}`, "another", 0},
	} {
		b.control("POST", "account", tt.body)
		if _, got := fetch(wechattest.StableTokenPath, tt.secret); got != tt.want {
			t.Errorf("after %s: %d, want %d", tt.body, got, tt.want)
		}
	}
	b.token = b.a.FetchToken().Reveal()
	b.control("POST", "tokens/kill", `{"account":"`+wechattest.AppID+`"}`)
	if got := b.send(order(openid, "")); got != 40001 {
		t.Errorf("after tokens/kill of the account: %d, want 40001", got)
	}
}

// inbox is an account's server.
type inbox struct {
	mu     sync.Mutex // pushes come at the same time
	bodies []string   // read when all have come
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	in.mu.Lock()
	in.bodies = append(in.bodies, string(body))
	in.mu.Unlock()
	io.WriteString(w, r.URL.Query().Get("echostr"))
}

func TestControlSetsAndVerifiesTheCallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		link := wechattest.NewLoopback(in)
		defer link.Close()
		b := setup(t, wechattest.Config{CallbackClient: link.Client()})
		b.control("POST", "callback", `{"url":"http://shop.test/wx","mode":"secure","token":"t","encoding_aes_key":"`+aesKey+
			`","delay":"1s","copies":2,"tries":1,"timeout":"2s"}`)
		b.control("POST", "callback/verify", "")
		b.control("POST", "followers", `{"openids":["`+openid+`"],"do":"receipt","status":"failed:user block"}`)
		b.send(order(openid, ""))
		synctest.Wait()
		if n := b.control("GET", "stats", "").get("callbacks"); n.num("taken") != 0 || n.num("waiting") != 2 {
			t.Errorf("before the delay: callbacks = %v, want 2 waiting", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(in.bodies) != 3 || !strings.Contains(in.bodies[1], "<Encrypt>") || strings.Contains(in.bodies[1], "Status") {
			t.Errorf("bodies = %q, want the verification and two encrypted receipts", in.bodies)
		}
		if n := b.control("GET", "stats", "").get("callbacks"); n.num("taken") != 2 || n.num("failed") != 0 || n.num("waiting") != 0 {
			t.Errorf("callbacks = %v, want 2 taken", n)
		}
		if got := b.control("GET", "messages", "").list("messages")[0].str("receipt"); got != wechattest.ReceiptUserBlock {
			t.Errorf("receipt = %q", got)
		}
	})
}

func TestControlRefusesWrongCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID}, {AppID: "wxB"}}})
	const mine = `"account":"` + wechattest.AppID + `"`
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "script", `{"replies":[{"do":"explode"}]}`, "replies[0]: do"},
		{"POST", "script", `{"replies":[{"do":"errcode"}]}`, "errcode other than 0"},
		{"POST", "script", `{"replies":[{"do":"http_status"}]}`, "status from 200"},
		{"POST", "script", `{"replies":[{"do":"ok","path":"/x"}]}`, "path /x"},
		{"POST", "script", `{"replies":[{"do":"hang","delay":"soon"}]}`, "duration"},
		{"POST", "script", `{"replies":[{"do":"hang","delay":[]}]}`, "duration"},
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
		{"GET", "qrcodes", ``, "account is empty"},
		{"POST", "tokens/kill", `{"refuse_stable":true}`, "account is empty"},
		{"POST", "callback", `{` + mine + `,"mode":"x"}`, "mode"},
		{"POST", "callback", `{` + mine + `,"mode":"secure","encoding_aes_key":"short"}`, "EncodingAESKey"},
		{"POST", "callback", `{` + mine + `,"url":"/relative"}`, "CallbackConfig.URL"},
		{"POST", "oauth/code", `{` + mine + `,"openid":"o1","scope":"x"}`, "scope"},
		{"GET", "messages?limit=1001", ``, "limit is at most 1000"},
		{"GET", "messages?after=x", ``, "after is a number"},
		{"GET", "pushes?limit=-1", ``, "limit is a number"},
		{"GET", "seen", ``, "client_msg_id is empty"},
	} {
		w := b.do(tt.method, "/_sim/"+tt.path, tt.body)
		var out struct{ Error string }
		if w.Code != http.StatusBadRequest || json.Unmarshal(w.Body.Bytes(), &out) != nil || !strings.Contains(out.Error, tt.want) {
			t.Errorf("%s %s %s: %d %s; want 400 and %q", tt.method, tt.path, tt.body, w.Code, w.Body, tt.want)
		}
	}
}

func TestControlRefusesACrossSiteBrowser(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "same-origin": http.StatusOK, "": http.StatusOK} {
		var header []string
		if site != "" {
			header = []string{"Sec-Fetch-Site", site}
		}
		if w := b.do("POST", "/_sim/reset", "", header...); w.Code != want {
			t.Errorf("Sec-Fetch-Site %q: status %d, want %d", site, w.Code, want)
		}
	}
}

func TestControlListsMessagesAndResets(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{AnyTemplate: true})
	for _, id := range []string{"a", "b", "c"} {
		b.send(order(openid, id))
	}
	b.send("{}")
	page := b.control("GET", "messages?after=1&limit=1", "")
	list := page.list("messages")
	if m := list[0]; len(list) != 1 || m.str("client_msg_id") != "b" || page.num("last") != 2 || page.num("total") != 3 || m.str("openid") != openid ||
		m.str("account") != wechattest.AppID || m.str("title") != "订单支付成功通知" || m.list("lines")[0].str("label") != "商品名称" ||
		m.get("body").str("client_msg_id") != "b" || len(m.str("msgid")) < 16 {
		t.Errorf("messages = %v", page)
	}
	if r := b.control("GET", "seen?client_msg_id=b", ""); r.num("count") != 1 || len(r.list("messages")) != 1 {
		t.Errorf("seen = %v, want b once", r)
	}
	stats := b.control("GET", "stats", "")
	sends := stats.get("calls").get(wechattest.SendPath)
	if stats.num("seen") != 3 || sends.num("total") != 4 || sends.num("ok") != 3 || sends.get("by_errcode").num("40003") != 1 ||
		stats.list("accounts")[0].num("used") != 4 {
		t.Errorf("stats = %v", stats)
	}
	b.control("POST", "reset", "")
	if b.p.SeenTotal() != 0 || b.p.Calls(wechattest.SendPath).Total != 0 || b.a.Used() != 0 || b.p.SeenCount("a") != 0 {
		t.Error("reset left something")
	}
	b.send(order(openid, "a"))
	b.send(strings.Replace(order(openid, "d"), wechattest.TemplateOrderPaid, "unknown", 1))
	page = b.control("GET", "messages", "")
	list = page.list("messages")
	if page.num("total") != 2 || len(list) != 2 {
		t.Fatalf("after reset and two sends: %v, want two messages", page)
	}
	if m := list[1]; m.str("title") != "" || len(m.list("lines")) != 3 || m.list("lines")[0].str("key") != "thing1" {
		t.Errorf("unknown template: %v, want its values without labels", m)
	}
}

func TestControlListsHistoricTemplatesAsShown(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.a.AddTemplate(wechattest.Template{ID: "old", Content: "{{first.DATA}}\n订单:{{keyword1.DATA}}\n姓名:{{name.DATA}}\n{{remark.DATA}}"})
	long := strings.Repeat("长", 21)
	if code := b.send(`{"touser":"` + openid + `","template_id":"old","data":{"first":{"value":"x"},"keyword1":{"value":"` + long +
		`"},"name":{"value":"` + long + `"},"remark":{"value":"x"}}}`); code != 0 {
		t.Fatal(code)
	}
	cut := strings.Repeat("长", 20) + "…"
	lines := b.control("GET", "messages", "").list("messages")[0].list("lines")
	if len(lines) != 2 || lines[0].str("value") != cut || lines[1].str("value") != cut {
		t.Errorf("lines = %v, want two of 20 characters", lines)
	}
}

func TestControlListsQRCodesAndScansTheNewest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{Strangers: true})
		if list, ok := b.control("GET", "qrcodes", "")["qrcodes"].([]any); !ok || len(list) != 0 {
			t.Errorf("qrcodes = %v, want an empty list", list)
		}
		for _, scene := range []string{"one", "two"} {
			b.do("POST", "/cgi-bin/qrcode/create?access_token="+b.token,
				`{"expire_seconds":60,"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"`+scene+`"}}}`)
		}
		list := b.control("GET", "qrcodes", "").list("qrcodes")
		if len(list) != 2 || list[1].str("scene") != "two" || list[1].str("ticket") == "" || list[1].str("expires") == "" {
			t.Errorf("qrcodes = %v", list)
		}
		in := &inbox{}
		b.a.SetCallback(wechattest.CallbackConfig{Handler: in})
		b.control("POST", "followers", `{"openids":["`+openid+`"],"do":"scan"}`)
		synctest.Wait()
		if len(in.bodies) != 1 || !strings.Contains(in.bodies[0], "qrscene_two") {
			t.Errorf("events = %q, want a subscribe by the newest code", in.bodies)
		}
	})
}

func TestControlListsPushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		const hello = "<xml><Content>好</Content></xml>"
		b.a.SetCallback(wechattest.CallbackConfig{Tries: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("openid") == "oOther" {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, hello)
		})})
		for _, do := range []string{`"say","text":"你好"`, `"revoke"`, `"cancellation"`} {
			b.control("POST", "followers", `{"openids":["`+openid+`"],"do":`+do+`}`)
			synctest.Wait()
		}
		b.a.Push(wechattest.Event{Name: "VIEW", OpenID: "oOther"})
		synctest.Wait()
		list := b.control("GET", "pushes?openid="+openid, "").list("pushes")
		if len(list) != 3 {
			t.Fatalf("pushes = %v, want 3", list)
		}
		said, revoked := list[0], list[1]
		if said.str("msgtype") != "text" || said.str("content") != "你好" || said.str("reply") != hello || said["taken"] != true || said.str("msgid") == "" {
			t.Errorf("said = %v", said)
		}
		if revoked.str("event") != "user_authorization_revoke" || revoked.str("msgtype") != "event" || revoked.str("subject") != openid ||
			revoked.num("tries") != 1 || revoked.str("account") != wechattest.AppID {
			t.Errorf("revoked = %v", revoked)
		}
		newest := b.control("GET", "pushes?limit=1&account="+wechattest.AppID, "").list("pushes")
		if len(newest) != 1 || newest[0].str("event") != "VIEW" || newest[0]["taken"] != false || !strings.Contains(newest[0].str("error"), "EOF") {
			t.Errorf("the newest = %v", newest)
		}
	})
}

func TestUnknownPathsAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for path, want := range map[string]int{"/_sim/nothing": 404, "/_sim/": 200, "/_sim/page.css": 200, "/": 200} {
		if w := b.do("GET", path, ""); w.Code != want {
			t.Errorf("GET %s: %d, want %d", path, w.Code, want)
		}
	}
	for _, path := range []string{"/cgi-bin/nothing", "/x", "/cgi-bin/message/template/send/", "/sns/nothing"} {
		for _, method := range []string{"GET", "POST"} {
			var o struct {
				Errcode int
				Errmsg  string
			}
			w := b.do(method, path, "")
			err := json.Unmarshal(w.Body.Bytes(), &o)
			if err != nil || w.Code != http.StatusOK || o.Errcode != 40066 || !strings.HasPrefix(o.Errmsg, "invalid url rid: ") {
				t.Errorf("%s %s: %d %s, want WeChat's JSON", method, path, w.Code, w.Body)
			}
		}
	}
	if calls := b.control("GET", "", "")["calls"].([]any); len(calls) != 18 || calls[0] != "GET /_sim/messages" {
		t.Errorf("calls = %v, want the 18 control calls", calls)
	}
}
