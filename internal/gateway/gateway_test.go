package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/gateway"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const appid = wechattest.AppID

// stand is a gateway before a simulated WeChat.
type stand struct {
	platform *wechattest.Platform
	gateway  *gateway.Gateway
	rdb      *redis.Client
	store    *apikey.Store
	tokens   *tokenstore.Store
	logs     *observer.ObservedLogs

	mu    sync.Mutex
	calls []gateway.Call
}

// gate has a quota of 100.
type gate struct{}

func (gate) State(context.Context) (ratelimit.State, error) {
	return ratelimit.State{Day: "2026-11-26", Cap: 100}, nil
}

func newStand(tb testing.TB) *stand {
	tb.Helper()
	_, rdb := redistest.Mini(tb)
	platform := wechattest.New(wechattest.Config{})
	tb.Cleanup(platform.Close)
	cfg := wechat.Config{AppID: appid, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: platform.BaseURL(), HTTPClient: platform.Client()}
	fetcher, err := wechat.NewTokenFetcher(cfg)
	must(tb, err)
	tokens, err := tokenstore.New(rdb, fetcher, tokenstore.Config{AppID: appid})
	must(tb, err)
	p, err := producer.New(rdb, producer.Config{Account: appid})
	must(tb, err)
	tb.Cleanup(func() { _ = p.Close() })
	keys, err := apikey.NewKeyring(rdb, []string{appid}, "")
	must(tb, err)
	core, logs := observer.New(zap.DebugLevel)
	s := &stand{platform: platform, rdb: rdb, store: apikey.NewStore(rdb, appid), tokens: tokens, logs: logs}
	s.gateway, err = gateway.New(gateway.Config{
		Keys: keys, Logger: zap.New(core),
		ClientIP: func(*http.Request) string { return "192.0.2.1" },
		OnCall:   func(c gateway.Call) { s.mu.Lock(); defer s.mu.Unlock(); s.calls = append(s.calls, c) },
		Accounts: []gateway.Account{{
			AppID: appid, AppSecret: cfg.AppSecret, BaseURL: cfg.BaseURL, Producer: p, Tokens: tokens, Transport: platform.Client().Transport,
			Gate: gate{},
		}},
	})
	must(tb, err)
	return s
}

// key makes a key and returns its secret.
func (s *stand) key(t *testing.T, change func(*apikey.Key)) string {
	t.Helper()
	k := apikey.Key{Name: "sdk", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Gateway, apikey.Send}, Paths: []string{"/cgi-bin/", "/sns/"}}
	if change != nil {
		change(&k)
	}
	_, secret, err := s.store.Create(t.Context(), k)
	must(t, err)
	return secret
}

// do makes a request with the target as it stands on the wire.
func (s *stand) do(t *testing.T, method, target, body string) map[string]any {
	t.Helper()
	text := s.raw(t, method, target, body)
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s %s answered %q", method, target, text)
	}
	return out
}

func (s *stand) raw(t *testing.T, method, target, body string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	w := httptest.NewRecorder()
	s.gateway.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%s %s: HTTP %d, and WeChat answers 200", method, target, w.Code)
	}
	if strings.ContainsFunc(w.Body.String(), unicode.IsControl) {
		t.Errorf("%s %s: the answer has a control character, which SDKs of WeChat's do not read: %q", method, target, w.Body)
	}
	return w.Body.String()
}

func (s *stand) token(t *testing.T, secret string) string {
	t.Helper()
	a := s.do(t, "GET", "/cgi-bin/token?grant_type=client_credential&appid="+appid+"&secret="+secret, "")
	text, _ := a["access_token"].(string)
	if text == "" || a["expires_in"] != 7200.0 {
		t.Fatalf("token: %v", a)
	}
	return text
}

func errcode(t *testing.T, a map[string]any, want float64) {
	t.Helper()
	if a["errcode"] != want {
		t.Errorf("errcode %v (%v), want %v", a["errcode"], a["errmsg"], want)
	}
}

const card = `{"touser":"oSIM1","template_id":"sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2","client_msg_id":"order-1","data":{"thing1":{"value":"a cup of tea"}}}`

func TestATokenOfOursIsNoTokenOfWeChats(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, nil)
	for _, a := range []map[string]any{
		s.do(t, "GET", "/cgi-bin/token?grant_type=client_credential&appid="+appid+"&secret="+secret, ""),
		s.do(t, "POST", "/cgi-bin/stable_token", `{"grant_type":"client_credential","appid":"`+appid+`","secret":"`+secret+`","force_refresh":true}`),
	} {
		if text, _ := a["access_token"].(string); !strings.HasPrefix(text, "wxg_") {
			t.Errorf("token %v", a)
		}
	}
	if n := s.platform.Calls(wechattest.StableTokenPath); n.Total != 0 {
		t.Errorf("%d token calls at WeChat, want none", n.Total)
	}
	for target, want := range map[string]float64{
		"/cgi-bin/token?grant_type=client_credential&appid=" + appid + "&secret=" + secret[:len(secret)-1] + "0":                                                           40125,
		"/cgi-bin/token?grant_type=client_credential&appid=" + appid + "&secret=" + wechattest.AppSecret:                                                                   40125,
		"/cgi-bin/token?grant_type=client_credential&appid=wx0000000000000000&secret=" + secret:                                                                            40013,
		"/cgi-bin/token?grant_type=authorization_code&appid=" + appid + "&secret=" + secret:                                                                                40002,
		"/cgi-bin/token?grant_type=client_credential&appid=" + appid:                                                                                                       41004,
		"/cgi-bin/token?grant_type=client_credential&appid=" + appid + "&secret=" + s.key(t, func(k *apikey.Key) { k.Scopes, k.Paths = []apikey.Scope{apikey.Send}, nil }): 48001,
	} {
		errcode(t, s.do(t, "GET", target, ""), want)
	}
}

func TestTheScopeTokenHandsOutTheFleetsToken(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, func(k *apikey.Key) { k.Scopes = append(k.Scopes, apikey.Token) })
	var wg sync.WaitGroup
	answers := make([]string, 8)
	for i := range answers {
		wg.Go(func() {
			answers[i], _ = s.do(t, "GET", "/cgi-bin/token?grant_type=client_credential&appid="+appid+"&secret="+secret, "")["access_token"].(string)
		})
	}
	wg.Wait()
	want, err := s.tokens.Token(t.Context())
	must(t, err)
	for _, a := range answers {
		if a != want.Value.Reveal() {
			t.Errorf("another token than the fleet's")
		}
	}
	if n := s.platform.Calls(wechattest.StableTokenPath).Total; n != 1 {
		t.Errorf("%d token calls at WeChat, want 1", n)
	}
}

func TestASendIsQueuedAndAnsweredAsWeChatDoes(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, nil))
	first := s.do(t, "POST", wechat.SendPath+"?access_token="+token, card)
	errcode(t, first, 0)
	if first["msgid"] != float64(gateway.MsgID(appid, "order-1")) || first["msgid"].(float64) >= 1<<53 {
		t.Errorf("msgid %v", first["msgid"])
	}
	if again := s.do(t, "POST", wechat.SendPath+"?access_token="+token, card); again["msgid"] != first["msgid"] {
		t.Errorf("the same message again: %v", again)
	}
	if n := len(s.rdb.Keys(t.Context(), "asynq:{*}:t:order-1").Val()); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
	if n := s.platform.Calls(wechat.SendPath).Total; n != 0 {
		t.Errorf("%d sends at WeChat before a worker ran", n)
	}
	for change, want := range map[[2]string]float64{
		{"oSIM1", "not an openid"}:                                   40003,
		{"sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2", "no id!"}:    40037,
		{`"a cup of tea"`, `""`}:                                     47003,
		{`"a cup of tea"`, `7`}:                                      47001,
		{`"a cup of tea"`, `"milk"`}:                                 40241,
		{`{"touser"`, `{"topcolour":"#f00","touser"`}:                47001,
		{`"client_msg_id":"order-1"`, `"url":"javascript:alert(1)"`}: 40048,
		{card, `{"message":` + card + `,"id":"x"}`}:                  47001,
		{card, `[`}: 47001,
	} {
		errcode(t, s.do(t, "POST", wechat.SendPath+"?access_token="+token, strings.Replace(card, change[0], change[1], 1)), want)
	}
	errcode(t, s.do(t, "GET", wechat.SendPath+"?access_token="+token, ""), 43002)
}

// SDKs send a colour of the card, as WeChat's pages had it; WeChat ignores it.
func TestColoursOfSDKsAreDropped(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, nil))
	coloured := strings.Replace(numbered(1), `{"touser"`, `{"color":"#173177","topcolor":"#FF0000","touser"`, 1)
	errcode(t, s.do(t, "POST", wechat.SendPath+"?access_token="+token, coloured), 0)
	errcode(t, s.do(t, "POST", wechat.SendPath+"?access_token="+token, strings.Replace(coloured, "client_msg_id", "client_msgid", 1)), 47001)
	errcode(t, s.do(t, "POST", wechat.SendPath+"?access_token="+token, strings.Replace(coloured, `"touser"`, `"touser":"o1","touser"`, 1)), 47001)
}

// What is wrong is named as the program wrote it.
func TestRefusalsNameTheFieldsOfWeChatsBody(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	a := s.do(t, "POST", wechat.SendPath+"?access_token="+s.token(t, s.key(t, nil)), strings.Replace(card, "order-1", "order 1", 1))
	if text, _ := a["errmsg"].(string); !strings.Contains(text, "client_msg_id is not an id") {
		t.Errorf("%v", a)
	}
}

// numbered is card under another client_msg_id.
func numbered(i int) string { return strings.Replace(card, "order-1", fmt.Sprint("order-", i), 1) }

func TestAKeySendsWithinItsShareOfTheQuota(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, func(k *apikey.Key) { k.Share = 0.02 }))
	send := func(body string) map[string]any {
		return s.do(t, "POST", wechat.SendPath+"?access_token="+token, body)
	}
	errcode(t, send(numbered(1)), 0)
	errcode(t, send(numbered(1)), 0)                                        // known: costs nothing
	errcode(t, send(strings.Replace(numbered(1), "tea", "milk", 1)), 40241) // refused: costs nothing
	errcode(t, send(numbered(2)), 0)
	errcode(t, send(numbered(3)), 45009)
}

func TestAKeyCallsWithinItsRate(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, func(k *apikey.Key) { k.Rate = 3 }))
	got := map[any]int{}
	for i := range 8 {
		got[s.do(t, "POST", wechat.SendPath+"?access_token="+token, numbered(i))["errcode"]]++
	}
	if got[0.0] < 1 || got[45011.0] < 4 || got[0.0]+got[45011.0] != 8 {
		t.Errorf("8 calls at once with a rate of 3 a second: %v", got)
	}
	other := s.token(t, s.key(t, nil))
	errcode(t, s.do(t, "POST", wechat.SendPath+"?access_token="+other, numbered(99)), 0)
}

func TestCallsAreReportedByRoute(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, nil))
	s.do(t, "POST", wechat.SendPath+"?access_token="+token, "[")
	s.do(t, "GET", "/cgi-bin/user/info?access_token=none", "")
	s.do(t, "GET", "/cgi-bin/user//info?access_token=none", "")
	want := []gateway.Call{{Account: appid, Route: "token"}, {Account: appid, Route: "send", Errcode: 47001}, {Route: "other", Errcode: 40001}, {Route: "other", Errcode: 40066}}
	for i := range s.calls {
		if s.calls[i].Took <= 0 {
			t.Errorf("call %d took no time", i)
		}
		s.calls[i].Took = 0
	}
	if !slices.Equal(s.calls, want) {
		t.Errorf("reported %+v, want %+v", s.calls, want)
	}
}

func TestWithoutAGoodTokenNothingIsDone(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, nil)
	token := s.token(t, secret)
	fleet, err := s.tokens.Token(t.Context())
	must(t, err)
	parts := strings.Split(token, "_")
	for name, bad := range map[string]string{
		"none": "", "WeChat's own": fleet.Value.Reveal(), "cut": token[:len(token)-1], "an API key": secret,
		"a later end": strings.Replace(token, parts[2], "9999999999", 1), "another key": strings.Replace(token, parts[1], "aaaaaaaaaa", 1),
	} {
		want := 40001.0
		if bad == "" {
			want = 41001
		}
		for _, path := range []string{wechat.SendPath, "/cgi-bin/user/info"} {
			if a := s.do(t, "POST", path+"?access_token="+bad, card); a["errcode"] != want {
				t.Errorf("%s on %s: %v, want %v", name, path, a, want)
			} else if text, _ := a["errmsg"].(string); bad != "" && !strings.Contains(text, "which a key of the scope token gets") {
				t.Errorf("%s on %s: %q", name, path, text)
			}
		}
	}
	must(t, s.store.Revoke(t.Context(), parts[1]))
	if n := s.platform.Calls("/cgi-bin/user/info").Total; n != 0 {
		t.Errorf("%d calls went through", n)
	}
}

func TestOtherCallsArePassedOnWithTheFleetsToken(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, nil))
	s.platform.Account(appid).Follow("oSIM1")
	info := s.do(t, "GET", "/cgi-bin/user/info?access_token="+token+"&openid=oSIM1&lang=zh_CN", "")
	if info["openid"] != "oSIM1" {
		t.Errorf("user/info: %v", info)
	}
	list := s.do(t, "GET", "/cgi-bin/template/get_all_private_template?access_token="+token, "")
	if list["template_list"] == nil {
		t.Errorf("templates: %v", list)
	}
	only := s.token(t, s.key(t, func(k *apikey.Key) { k.Paths = []string{"/cgi-bin/user/"} }))
	errcode(t, s.do(t, "GET", "/cgi-bin/template/get_all_private_template?access_token="+only, ""), 48001)
	if a := s.do(t, "GET", "/cgi-bin/user/info?access_token="+only+"&openid=oSIM1", ""); a["openid"] != "oSIM1" {
		t.Errorf("an allowed path: %v", a)
	}
	none := s.token(t, s.key(t, func(k *apikey.Key) { k.Paths = nil }))
	errcode(t, s.do(t, "GET", "/cgi-bin/user/info?access_token="+none+"&openid=oSIM1", ""), 48001)
}

// WeChat refuses the fleet's token in the middle: one fetch serves all callers,
// and short calls are made again.
func TestARefusedTokenIsRefreshedOnceForAll(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, nil))
	s.platform.Account(appid).Follow("oSIM1")
	s.do(t, "GET", "/cgi-bin/user/info?access_token="+token+"&openid=oSIM1", "")
	before := s.platform.Calls(wechattest.StableTokenPath).Total
	s.platform.Account(appid).KillTokens()
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if a := s.do(t, "GET", "/cgi-bin/user/info?access_token="+token+"&openid=oSIM1", ""); a["openid"] != "oSIM1" {
				t.Errorf("after the refusal: %v", a)
			}
		})
	}
	wg.Wait()
	if n := s.platform.Calls(wechattest.StableTokenPath).Total - before; n > 2 {
		t.Errorf("%d token calls for 12 callers", n)
	}
}

func TestTheSecretOfWebAuthorisationIsReplaced(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, nil)
	code := s.platform.Account(appid).OAuthCode("oSIM9", "snsapi_base")
	a := s.do(t, "GET", "/sns/oauth2/access_token?appid="+appid+"&secret="+secret+"&code="+code+"&grant_type=authorization_code", "")
	if a["openid"] != "oSIM9" {
		t.Errorf("exchange: %v", a)
	}
	errcode(t, s.do(t, "GET", "/sns/oauth2/access_token?appid="+appid+"&secret="+wechattest.AppSecret+"&code=x&grant_type=authorization_code", ""), 40125)
}

func TestPathTricksAreRefused(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	token := s.token(t, s.key(t, func(k *apikey.Key) { k.Paths = []string{"/cgi-bin/user/"} }))
	for _, target := range []string{
		"/cgi-bin/user/../template/get_all_private_template", "/cgi-bin//user/info", "/cgi-bin/user//info", "/cgi-bin/user/%2e%2e/menu/get",
		"/cgi-bin/user%2finfo", "/cgi-bin/user/info%00", "/cgi-bin/user/./info", "/cgi-bin/user/..;/menu/get", "/cgi-bin/user/info%3faccess_token=x",
		"http://evil.example/cgi-bin/user/info", "http://127.0.0.1:6379/cgi-bin/user/info", "/cgi-bin/user/\\..\\menu/get",
	} {
		sep := "?"
		a := s.do(t, "GET", target+sep+"access_token="+token+"&openid=oSIM1", "")
		if code := a["errcode"]; code != 40066.0 && code != 48001.0 {
			t.Errorf("%s: %v", target, a)
		}
	}
	for _, query := range []string{"access_token=" + token + "&access_token=x", "access_token=x&access_token=" + token, "access_token=" + token + ";openid=oSIM1", "a=%zz&access_token=" + token} {
		errcode(t, s.do(t, "GET", "/cgi-bin/user/info?"+query, ""), 40066)
	}
	if calls := s.platform.CallsByPath(); len(calls) != 0 {
		t.Errorf("calls went through: %v", calls)
	}
}

// recorder stands in WeChat's place and keeps what it was asked.
type recorder struct {
	mu   sync.Mutex
	seen []*http.Request
	body []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen, r.body = append(r.seen, req), append(r.body, string(body))
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(`{"errcode":0,"media_id":"m1"}`)), Request: req,
	}, nil
}

func TestWhatGoesOnToWeChat(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	rec := &recorder{}
	keys, err := apikey.NewKeyring(s.rdb, []string{appid}, "")
	must(t, err)
	g, err := gateway.New(gateway.Config{
		Keys: keys, ClientIP: func(*http.Request) string { return "" },
		Accounts: []gateway.Account{{AppID: appid, BaseURL: "https://api.weixin.qq.com/base", Tokens: s.tokens, Transport: rec}},
	})
	must(t, err)
	token := s.token(t, s.key(t, nil))
	big := strings.Repeat("x", 300<<10)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/cgi-bin/media/upload?access_token="+token+"&type=image", strings.NewReader(big))
	r.Host = "evil.example"
	for name, value := range map[string]string{
		"Authorization": "Bearer x", "Cookie": "a=b", "X-Forwarded-For": "10.0.0.1", "Connection": "X-Smuggled", "X-Smuggled": "1", "Content-Type": "multipart/form-data; boundary=b",
	} {
		r.Header.Set(name, value)
	}
	g.ServeHTTP(httptest.NewRecorder(), r)
	if len(rec.seen) != 1 {
		t.Fatalf("%d calls", len(rec.seen))
	}
	got := rec.seen[0]
	fleet, _ := s.tokens.Token(t.Context())
	if got.URL.Host != "api.weixin.qq.com" || got.Host != "api.weixin.qq.com" || got.URL.Path != "/base/cgi-bin/media/upload" {
		t.Errorf("went to %s, host %s", got.URL.Redacted(), got.Host)
	}
	if q := got.URL.Query(); q.Get("access_token") != fleet.Value.Reveal() || q.Get("type") != "image" {
		t.Errorf("query %v", q)
	}
	if rec.body[0] != big || got.Header.Get("Content-Type") == "" {
		t.Errorf("the body was changed: %d bytes", len(rec.body[0]))
	}
	for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For", "X-Smuggled"} {
		if v := got.Header.Get(name); v != "" {
			t.Errorf("%s went on: %s", name, v)
		}
	}
}

func TestTheLogHasPathErrcodeAndTimeAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, nil)
	token := s.token(t, secret)
	s.do(t, "POST", wechat.SendPath+"?access_token="+token, card)
	s.do(t, "GET", "/cgi-bin/user/info?access_token="+token+"&openid=oSIM1", "")
	s.do(t, "GET", "/cgi-bin/token?grant_type=client_credential&appid="+appid+"&secret="+wechattest.AppSecret, "")
	fleet, _ := s.tokens.Token(t.Context())
	if s.logs.Len() < 4 {
		t.Fatalf("%d log lines", s.logs.Len())
	}
	for _, line := range s.logs.All() {
		text := fmt.Sprint(line.Message, line.ContextMap())
		for _, bad := range []string{secret, token, wechattest.AppSecret, fleet.Value.Reveal(), "oSIM1", "cup of tea"} {
			if strings.Contains(text, bad) {
				t.Errorf("the log has %q: %s", bad, text)
			}
		}
	}
}

// FuzzCall: no path, query or body makes the gateway fail or reach WeChat without
// a token of its own.
func FuzzCall(f *testing.F) {
	f.Add("/cgi-bin/user/info", "access_token=wxg_aaaaaaaaaa_1700000000_AAAAAAAAAAAAAAAAAAAAAAAA&openid=o1", "")
	f.Add("/cgi-bin/token", "grant_type=client_credential&appid=x&secret=wxn_live_aaaaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAA", "")
	f.Add("/cgi-bin/stable_token", "", `{"grant_type":"client_credential"}`)
	f.Add("/cgi-bin/..%2f/", "access_token=x;y", card)
	s := newStand(f)
	f.Fuzz(func(t *testing.T, path, query, body string) {
		r := &http.Request{
			Method: http.MethodPost, URL: &url.URL{Path: path, RawQuery: query}, RequestURI: path + "?" + query,
			Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}
		w := httptest.NewRecorder()
		s.gateway.ServeHTTP(w, r.WithContext(t.Context()))
		if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if calls := s.platform.CallsByPath(); len(calls) != 0 {
			t.Fatalf("a call went through: %v", calls)
		}
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
