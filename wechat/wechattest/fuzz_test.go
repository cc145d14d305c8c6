package wechattest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// FuzzSend checks that any body gets a JSON answer with an errcode, and that an
// accepted body is valid JSON for the same recipient in encoding/json.
func FuzzSend(f *testing.F) {
	f.Add([]byte(order(openid, "1")))
	f.Add([]byte(`{"touser":"o1","template_id":"t","data":{},"x":[{"y":"\"}"}]}`))
	f.Add([]byte(` {"touser":"\u006f1","template_id":"t","miniprogram":{"appid":"x","path":"y"},"data":{"k":{"value":"\\"}}}`))
	f.Add([]byte(`{"data":{"k":{"value":null}},"touser":null}`))
	f.Add([]byte("{\"touser\":\"\xff\"}"))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := wechattest.New(wechattest.Config{AnyTemplate: true})
		defer p.Close()
		token := p.Account(wechattest.AppID).FetchToken().Reveal()
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, wechattest.SendPath+"?access_token="+token, strings.NewReader(string(body))))
		var out struct{ Errcode *int }
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Errcode == nil {
			t.Fatalf("answer %q: %v", w.Body, err)
		}
		if strings.Contains(w.Body.String(), token) {
			t.Fatal("the answer shows the token")
		}
		if *out.Errcode != 0 {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("accepted %q, which is no JSON object: %v", body, err)
		}
		var to string
		if err := json.Unmarshal(m["touser"], &to); err != nil || to != p.Seen()[0].OpenID {
			t.Fatalf("accepted for %q, encoding/json reads %q", p.Seen()[0].OpenID, to)
		}
	})
}

// FuzzAuthorize checks that any query gets a page or a redirect to an absolute URL.
func FuzzAuthorize(f *testing.F) {
	f.Add(authorizeBase)
	f.Add("appid=x&redirect_uri=%")
	f.Add("appid=" + wechattest.AppID + "&redirect_uri=http%3A%2F%2Fa%2F%3Fb&response_type=code&scope=snsapi_base&state=")
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsAny(query, "\r\n #") {
			return
		}
		p := wechattest.New(wechattest.Config{})
		defer p.Close()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/connect/oauth2/authorize", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest:
		case http.StatusFound:
			if to, err := w.Result().Location(); err != nil || to.Host == "" || !to.Query().Has("code") && !strings.Contains(to.RawQuery, "code=") {
				t.Fatalf("redirect to %v, %v", to, err)
			}
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}
