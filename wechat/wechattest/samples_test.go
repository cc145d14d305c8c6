package wechattest_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// sampleFile is testdata/samples.json: published shapes and vectors.
type sampleFile struct {
	HTTP []struct {
		ID, Method, Path string
		Query            [][2]string
		Request          any
		Response         map[string]any
	}
	Crypto []struct {
		ID, Kind, Token, Timestamp, Nonce, Expect, Encrypt, Plaintext string

		Key       string `json:"encodingAESKey"`
		ReceiveID string `json:"receiveid"`
		Random    string `json:"random16"`
	}
	Events []struct {
		ID, XML string
		Fields  map[string]string
	} `json:"xml_events"`
}

func samples(t *testing.T) sampleFile {
	t.Helper()
	text, err := os.ReadFile("testdata/samples.json")
	must(t, err)
	var f sampleFile
	must(t, json.Unmarshal(text, &f))
	return f
}

// stage is a platform prepared for a sample's answer, and the call's parameters.
type stage struct {
	*bench
	query url.Values
	body  string
}

// arrange prepares the platform for a sample. It scripts errcodes that the platform
// does not answer by its own rules.
func (s *stage) arrange(id string, code wechat.Code) {
	ok := url.Values{"grant_type": {"client_credential"}, "appid": {wechattest.AppID}, "secret": {wechattest.AppSecret}}
	oauth := url.Values{"appid": {wechattest.AppID}, "secret": {wechattest.AppSecret}, "grant_type": {"authorization_code"}}
	switch {
	case strings.HasPrefix(id, "template-send-err"):
		s.body = order(openid, "")
		s.p.Script(wechattest.Errcode(code))
		if code == 47003 {
			s.p.ClearScript()
			s.body = strings.Replace(s.body, "红富士苹果 & <梨>", "", 1)
		}
	case id == "token-get-ok":
		s.query = ok
	case id == "token-get-bad-appid":
		s.query = ok
		s.query.Set("appid", "wx0")
	case id == "token-ip-not-whitelisted":
		s.query = ok
		s.a.SetAllowedIPs("1.2.3.4")
	case strings.HasPrefix(id, "stable-token"):
		s.body = `{"grant_type":"client_credential","appid":"` + wechattest.AppID + `","secret":"` + wechattest.AppSecret + `"}`
	case id == "token-invalid-on-call":
		s.p.KillTokens()
	case id == "token-expired-on-call":
		s.p.Script(wechattest.Errcode(42001))
	case id == "template-send-int64-msgid":
		s.body = order(openid, "")
	case id == "rid-get":
		_, rid, _ := strings.Cut(s.send("").msg(), " rid: ")
		s.body = `{"rid":"` + rid + `"}`
	case id == "user-info":
		s.query.Set("openid", openid)
	case id == "user-info-not-follower":
		s.a.Unfollow(openid)
		s.query.Set("openid", openid)
	case id == "user-get":
		s.a.Follow("OPENID1", "OPENID2")
		s.query.Del("next_openid")
	case id == "user-batchget":
		s.a.Unfollow("otvxTs_JZ6SEiP0imdhpi50fuSZg")
	case id == "template-del":
		s.a.AddTemplate(wechattest.Template{ID: "TEMPLATE_ID"})
	case id == "sns-access-token":
		s.a.SetSnapshot(openid)
		oauth.Set("code", s.a.OAuthCode(openid, wechat.ScopeUserInfo))
		s.query = oauth
	case id == "sns-access-token-bad-code":
		oauth.Set("code", "x")
		s.query = oauth
	case id == "sns-access-token-used-code":
		oauth.Set("code", s.a.OAuthCode(openid, wechat.ScopeBase))
		s.call(http.MethodGet, wechattest.OAuthTokenPath, oauth, "")
		s.query = oauth
	case id == "sns-refresh":
		s.query = url.Values{
			"appid": {wechattest.AppID}, "grant_type": {"refresh_token"}, "refresh_token": {s.grant().str("refresh_token")},
		}
	case strings.HasPrefix(id, "sns-"):
		s.query = url.Values{"access_token": {s.grant().str("access_token")}, "openid": {openid}}
		if id == "sns-auth-bad" {
			s.query.Set("openid", "x")
		}
	}
}

// grant exchanges a new code.
func (b *bench) grant() reply {
	b.Helper()
	return b.call(http.MethodGet, wechattest.OAuthTokenPath, url.Values{
		"appid": {wechattest.AppID}, "secret": {wechattest.AppSecret}, "grant_type": {"authorization_code"},
		"code": {b.a.OAuthCode(openid, wechat.ScopeUserInfo)},
	}, "")
}

// tail is the part of an errmsg that differs from answer to answer.
var tail = regexp.MustCompile(`,? rid: .*$|(?:\d+\.){3}\d+`)

func TestAnswersHaveThePublishedShapes(t *testing.T) {
	t.Parallel()
	for _, h := range samples(t).HTTP {
		if h.Response == nil {
			continue
		}
		t.Run(h.ID, func(t *testing.T) {
			t.Parallel()
			s := &stage{bench: setup(t, wechattest.Config{AnyTemplate: true, UnionIDs: true}), query: url.Values{}}
			if text, isText := h.Request.(string); isText {
				s.body = text
			} else if h.Request != nil {
				body, err := json.Marshal(h.Request)
				must(t, err)
				s.body = string(body)
			}
			s.query.Set("access_token", s.token)
			want := reply(h.Response)
			code, _ := want["errcode"].(float64)
			s.arrange(h.ID, wechat.Code(code))
			got := s.call(h.Method, h.Path, s.query, s.body)
			if got.code() != wechat.Code(code) {
				t.Fatalf("answer = %v, want errcode %v", got, code)
			}
			if g, w := tail.ReplaceAllString(got.msg(), ""), tail.ReplaceAllString(want.msg(), ""); g != w && code != 47003 {
				t.Errorf("errmsg = %q, want %q", g, w)
			}
			sameShape(t, "answer", map[string]any(got), map[string]any(want))
		})
	}
}

// sameShape compares names and JSON types; of lists it compares the first element.
func sameShape(t *testing.T, at string, got, want any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %T, want an object", at, got)
			return
		}
		gk, wk := names(g), names(w)
		if at == "answer.user_info_list[0]" { // the sample is older than tagid_list and the scenes
			gk = slices.DeleteFunc(gk, func(name string) bool { return !slices.Contains(wk, name) })
		}
		if !slices.Equal(gk, wk) {
			t.Errorf("%s has %v, want %v", at, gk, wk)
		}
		for name := range w {
			if g[name] != nil {
				sameShape(t, at+"."+name, g[name], w[name])
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			t.Errorf("%s is %T, want a list", at, got)
		} else if len(g) > 0 && len(w) > 0 {
			sameShape(t, at+"[0]", g[0], w[0])
		}
	case string:
		if _, ok := got.(string); !ok {
			t.Errorf("%s is %T, want text", at, got)
		}
	case float64:
		if _, ok := got.(json.Number); !ok {
			t.Errorf("%s is %T, want a number", at, got)
		}
	}
}

func names(m map[string]any) []string {
	var list []string
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func TestPublishedSendBodiesReachTheRecipientByteForByte(t *testing.T) {
	t.Parallel()
	for _, h := range samples(t).HTTP {
		if h.Path != wechattest.SendPath || h.Request == nil {
			continue
		}
		b := setup(t, wechattest.Config{AnyTemplate: true})
		body, err := json.Marshal(h.Request)
		must(t, err)
		if r := b.send(string(body)); r.code() != 0 || string(b.p.Seen()[0].Body) != string(body) {
			t.Errorf("%s: %v", h.ID, r)
		}
	}
}

func TestManagementCallsRefuse(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID}, {AppID: "wxB"}}})
	const add = "/cgi-bin/template/api_add_template"
	rid := func(r reply) string { _, id, _ := strings.Cut(r.msg(), " rid: "); return id }
	mine := rid(b.send("{}"))
	for _, tt := range []struct {
		name, path, body string
		want             wechat.Code
	}{
		{"no short id", add, `{}`, 40036},
		{"no short id of any form", add, `{"template_id_short":"TM"}`, 40247},
		{"no keywords", add, `{"template_id_short":"47123"}`, 40246},
		{"blank keyword", add, `{"template_id_short":"47123","keyword_name_list":[" "]}`, 40246},
		{"delete nothing", "/cgi-bin/template/del_private_template", `{"template_id":"x"}`, 40037},
		{"unknown rid", "/cgi-bin/openapi/rid/get", `{"rid":"00000000-00000000-00000000"}`, 76001},
		{"no rid", "/cgi-bin/openapi/rid/get", `{"rid":"x"}`, 76002},
		{"qr without scene", "/cgi-bin/qrcode/create", `{"action_name":"QR_STR_SCENE"}`, 40035},
		{"qr for 31 days", "/cgi-bin/qrcode/create", `{"action_name":"QR_SCENE","expire_seconds":2678400,"action_info":{"scene":{"scene_id":1}}}`, 40035},
		{"qr limit id", "/cgi-bin/qrcode/create", `{"action_name":"QR_LIMIT_SCENE","action_info":{"scene":{"scene_id":100001}}}`, 40035},
		{"batch of none", "/cgi-bin/user/info/batchget", `{"user_list":[]}`, 40035},
		{"batch with a bad one", "/cgi-bin/user/info/batchget", `{"user_list":[{"openid":"x y"}]}`, 40003},
		{"bad json", quotaGetPath, `{`, 47001},
		{"empty body", quotaGetPath, ``, 44002},
	} {
		if r := b.post(tt.path, tt.body); r.code() != tt.want {
			t.Errorf("%s: %v, want %d", tt.name, r, tt.want)
		}
	}
	if r := b.get("/cgi-bin/user/info"); r.code() != 41009 {
		t.Errorf("user/info without openid: %v, want 41009", r)
	}
	if r := b.get("/cgi-bin/user/get", "next_openid", "oUnknown"); r.code() != 40003 {
		t.Errorf("user/get after an unknown openid: %v, want 40003", r)
	}
	r := b.post("/cgi-bin/openapi/rid/get", `{"rid":"`+mine+`"}`)
	if q, _ := r["request"].(map[string]any); r.code() != 0 || q["request_body"] != "{}" || strings.Contains(q["request_url"].(string), b.token) {
		t.Errorf("rid/get: %v, want the body, and no token", r)
	}
	b.token = b.p.Account("wxB").FetchToken().Reveal()
	if r := b.post("/cgi-bin/openapi/rid/get", `{"rid":"`+mine+`"}`); r.code() != 76003 {
		t.Errorf("rid of another account: %v, want 76003", r)
	}
}

func TestTemplatesAreAddedListedAndDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	r := b.post("/cgi-bin/template/api_add_template", `{"template_id_short":"47123","keyword_name_list":["时间","地点","金额"]}`)
	id := r.str("template_id")
	if len(id) != 43 {
		t.Fatalf("add: %v, want a template_id of 43 characters", r)
	}
	list := b.get("/cgi-bin/template/get_all_private_template")["template_list"].([]any)
	if last := list[len(list)-1].(map[string]any); len(list) != 4 || last["content"] != "时间:{{thing1.DATA}}\n地点:{{thing2.DATA}}\n金额:{{thing3.DATA}}" {
		t.Errorf("list = %v", list)
	}
	for range 25 - 4 {
		b.post("/cgi-bin/template/api_add_template", `{"template_id_short":"1","keyword_name_list":["电话","状态","订单号","x"]}`)
	}
	if r := b.post("/cgi-bin/template/api_add_template", `{"template_id_short":"1","keyword_name_list":["x"]}`); r.code() != 45026 {
		t.Errorf("26th: %v, want 45026", r)
	}
	if r := b.post("/cgi-bin/template/del_private_template", `{"template_id":"`+id+`"}`); r.code() != 0 || len(b.a.Templates()) != 24 {
		t.Errorf("delete: %v", r)
	}
	if r := b.get("/cgi-bin/template/get_industry"); r["primary_industry"].(map[string]any)["first_class"] != "IT科技" {
		t.Errorf("industries = %v", r)
	}
}

func TestUserGetReturnsPagesOf10000(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	for i := range 10_001 {
		b.a.Follow("o" + time.Duration(i).String())
	}
	b.a.Unfollow("o1ns")
	first := b.get("/cgi-bin/user/get")
	if first.num("total") != 10_000 || first.num("count") != 10_000 {
		t.Fatalf("total %d, count %d; want 10000 twice", first.num("total"), first.num("count"))
	}
	last := b.get("/cgi-bin/user/get", "next_openid", first.str("next_openid"))
	if last.num("count") != 0 || last.str("next_openid") != "" || last["data"] != nil {
		t.Errorf("last page = %v, want an empty one without data", last)
	}
}

func TestPublishedCryptoVectors(t *testing.T) {
	t.Parallel()
	for _, v := range samples(t).Crypto {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			got := ""
			switch v.Kind {
			case "signature":
				got = wechattest.Sign(v.Token, v.Timestamp, v.Nonce)
			case "msg_signature":
				got = wechattest.Sign(v.Token, v.Timestamp, v.Nonce, v.Encrypt)
			case "encrypt":
				var err error
				if got, err = wechattest.EncryptWith(v.Random, v.Key, v.ReceiveID, v.Plaintext); err != nil {
					t.Fatal(err)
				}
			case "decrypt":
				v.Expect = v.Plaintext
				var err error
				if got, err = wechattest.Decrypt(v.Key, v.ReceiveID, v.Encrypt); err != nil {
					t.Fatal(err)
				}
			}
			if got != v.Expect {
				t.Errorf("%s = %s, want %s", v.Kind, got, v.Expect)
			}
		})
	}
}

func TestEventsHaveThePublishedShape(t *testing.T) {
	t.Parallel()
	for _, v := range samples(t).Events {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, wechattest.Config{})
				var body []byte
				b.a.SetCallback(wechattest.CallbackConfig{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					body, _ = io.ReadAll(r.Body)
				})})
				f := v.Fields
				id := wechat.MessageID(200163836)
				b.a.Push(wechattest.Event{
					Name: f["Event"], OpenID: f["FromUserName"], Key: f["EventKey"], Ticket: f["Ticket"], MsgID: id, Status: f["Status"],
				})
				synctest.Wait()
				if got, want := tags(body), tags([]byte(v.XML)); got != want {
					t.Errorf("elements = %s, want %s", got, want)
				}
			})
		})
	}
}

// tags lists the elements of a document in their order.
func tags(doc []byte) string {
	var names []string
	for d := xml.NewDecoder(bytes.NewReader(doc)); ; {
		token, err := d.Token()
		if err != nil {
			return strings.Join(names, " ")
		}
		if s, ok := token.(xml.StartElement); ok {
			names = append(names, s.Name.Local)
		}
	}
}
