package wechat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// sampleCall makes the call of one published sample and returns its result as text.
type sampleCall func(t *testing.T, p *platform) (got string, err error)

func sent(request string) sampleCall {
	return func(t *testing.T, p *platform) (string, error) {
		t.Helper()
		id, err := newClient(t, p, wechat.StaticToken("ACCESS_TOKEN")).SendTemplateBody(t.Context(), []byte(request))
		return id.String(), err
	}
}

func client(call func(context.Context, *wechat.Client) (any, error)) sampleCall {
	return func(t *testing.T, p *platform) (string, error) {
		t.Helper()
		got, err := call(t.Context(), newClient(t, p, wechat.StaticToken("ACCESS_TOKEN")))
		return fmt.Sprintf("%+v", got), err
	}
}

// fetched prints the token in the clear: it is from WeChat's documentation.
func fetched(call func(context.Context, *wechat.TokenFetcher) (wechat.Token, error)) sampleCall {
	return func(t *testing.T, p *platform) (string, error) {
		t.Helper()
		f, err := wechat.NewTokenFetcher(wechat.Config{AppID: "APPID", AppSecret: wechat.NewSecret("APPSECRET"), BaseURL: p.URL})
		must(t, err)
		t.Cleanup(f.CloseIdleConnections)
		token, err := call(t.Context(), f)
		left := time.Until(token.ExpiresAt).Round(time.Minute)
		return fmt.Sprintf("%s %s", token.Value.Reveal(), left), err
	}
}

// authorized makes a call of web authorization.
func authorized(call func(context.Context, *wechat.OAuth) (any, error)) sampleCall {
	return func(t *testing.T, p *platform) (string, error) {
		t.Helper()
		o, err := wechat.NewOAuth(wechat.Config{AppID: "APPID", AppSecret: wechat.NewSecret("SECRET"), BaseURL: p.URL})
		must(t, err)
		t.Cleanup(o.CloseIdleConnections)
		got, err := call(t.Context(), o)
		return fmt.Sprintf("%+v", got), err
	}
}

// userToken prints the tokens in the clear, and the time until they expire.
func userToken(u wechat.UserToken, err error) (string, error) {
	refresh := time.Duration(0)
	if !u.RefreshBefore.IsZero() {
		refresh = time.Until(u.RefreshBefore).Round(time.Minute)
	}
	return fmt.Sprint(u.AccessToken.Reveal(), " ", u.RefreshToken.Reveal(), " ", u.OpenID, " ", u.UnionID, " ", u.Scope,
		" snapshot ", u.Snapshot, " ", time.Until(u.ExpiresAt).Round(time.Minute), " ", refresh), err
}

func classic(ctx context.Context, f *wechat.TokenFetcher) (wechat.Token, error) {
	return f.FetchClassic(ctx)
}

// sampleCalls has the call and the result of each sample for this package.
func sampleCalls() map[string]struct {
	call sampleCall
	want string // empty: an error
} {
	type row = struct {
		call sampleCall
		want string
	}
	return map[string]row{
		"token-get-ok":             {fetched(classic), "ACCESS_TOKEN 2h0m0s"},
		"token-get-bad-appid":      {fetched(classic), ""},
		"token-ip-not-whitelisted": {fetched(classic), ""},
		"stable-token-normal": {fetched(func(ctx context.Context, f *wechat.TokenFetcher) (wechat.Token, error) {
			return f.FetchStable(ctx, false)
		}), "ACCESS_TOKEN 6m0s"},
		"stable-token-force": {fetched(func(ctx context.Context, f *wechat.TokenFetcher) (wechat.Token, error) {
			return f.FetchStable(ctx, true)
		}), "ACCESS_TOKEN 2h0m0s"},
		"template-list": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			templates, err := c.Templates(ctx)
			if err != nil {
				return nil, err
			}
			return append([]string{templates[0].ID, templates[0].Title}, templates[0].Keys()...), nil
		}), "[TEMPLATE_ID 订单通知 character_string1 amount2]"},
		"quota-get": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			return c.Quota(ctx, wechat.SendPath)
		}), "{DailyLimit:100000 Used:0 Remain:100000}"},
		"rid-get": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			r, err := c.RequestByRID(ctx, "61725984-6126f6f9-040f19c4")
			return fmt.Sprint(r.InvokedAt.UTC().Format(time.RFC3339), " ", r.Cost, " ", r.URL, " ", r.ClientIP, " ", len(r.ResponseBody)), err
		}), "2021-10-25T10:11:44Z 30ms access_token=[redacted] 113.xx.70.51 92"},
		"sns-access-token": {authorized(func(ctx context.Context, o *wechat.OAuth) (any, error) {
			return userToken(o.Exchange(ctx, wechat.NewSecret("CODE")))
		}), "ACCESS_TOKEN REFRESH_TOKEN OPENID UNIONID snsapi_userinfo snapshot true 2h0m0s 720h0m0s"},
		"sns-access-token-bad-code": {authorized(func(ctx context.Context, o *wechat.OAuth) (any, error) {
			return userToken(o.Exchange(ctx, wechat.NewSecret("CODE")))
		}), ""},
		"sns-access-token-used-code": {authorized(func(ctx context.Context, o *wechat.OAuth) (any, error) {
			return userToken(o.Exchange(ctx, wechat.NewSecret("CODE")))
		}), ""},
		"sns-refresh": {authorized(func(ctx context.Context, o *wechat.OAuth) (any, error) {
			return userToken(o.Refresh(ctx, wechat.NewSecret("REFRESH_TOKEN")))
		}), "ACCESS_TOKEN REFRESH_TOKEN OPENID  SCOPE snapshot false 2h0m0s 0s"},
		"sns-userinfo": {authorized(func(ctx context.Context, o *wechat.OAuth) (any, error) {
			return o.Profile(ctx, wechat.UserToken{AccessToken: wechat.NewSecret("ACCESS_TOKEN"), OpenID: "OPENID"})
		}), "{OpenID:OPENID UnionID:UNIONID Nickname:NICKNAME PictureURL:https://thirdwx.qlogo.cn/mmopen/x/46}"},
		"sns-auth-ok": {authorized(func(ctx context.Context, o *wechat.OAuth) (any, error) {
			return "good", o.Check(ctx, wechat.UserToken{AccessToken: wechat.NewSecret("ACCESS_TOKEN"), OpenID: "OPENID"})
		}), "good"},
		"sns-auth-bad": {authorized(func(ctx context.Context, o *wechat.OAuth) (any, error) {
			return "good", o.Check(ctx, wechat.UserToken{})
		}), ""},
		"qrcode-temp-str": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			q, err := c.CreateQR(ctx, "test", 7*24*time.Hour)
			return fmt.Sprint(q.Ticket, " ", q.URL, " ", time.Until(q.ExpiresAt).Round(time.Minute)), err
		}), "gQH47joAAAAAAAAAASxodHRwOi8vd2VpeGluLnFxLmNvbS9xL2taZ2Z3TVRtNzJXV1Brb3ZhYmJJAAIEZ23sUwMEmm3sUw== " +
			"https://weixin.qq.com/q/kZgfwMTm72WWPkovabbI 30m0s"},
		"user-info": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			return c.UserInfo(ctx, "OPENID")
		}), "{Subscribed:true OpenID:o6_bmjrPTlm6_2sgVt7hMZOPfL2M UnionID:o6_bmasdasdsad6_2sgVt7hMZOPfL Language:zh_CN SubscribedAt:" +
			time.Unix(1382694957, 0).String() + " SubscribeScene:ADD_SCENE_QR_CODE Remark: GroupID:0 TagIDs:[128 2] QRScene:98765 QRSceneText:}"},
		"user-info-not-follower": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			u, err := c.UserInfo(ctx, "OPENID")
			return fmt.Sprint(u.Subscribed, u.OpenID, u.SubscribedAt.IsZero()), err
		}), "falseotvxTs_JZ6SEiP0imdhpi50fuSZgtrue"},
		"user-get": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			return c.Followers(ctx, "NEXT_OPENID")
		}), "{Total:2 OpenIDs:[OPENID1 OPENID2] Next:OPENID2}"},
		"user-batchget": {client(func(ctx context.Context, c *wechat.Client) (any, error) {
			list, err := c.UserInfos(ctx, []string{"otvxTs4dckWG7imySrJd6jSi0CWE", "otvxTs_JZ6SEiP0imdhpi50fuSZg"})
			var out []string
			for _, u := range list {
				out = append(out, fmt.Sprint(u.OpenID, " ", u.Subscribed, " ", u.SubscribedAt.IsZero()))
			}
			return out, err
		}), "[otvxTs4dckWG7imySrJd6jSi0CWE true false otvxTs_JZ6SEiP0imdhpi50fuSZg false true]"},
	}
}

// For every HTTP sample of this package's calls, the request is as published, and
// the answer is decoded as documented.
func TestPublishedSamplesDecode(t *testing.T) {
	t.Parallel()
	calls := sampleCalls()
	played := 0
	for _, s := range readSamples(t).HTTP {
		c, ok := calls[s.ID]
		if s.Path == wechat.SendPath || strings.HasPrefix(s.ID, "token-") && strings.HasSuffix(s.ID, "-on-call") {
			c.call, ok = sent(string(s.Request)), true
			if m := (struct {
				MsgID json.Number `json:"msgid"`
			}{}); json.Unmarshal(s.Response, &m) == nil {
				c.want = m.MsgID.String()
			}
		}
		if !ok || s.Response == nil {
			continue
		}
		played++
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			p := answers(t, string(s.Response))
			got, err := c.call(t, p)
			checkSampleAnswer(t, s.Response, c.want, got, err)
			call := p.calls()[0]
			if call.method != s.Method || call.path != s.Path {
				t.Errorf("called %s %s, published is %s %s", call.method, call.path, s.Method, s.Path)
			}
			for _, pair := range s.Query {
				if strings.Join(call.query[pair[0]], ",") != pair[1] {
					t.Errorf("query %s=%q, published is %q", pair[0], call.query[pair[0]], pair[1])
				}
			}
			if s.Method == http.MethodPost && s.Request != nil {
				sameJSON(t, call.body, s.Request)
			}
		})
	}
	if played < 14+18+8 {
		t.Errorf("%d samples were played", played)
	}
}

func checkSampleAnswer(t *testing.T, response []byte, want, got string, err error) {
	t.Helper()
	var status struct {
		Errcode wechat.Code `json:"errcode"`
	}
	if e := json.Unmarshal(response, &status); e != nil {
		t.Fatal(e)
	}
	if status.Errcode == 0 {
		if err != nil || got != want {
			t.Errorf("got %q, %v\nwant %q", got, err, want)
		}
		return
	}
	var e *wechat.Error
	if !errors.As(err, &e) || e.Code != status.Errcode || e.Code.Name() == "unknown" || strings.Contains(e.Msg, "rid") {
		t.Errorf("got %v, want errcode %d", err, status.Errcode)
	}
}

// WeChat does not recognize a text with \u escapes.
func TestManagementBodiesHaveNoHTMLEscapes(t *testing.T) {
	t.Parallel()
	p := answers(t, `{"errcode":0,"quota":{}}`)
	if _, err := newClient(t, p, newSource()).Quota(t.Context(), "金额 A&B <C>"); err != nil {
		t.Fatal(err)
	}
	if want := `{"cgi_path":"金额 A&B <C>"}`; p.calls()[0].body != want {
		t.Errorf("body %s, want %s", p.calls()[0].body, want)
	}
}

// sameJSON compares without regard to the order of keys. force_refresh may be
// missing, since its default is false.
func sameJSON(t *testing.T, got string, want []byte) {
	t.Helper()
	var g, w map[string]any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("body %s: %v", got, err)
	}
	must(t, json.Unmarshal(want, &w))
	if _, present := w["force_refresh"]; !present && g["force_refresh"] == false {
		delete(g, "force_refresh")
	}
	a, _ := json.Marshal(g)
	b, _ := json.Marshal(w)
	if !bytes.Equal(a, b) {
		t.Errorf("body %s\npublished %s", a, b)
	}
}

// Messages of WeChat's documentation are valid, and MarshalBody returns them
// unchanged.
func TestPublishedMessagesAreValid(t *testing.T) {
	t.Parallel()
	warned := 0
	for _, s := range readSamples(t).HTTP {
		if s.Path != wechat.SendPath || s.Request == nil {
			continue
		}
		m, err := wechat.ParseTemplateMessage(s.Request)
		if err != nil {
			t.Errorf("%s: %v", s.ID, err)
			continue
		}
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", s.ID, err)
		}
		for _, w := range m.Warnings() {
			switch w.Code {
			case wechat.WarnTemplateID, wechat.WarnOpenID, wechat.WarnMiniProgram: // the samples say TEMPLATE_ID, OPENID
			default:
				warned++
			}
		}
		body, err := wechat.MarshalBody(m)
		if err != nil {
			t.Errorf("%s: %v", s.ID, err)
		}
		// One SDK writes miniprogram.path; we write the documented name.
		sameJSON(t, string(body), bytes.ReplaceAll(s.Request, []byte(`"path":`), []byte(`"pagepath":`)))
	}
	// The historic sample has first, remark and their two colours.
	if warned != 4 {
		t.Errorf("%d warnings, want 4", warned)
	}
}
