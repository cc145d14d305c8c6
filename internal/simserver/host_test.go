package simserver_test

import (
	"bytes"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/simserver"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// A foreign name that resolves to 127.0.0.1 would let a web page read the messages and
// point the pushes at any address.
func TestControlAndPageAnswerToTheLoopbackAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for host, want := range map[string]int{
		"127.0.0.1:8090": 200, "127.0.0.2": 200, "localhost:8090": 200, "LOCALHOST.": 200, "[::1]:8090": 200,
		"attacker.example": 421, "attacker.example:8090": 421, "127.0.0.1.attacker.example": 421, "10.0.0.1": 421, "": 421,
	} {
		for _, path := range []string{"/", "/_sim/messages", "/_sim/page.css", "/_sim/"} {
			if w := b.do("GET", path, "", "Host", host); w.Code != want {
				t.Errorf("GET %s as %q: %d, want %d", path, host, w.Code, want)
			}
		}
		w := b.do("POST", "/_sim/callback", `{"url": "http://attacker.example/"}`, "Host", host)
		if w.Code != want {
			t.Errorf("POST /_sim/callback as %q: %d, want %d", host, w.Code, want)
		}
	}
	// A hosts file may send WeChat's own names here.
	if w := b.do("GET", "/cgi-bin/user/get?access_token="+b.token, "", "Host", "api.weixin.qq.com"); w.Code != 200 {
		t.Errorf("an API path as api.weixin.qq.com: %d", w.Code)
	}
}

// Beyond the loopback other machines know it by an address or by a name of theirs. A name with
// a dot may be a foreign one, in a browser beside a port that is published on the loopback.
func TestControlBeyondTheLoopbackAnswersToNoForeignName(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for addr, hosts := range map[string]map[string]int{
		"0.0.0.0:8090": {
			"simulate:8090": 200, "localhost:8090": 200, "10.0.0.5:8090": 200, "[fd00::5]:8090": 200,
			"attacker.example:8090": 421, "10.0.0.5.nip.io": 421, "localhost.attacker.example": 421, "simulate.": 200, "": 421,
		},
		":8090":                   {"127.0.0.1:8090": 200, "attacker.example": 421},
		"sim.staging.corp:8090":   {"sim.staging.corp:8090": 200, "SIM.staging.corp.": 200, "x.sim.staging.corp": 421},
		"api.weixin.qq.com:18090": {"api.weixin.qq.com:18090": 200},
	} {
		open := simserver.New(b.p, addr)
		for host, want := range hosts {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/_sim/stats", nil)
			r.Host = host
			w := httptest.NewRecorder()
			open.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("--addr %s as %q: %d, want %d", addr, host, w.Code, want)
			}
		}
	}
}

func TestShowQRCodeIsAPicture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		b.do("POST", "/cgi-bin/qrcode/create?access_token="+b.token,
			`{"action_name":"QR_STR_SCENE","expire_seconds":60,"action_info":{"scene":{"scene_str":"a"}}}`)
		address := "/cgi-bin/showqrcode?ticket=" + url.QueryEscape(b.a.QRCodes()[0].Ticket)
		w := b.do("GET", address, "", "Host", "mp.weixin.qq.com")
		picture, err := png.Decode(bytes.NewReader(w.Body.Bytes()))
		if err != nil || w.Header().Get("Content-Type") != "image/png" || picture.Bounds().Dx() != 430 {
			t.Fatalf("%d %s: %v", w.Code, w.Header(), err)
		}
		time.Sleep(61 * time.Second) // virtual
		for _, address := range []string{address, "/cgi-bin/showqrcode?ticket=unknown", "/cgi-bin/showqrcode"} {
			if w := b.do("GET", address, ""); w.Code != http.StatusNotFound {
				t.Errorf("GET %s: %d, want 404", address, w.Code)
			}
		}
	})
}

func TestPageListsTheMessagesOfOneFollower(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	const other = "oSIM6t0follower0000000000002"
	for range 40 {
		b.send(order(openid, ""))
		b.send(order(other, ""))
	}
	text := b.do("GET", "/?openid="+other, "").Body.String()
	if strings.Count(text, "<article") != 30 || strings.Contains(text, "oSIM…01") || !strings.Contains(text, "oSIM…02") {
		t.Errorf("%d messages on the page of one follower", strings.Count(text, "<article"))
	}
	if !strings.Contains(text, "/?before=22&amp;lang=en&amp;openid="+other) {
		t.Error("no link to the follower's older messages")
	}
	text = b.do("GET", "/?before=22&openid="+other, "").Body.String()
	if n := strings.Count(text, "<article"); n != 10 {
		t.Errorf("%d older messages, want 10", n)
	}
	text = b.do("GET", "/?of=2", "").Body.String() // the second message went to the other one
	if strings.Count(text, "<article") != 30 || strings.Contains(text, "oSIM…01") || !strings.Contains(text, "/?before=22&amp;lang=en&amp;of=2") {
		t.Error("the page of a message's recipient")
	}
	for query, want := range map[string]int{"of=x": 400, "of=4711": 400} {
		if w := b.do("GET", "/?"+query, ""); w.Code != want {
			t.Errorf("?%s: %d, want %d", query, w.Code, want)
		}
	}
	text = b.do("GET", "/?openid=%22%3E%3Cscript", "").Body.String()
	if strings.Contains(text, "<script") || !strings.Contains(text, "Nothing has arrived for this follower") {
		t.Error("an unknown follower")
	}
	list := b.control("GET", "messages?limit=3&openid="+other, "")
	if n := len(list.list("messages")); n != 3 || list.list("messages")[2].str("openid") != other {
		t.Errorf("/_sim/messages of one follower: %d", n)
	}
}

// Who user/info knows, user/get lists.
func TestUserGetListsWhoUserInfoKnows(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.send(order("oRecipient", ""))
	b.do("GET", "/cgi-bin/user/info?access_token="+b.token+"&openid=oAsked", "")
	b.a.Unfollow("oGone")
	text := b.do("GET", "/cgi-bin/user/get?access_token="+b.token, "").Body.String()
	for openid, want := range map[string]bool{"oRecipient": true, "oAsked": true, "oGone": false} {
		if strings.Contains(text, `"`+openid+`"`) != want {
			t.Errorf("user/get lists %s: %v, want %v: %s", openid, !want, want, text)
		}
	}
}

func TestIPCheckIsSetByControl(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.control("POST", "account", `{"allowed_ips": ["203.0.113.0/24"], "ip_check": "all"}`)
	if w := b.do("GET", "/cgi-bin/user/get?access_token="+b.token, ""); !strings.Contains(w.Body.String(), "40164") {
		t.Errorf("a call from an address that is not listed: %s", w.Body)
	}
	if w := b.do("POST", "/_sim/account", `{"ip_check": "some"}`); w.Code != 400 || !strings.Contains(w.Body.String(), "tokens, all") {
		t.Errorf("an unknown ip_check: %d %s", w.Code, w.Body)
	}
}
