package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/wxnotify/wxnotify/internal/browsertest"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	callbackToken = "Canary0Callback0Token"
	callbackKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	storyOpenID   = "oSIM6t0follower0000000000001"
	weChatAgent   = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36 MicroMessenger/8.0.50"
)

// publicWorld is a world in which serve runs with the variables of the design
// alone, and WeChat pushes to it in secure mode.
func publicWorld(t *testing.T, simulate ...string) *world {
	t.Helper()
	server := redistest.Start(t, redistest.AOF()...)
	w := newWorld(t, server.UserURL(t), simulate...)
	addr := testutil.FreeAddr(t)
	w.public = "http://" + addr
	w.env = w.with(
		"WXNOTIFY_PUBLIC_URL", w.public, "WXNOTIFY_PUBLIC_ADDR", addr,
		"WXNOTIFY_ENROLL_KEY", "canary0enroll0key0canary0enroll0key",
		"WXNOTIFY_CALLBACK_TOKEN", callbackToken, "WXNOTIFY_ENCODING_AES_KEY", callbackKey,
		"WXNOTIFY_WECHAT_AUTHORIZE_URL", w.base+"/connect/oauth2/authorize",
	)
	w.control(t, "POST", "/_sim/callback", map[string]any{
		"url": w.public + "/callback/" + wechattest.AppID, "mode": "secure", "token": callbackToken, "encoding_aes_key": callbackKey,
		// A receipt that comes before the answer to its send is looked at again a minute later.
		"delay": "1s",
	}, nil)
	return w
}

// run runs a command to its end and returns what it printed.
func (w *world) run(t *testing.T, args ...string) string {
	t.Helper()
	r := inProcess(t, w.env, args...)
	if r.code != 0 {
		t.Fatalf("wxnotify %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// state waits until a message is in a state and returns its status.
func (w *world) state(t *testing.T, id, want string) map[string]any {
	t.Helper()
	var got map[string]any
	testutil.Until(t, id+" is "+want, func() bool {
		r := inProcess(t, w.env, "status", id, "-o", "json")
		got = nil
		return json.Unmarshal([]byte(r.stdout), &got) == nil && got["state"] == want
	})
	return got
}

func (w *world) follower(t *testing.T, do string) {
	t.Helper()
	w.control(t, "POST", "/_sim/followers", map[string]any{"openids": []string{storyOpenID}, "do": do}, nil)
}

func (w *world) toUser(t *testing.T, id string) {
	t.Helper()
	w.run(t, "send", "--user", "patient-401", "--template", wechattest.TemplateOrderPaid, "--id", id, "--class", "critical",
		"--data", "thing1=化验单", "--data", "time2=2026-11-25 10:00", "--data", "amount3=¥10.00")
}

// TestEnrolStory walks the whole way in a real browser against real processes:
// link, OAuth, bound; a message to that user, its receipt in secure mode,
// delivered; unsubscribe, suppressed; subscribe, sent again.
func TestEnrolStory(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, browsertest.Config{Language: "zh-CN", UserAgent: weChatAgent, Width: 375, Height: 812})
	w := publicWorld(t, "--strangers")
	serve := start(t, w.env, "serve")
	serve.says(t, "enroll started")
	w.control(t, "POST", "/_sim/callback/verify", nil, nil)

	link := w.run(t, "enroll", "link", "--user", "patient-401")
	browsertest.Do(t, b, "be the follower", chromedp.Navigate(w.base+"/connect/"))
	browsertest.Do(t, b, "cookie", chromedp.Evaluate[any](`document.cookie = "`+wechattest.PersonCookie+`=`+storyOpenID+`; path=/connect/"`))
	_ = b.Console() // the simulator has no page there
	asked := b.Visit(t, link, "要接收通知吗", "0-confirm")
	if !strings.Contains(asked, "p***401") || strings.Contains(asked, "patient-401") {
		t.Errorf("the question does not say for whom: %s", asked)
	}
	browsertest.Do(t, b, "say yes", chromedp.Evaluate[any](`document.querySelector("button[value=yes]").click()`))
	b.Shows(t, "关注", "1-follow") // bound, but a stranger: shown how to follow
	_ = b.Console()              // WeChat's page has no icon
	w.follower(t, "subscribe")
	browsertest.Do(t, b, "open the link again", chromedp.Navigate(link))
	dom := b.Shows(t, "您已登记成功", "2-enrolled")
	if strings.Contains(dom, storyOpenID) || strings.Contains(dom, "patient-401") {
		t.Error("the page shows the openid or the user")
	}
	for _, said := range b.Console() {
		t.Errorf("console: %s", said)
	}

	w.toUser(t, "lab-1")
	if got := w.state(t, "lab-1", "delivered"); got["receipt"] != "success" {
		t.Errorf("%v", got)
	}
	w.follower(t, "unsubscribe")
	testutil.Until(t, "suppressed", func() bool {
		return strings.Contains(w.run(t, "suppress", "list"), "unsubscribed")
	})
	w.toUser(t, "lab-2")
	if got := w.state(t, "lab-2", "rejected"); !strings.HasPrefix(fmt.Sprint(got["reason"]), "suppressed: unsubscribed (since ") || got["attempts"] != 0.0 {
		t.Errorf("%v", got)
	}
	w.follower(t, "subscribe")
	testutil.Until(t, "lifted", func() bool { return w.run(t, "suppress", "list") == "" })
	w.toUser(t, "lab-3")
	w.state(t, "lab-3", "delivered")

	if audit := w.run(t, "enroll", "audit"); !strings.Contains(audit, "bound") || strings.Contains(audit, storyOpenID) {
		t.Errorf("audit: %s", audit)
	}
	if list := w.run(t, "enroll", "list"); !strings.Contains(list, "patient-401") || strings.Contains(list, storyOpenID) {
		t.Errorf("list: %s", list)
	}
	if whole := w.run(t, "enroll", "export"); !strings.Contains(whole, storyOpenID) {
		t.Errorf("export: %s", whole)
	}
	w.erased(t)
	if code := serve.terminate(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, canary := range []string{storyOpenID, callbackToken, callbackKey, "canary0enroll0key", wechattest.AppSecret} {
		if strings.Contains(serve.stderr.String(), canary) {
			t.Errorf("the log shows %s:\n%s", canary, serve.stderr)
		}
	}
}

// erased erases the person and looks for what is left.
func (w *world) erased(t *testing.T) {
	t.Helper()
	w.run(t, "enroll", "erase", "--user", "patient-401")
	if list := w.run(t, "enroll", "list"); list != "" {
		t.Errorf("after erase: %s", list)
	}
	if got := w.state(t, "lab-1", "delivered"); got["to"] != "" {
		t.Errorf("the record still names the recipient: %v", got)
	}
	if audit := w.run(t, "enroll", "audit"); !strings.Contains(audit, "erased") || strings.Contains(audit, storyOpenID) {
		t.Errorf("audit: %s", audit)
	}
	if r := inProcess(t, w.env, "enroll", "unbind", "--user", "patient-401"); r.code != 1 || !strings.Contains(r.stderr, "enroll list") {
		t.Errorf("unbind nobody: %d %s", r.code, r.stderr)
	}
}

// On a desktop the link shows a code, and the page continues after the scan.
func TestEnrolStoryDesktop(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, browsertest.Config{})
	w := publicWorld(t)
	serve := start(t, w.env, "enroll")
	serve.says(t, "enroll started")
	link := w.run(t, "enroll", "link", "--user", "patient-401", "--without-confirm")
	b.Visit(t, link, "WeChat", "desktop-scan")
	var pushed struct {
		QRCodes []struct {
			Ticket string `json:"ticket"`
			Scene  string `json:"scene"`
		} `json:"qrcodes"`
	}
	w.control(t, "GET", "/_sim/qrcodes", nil, &pushed)
	if len(pushed.QRCodes) != 1 {
		t.Fatalf("%+v", pushed)
	}
	w.control(t, "POST", "/_sim/followers", map[string]any{
		"openids": []string{storyOpenID}, "do": "scan", "ticket": pushed.QRCodes[0].Ticket,
	}, nil)
	b.Shows(t, "you are enrolled", "desktop-enrolled")
	if list := w.run(t, "enroll", "list"); !strings.Contains(list, "by qr") {
		t.Errorf("list: %s", list)
	}
	for _, said := range b.Console() {
		t.Errorf("console: %s", said)
	}
}

// A link in the shell's own language of errors: each names the remedy.
func TestEnrollUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"nothing to do": {map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_APPSECRET": canarySecret}, []string{"enroll"}, "WXNOTIFY_REDIS_URL"},
		"no key": {
			map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_PUBLIC_URL": "https://n.example"},
			[]string{"enroll", "link", "--user", "u"},
			"openssl rand",
		},
		"no user": {
			map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_PUBLIC_URL": "https://n.example", "WXNOTIFY_ENROLL_KEY": strings.Repeat("k", 32)},
			[]string{"enroll", "link"},
			"--user is missing",
		},
		"nobody to erase": {map[string]string{"WXNOTIFY_APPID": "wxa"}, []string{"enroll", "erase"}, "--openid or --user"},
		"previous without end": {
			map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_CALLBACK_TOKEN": "tokenOfToday", "WXNOTIFY_CALLBACK_TOKEN_PREVIOUS": "tokenBefore"},
			[]string{"config", "check"},
			"WXNOTIFY_CALLBACK_PREVIOUS_UNTIL: is missing",
		},
		"no class": {map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_RESEND": "urgent"}, []string{"config", "check"}, "critical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := c.env
			env["WXNOTIFY_REDIS_URL"] = "redis://127.0.0.1:1/0"
			r := inProcess(t, env, c.args...)
			if r.code != exitUsage || !strings.Contains(r.stderr, c.want) {
				t.Errorf("exit %d, %q is not in: %s", r.code, c.want, r.stderr)
			}
		})
	}
}

// The public listener shows nothing of the inside, and answers each unknown path alike.
func TestPublicListenerIsNarrow(t *testing.T) {
	t.Parallel()
	w := publicWorld(t)
	start(t, w.env, "enroll").says(t, "enroll started")
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/metrics": http.StatusNotFound, "/asynqmon/": http.StatusNotFound, "/": http.StatusNotFound,
		"/enroll/wxnobody": http.StatusNotFound, "/callback/wxnobody": http.StatusNotFound, "/callback/" + wechattest.AppID: http.StatusForbidden,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.public+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v, want %d", path, resp.StatusCode, resp.Header, want)
		}
	}
}

// Data of a person come from a file or standard input, never as a flag, and stand in no
// error.
func TestHandOffIsReadFromAFile(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF()...)
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxsim0000000000001", "WXNOTIFY_PUBLIC_URL": "https://n.example",
		"WXNOTIFY_ENROLL_KEY": strings.Repeat("k", 32),
	}
	good := testutil.File(t, "person", `{"data": {"phone": "13800004567"}, "unionid": "canary-unionid"}`)
	r := inProcess(t, env, "enroll", "link", "--user", "u", "--hand-off", good, "-o", "json")
	var link linkView
	if err := json.Unmarshal([]byte(r.stdout), &link); r.code != exitDone || err != nil || len(link.Claim) != 64 || !strings.Contains(link.URL, "ticket=") {
		t.Errorf("exit %d %s %s", r.code, r.stdout, r.stderr)
	}
	for name, text := range map[string]string{
		"no JSON": "phone=13800004567", "unknown field": `{"data": {"phone": "13800004567"}, "union": "x"}`, "no data": `{"unionid": "canary-unionid"}`,
		"number": `{"data": {"phone": 13800004567}}`, "two values": `{"data": {"phone": "13800004567"}} {}`, "empty": "",
		"line break": `{"data": {"phone": "13800004567\nname=x"}}`,
	} {
		r := inProcess(t, env, "enroll", "link", "--user", "u", "--hand-off", testutil.File(t, "bad", text))
		if r.code == exitDone || strings.Contains(r.stderr, "13800004567") || strings.Contains(r.stderr, "canary") {
			t.Errorf("%s: exit %d %s", name, r.code, r.stderr)
		}
	}
	if r := inProcess(t, env, "enroll", "link", "--user", "u", "--hand-off", "-"); r.code != exitUsage || !strings.Contains(r.stderr, "--hand-off: is not JSON") {
		t.Errorf("empty standard input: exit %d %s", r.code, r.stderr)
	}
	if r := inProcess(t, env, "enroll", "link", "--user", "u", "--hand-off", "/no/such/file"); r.code != exitUsage || !strings.Contains(r.stderr, "/no/such/file") {
		t.Errorf("no file: exit %d %s", r.code, r.stderr)
	}
}
