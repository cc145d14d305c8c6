package wechattest_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// answering replies with body to everything.
func answering(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

// secureReply is an encrypted reply as an account's server makes it.
func secureReply(t *testing.T, appid, token, text string) string {
	t.Helper()
	encrypted, err := wechattest.EncryptWith("0123456789abcdef", aesKey, appid, text)
	must(t, err)
	return "<xml><Encrypt><![CDATA[" + encrypted + "]]></Encrypt><MsgSignature><![CDATA[" +
		wechattest.Sign(token, "1714112445", "415670741", encrypted) +
		"]]></MsgSignature><TimeStamp>1714112445</TimeStamp><Nonce><![CDATA[415670741]]></Nonce></xml>"
}

func TestPassiveRepliesAreReadInEveryMode(t *testing.T) {
	t.Parallel()
	const hello = "<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[已退订]]></Content></xml>"
	sealed := secureReply(t, wechattest.AppID, callbackToken, hello)
	for _, tt := range []struct {
		name   string
		mode   wechattest.CallbackMode
		answer string
		reply  string
		taken  bool
	}{
		{"plain", wechattest.CallbackPlain, hello, hello, true},
		{"plain, encrypted", wechattest.CallbackPlain, sealed, "", false},
		{"compat, clear", wechattest.CallbackCompat, hello, hello, true},
		{"compat, encrypted", wechattest.CallbackCompat, sealed, hello, true},
		{"secure", wechattest.CallbackSecure, sealed, hello, true},
		{"secure, success", wechattest.CallbackSecure, "success", "", true},
		{"secure, empty", wechattest.CallbackSecure, "", "", true},
		{"secure, in the clear", wechattest.CallbackSecure, hello, "", false},
		{"secure, of another account", wechattest.CallbackSecure, secureReply(t, "wxother", callbackToken, hello), "", false},
		{"secure, with another token", wechattest.CallbackSecure, secureReply(t, wechattest.AppID, "x", hello), "", false},
		{"secure, cut", wechattest.CallbackSecure, sealed[:len(sealed)-9], "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, wechattest.Config{})
				b.listen(wechattest.CallbackConfig{Mode: tt.mode, Tries: 1}, answering(tt.answer))
				id := b.a.Say(openid, "TD")
				synctest.Wait()
				p := b.p.Pushes()
				if len(p) != 1 || p[0].Taken != tt.taken || p[0].Answer != tt.answer || p[0].Reply != tt.reply {
					t.Fatalf("pushes = %+v", p)
				}
				if e := p[0].Event; e.MsgType != "text" || e.Content != "TD" || e.MsgID != id || id < 1<<53 || e.OpenID != openid {
					t.Errorf("event = %+v", e)
				}
				if (p[0].Err == nil) != tt.taken {
					t.Errorf("err = %v", p[0].Err)
				}
			})
		})
	}
}

// Whether the query is the same is a setting, since WeChat does not document it.
func TestTriesOfOneEventKeepItsCreateTime(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, wechattest.Config{})
			fail := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
			in := b.listen(wechattest.CallbackConfig{Mode: wechattest.CallbackCompat, RetryGap: 5 * time.Second, SameQuery: same}, fail)
			b.a.Push(wechattest.Event{Name: "CLICK", OpenID: openid})
			time.Sleep(time.Minute)
			synctest.Wait()
			got := in.events()
			if len(got) != 2 || got[0].CreateTime != got[1].CreateTime {
				t.Fatalf("events = %+v, want two of one time", got)
			}
			if (got[0].Encrypt == got[1].Encrypt) != same || (in.queries[0].Encode() == in.queries[1].Encode()) != same {
				t.Errorf("same query %t: %v, %v", same, in.queries[0], in.queries[1])
			}
		})
	}
}

func TestEndOfConsentIsPushedBySystemSender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		var bodies []string
		b.a.SetCallback(wechattest.CallbackConfig{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
		})})
		b.a.RevokeAuthorization(openid)
		synctest.Wait()
		b.a.CancelAuthorization(openid)
		synctest.Wait()
		for i, name := range []string{wechat.EventAuthorizationRevoked, wechat.EventAuthorizationCancelled} {
			e, err := wechat.ParseEvent([]byte(bodies[i]))
			if err != nil || !e.Is(name) || e.Subject != openid || e.OpenID == openid {
				t.Errorf("%s: %+v, %v", name, e, err)
			}
		}
	})
}
