package enroll_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// Who reads the business's access log has queries with a valid signature.
func TestQueriesOfForwardsAreRefusedAtOurOwnAddress(t *testing.T) {
	t.Parallel()
	for _, mode := range []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackCompat, wechat.CallbackSecure} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var logged []url.Values
				business := wechattest.NewLoopback(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					logged = append(logged, r.URL.Query())
				}))
				t.Cleanup(business.Close)
				w := newWorld(t, settings{mode: mode, change: func(c *enroll.Config) {
					f, err := enroll.NewHTTPForwarder("http://shop.test/wechat", c.Accounts[0].Callback, business.Client())
					must(t, err)
					c.Accounts[0].Forward = f
				}})
				w.run()
				w.enrolled(w.link("u-1"), openID)
				w.p.Account(appID).Say(openID, "hello")
				settle()
				if len(logged) != 1 {
					t.Fatalf("%d forwards", len(logged))
				}
				q := logged[0]
				forged := `<xml><FromUserName>x</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>user_authorization_revoke</Event><OpenID>` + openID + `</OpenID></xml>`
				for name, change := range map[string]func(){
					"as it came":      func() {},
					"as compat":       func() { q.Set("msg_signature", q.Get("signature")) },
					"as secure":       func() { q.Set("encrypt_type", "aes") },
					"before its time": func() { q.Set("encrypt_type", "raw") },
				} {
					change()
					if resp := post(w.handler, q, strings.NewReader(forged)); resp.Code != http.StatusForbidden {
						t.Errorf("%s: %d %q", name, resp.Code, resp.Body)
					}
				}
				q.Set("echostr", "1")
				if resp := w.get("/callback/"+appID+"?"+q.Encode(), ""); resp.Code != http.StatusForbidden {
					t.Errorf("as WeChat's check: %d %q", resp.Code, resp.Body)
				}
				settle()
				if len(w.bound("u-1")) != 1 {
					t.Error("the forged revocation was obeyed")
				}
			})
		})
	}
}

// A push that cannot be read is WeChat's all the same: acknowledged, forwarded as it
// came, once, and not counted among forgeries.
func TestUnreadablePushesAreAcknowledgedAndForwarded(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{
		"CDATA in a text": `<xml><FromUserName>o</FromUserName><Content><![CDATA[<xml><status><![CDATA[ok]]></status></xml>]]></Content></xml>`,
		"a DTD":           `<!DOCTYPE x [<!ENTITY e "x">]><xml>&e;</xml>`,
		"broken JSON":     `{"FromUserName":`,
		"UTF-16":          "\xff\xfe<\x00x\x00m\x00l\x00>\x00",
		"depth":           "<xml>" + strings.Repeat("<a>", 20) + strings.Repeat("</a>", 20) + "</xml>",
		"text":            "hello",
		"bad time":        "<xml><CreateTime>-1</CreateTime></xml>",
		"a huge number":   "<xml><MsgId>99999999999999999999</MsgId></xml>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var seen []string
				w := newWorld(t, settings{mode: wechat.CallbackPlain, change: forwarding(func(_ context.Context, p *wechat.Push) ([]byte, error) {
					seen = append(seen, string(p.Document))
					return nil, nil
				})})
				q := w.signed()
				for range 2 {
					if resp := post(w.handler, q, strings.NewReader(document)); resp.Code != http.StatusOK || resp.Body.String() != "success" {
						t.Errorf("%d %q", resp.Code, resp.Body)
					}
				}
				if len(seen) != 1 || seen[0] != document {
					t.Errorf("forwarded %q", seen)
				}
				if w.count(enroll.KindUnreadable, "unreadable") != 1 || w.count(enroll.KindRepeated, "unreadable") != 1 || w.refusals() != 0 {
					t.Errorf("%+v", w.events)
				}
				if lines := w.logs.FilterMessageSnippet("cannot be read").All(); len(lines) != 1 || strings.Contains(lines[0].ContextMap()["cause"].(string), "status") {
					t.Errorf("%v", lines)
				}
				if resp := post(w.handler, q, strings.NewReader(document+" ")); resp.Code != http.StatusForbidden {
					t.Errorf("another body with its query: %d %q", resp.Code, resp.Body)
				}
			})
		})
	}
}

func TestPushInADeclaredEncodingIsRead(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain, run: true}, func(t *testing.T, w *world) {
		body, err := simplifiedchinese.GBK.NewEncoder().String(
			strings.Replace(follow(false, time.Now()), "<Event>", "<Remark>取消</Remark><Event>", 1))
		must(t, err)
		if resp := post(w.handler, w.signed(), strings.NewReader(`<?xml version="1.0" encoding="GB2312"?>`+body)); resp.Code != http.StatusOK {
			t.Fatalf("%d %q", resp.Code, resp.Body)
		}
		settle()
		if w.suppression(openID) == nil || w.count(enroll.KindPush, "unsubscribe") != 1 {
			t.Errorf("not applied: %+v", w.events)
		}
	})
}

// A check with the query of a push, from some log, does not turn WeChat's repetition of
// that push into a replay.
func TestCheckWithThePushsQueryLeavesThePush(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		q, body := w.signed(), text("hello")
		post(w.handler, q, strings.NewReader(body))
		check := url.Values{"echostr": {"1"}}
		maps.Copy(check, q)
		w.get("/callback/"+appID+"?"+check.Encode(), "")
		if resp := post(w.handler, q, strings.NewReader(body)); resp.Code != http.StatusOK {
			t.Errorf("WeChat's repetition: %d %q", resp.Code, resp.Body)
		}
	})
}

func TestCallbackPathsAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		for _, path := range []string{"/callback/" + appID, "/callback/" + appID + "/", "/Callback/" + strings.ToUpper(appID), "//CALLBACK//" + appID + "//", "/callback/" + appID + "%20", "/callback/%20" + appID + "%0A/", "/callback/%EF%BB%BF" + appID, "/callback/" + appID + "%E2%80%8B/", "/wx/callback/" + appID, "/a/b//Callback/" + appID + "/"} {
			q := w.signed()
			q.Set("echostr", "4375120948345356249")
			if resp := from(w.handler, http.MethodGet, path+"?"+q.Encode(), "203.0.113.7:1", "", nil); resp.Code != http.StatusOK || resp.Body.String() != "4375120948345356249" {
				t.Errorf("GET %s: %d %q", path, resp.Code, resp.Body)
			}
			if resp := from(w.handler, http.MethodPost, path+"?"+w.signed().Encode(), "203.0.113.7:1", "", strings.NewReader(text("hello"))); resp.Code != http.StatusOK {
				t.Errorf("POST %s: %d %q", path, resp.Code, resp.Body)
			}
			if resp := from(w.handler, http.MethodPut, path+"?"+w.signed().Encode(), "203.0.113.7:1", "", nil); resp.Code != http.StatusMethodNotAllowed || resp.Header().Get("Allow") == "" {
				t.Errorf("PUT %s: %d", path, resp.Code)
			}
		}
		unknown := []string{"/callback", "/callback/", "/callback/wx-unknown", "/callback/" + appID + "/more", "/Callback/" + strings.Repeat("x", 500), "/wx/callback/wx-unknown", "/wx/callback/" + appID + "/more"}
		for _, path := range unknown {
			resp := from(w.handler, http.MethodGet, path, "203.0.113.7:1", "", nil)
			if resp.Code != http.StatusNotFound || strings.Contains(resp.Body.String(), "<") || resp.Body.Len() > 100 {
				t.Errorf("%s: %d %q", path, resp.Code, resp.Body)
			}
		}
		if n := w.count(enroll.KindRefused, "path"); n != len(unknown) {
			t.Errorf("counted %d of %d", n, len(unknown))
		}
		lines := w.logs.FilterMessageSnippet("a callback address was called").All()
		if len(lines) != 1 || len(lines[0].ContextMap()["path"].(string)) > 100 {
			t.Errorf("%v", lines)
		}
	})
}

// A proxy may take the Content-Length beside chunks for the body's length.
func TestConnectionWithChunksIsClosed(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/callback/"+appID+"?"+w.signed().Encode(), io.NopCloser(strings.NewReader(text("hello"))))
		r.TransferEncoding = []string{"chunked"}
		out := httptest.NewRecorder()
		w.handler.ServeHTTP(out, r)
		if out.Code != http.StatusOK || out.Header().Get("Connection") != "close" {
			t.Errorf("%d %v", out.Code, out.Header())
		}
	})
}
