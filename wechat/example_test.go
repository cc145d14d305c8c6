package wechat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// simulated is a server that gives one answer in place of api.weixin.qq.com.
func simulated(answer string) (*wechat.Client, func()) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	}))
	client, err := wechat.NewClient(wechat.Config{AppID: "wx0123456789abcdef", BaseURL: server.URL}, wechat.StaticToken("ACCESS_TOKEN"))
	if err != nil {
		panic(err)
	}
	return client, func() { client.CloseIdleConnections(); server.Close() }
}

func ExampleClient_SendTemplate() {
	client, stop := simulated(`{"errcode":0,"errmsg":"ok","msgid":2918131553548107776}`)
	defer stop()
	msgid, err := client.SendTemplate(context.Background(), &wechat.TemplateMessage{
		ToUser:     "oCANARYopenid_0123456789-xyz",
		TemplateID: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
		Data:       map[string]wechat.Field{"thing1": {Value: "商品 <A&B>"}},
	})
	fmt.Println(msgid, err)
	// Output: 2918131553548107776 <nil>
}

func ExampleClient_SendTemplateBody() {
	client, stop := simulated(`{"errcode":43004,"errmsg":"require subscribe rid: 61725984-6126f6f9-040f19c4"}`)
	defer stop()
	_, err := client.SendTemplateBody(context.Background(), []byte(`{"touser":"o1","template_id":"T","data":{}}`))
	fmt.Println(err)
	var answer *wechat.Error
	if errors.As(err, &answer) {
		fmt.Println(answer.RID, answer.Remedy())
	}
	// Output:
	// wechat: /cgi-bin/message/template/send: 43004 require-subscribe: require subscribe (rid 61725984-6126f6f9-040f19c4)
	// 61725984-6126f6f9-040f19c4 Ask the recipient to follow the account again: only followers receive messages.
}

func ExampleKindOf() {
	client, stop := simulated(`{"errcode":45009,"errmsg":"reach max api daily quota limit"}`)
	defer stop()
	_, err := client.SendTemplate(context.Background(), &wechat.TemplateMessage{ToUser: "o1", TemplateID: "T"})
	if wechat.KindOf(err) == wechat.KindQuota {
		fmt.Println("stop until tomorrow")
	}
	code, _ := wechat.CodeOf(err)
	fmt.Println(int(code), code.Name())
	// Output:
	// stop until tomorrow
	// 45009 daily-quota
}

func ExampleAmbiguous() {
	client, stop := simulated(`<html>bad gateway</html>`)
	defer stop()
	_, err := client.SendTemplate(context.Background(), &wechat.TemplateMessage{ToUser: "o1", TemplateID: "T"})
	fmt.Println(wechat.Ambiguous(err))
	// Output: true
}

func ExampleClient_Quota() {
	client, stop := simulated(`{"errcode":0,"errmsg":"ok","quota":{"daily_limit":100000,"used":900,"remain":99100}}`)
	defer stop()
	quota, err := client.Quota(context.Background(), wechat.SendPath)
	fmt.Println(quota.Remain, "of", quota.DailyLimit, err)
	// Output: 99100 of 100000 <nil>
}

func ExampleClient_RequestByRID() {
	client, stop := simulated(`{"errcode":0,"request":{"invoke_time":1635156704,"cost_in_ms":30,"request_url":"access_token=50_Im7xxxx","client_ip":"113.xx.70.51"}}`)
	defer stop()
	request, err := client.RequestByRID(context.Background(), "61725984-6126f6f9-040f19c4")
	fmt.Println(request.Cost, request.URL, request.ClientIP, err)
	// Output: 30ms access_token=[redacted] 113.xx.70.51 <nil>
}

func ExampleClient_Templates() {
	client, stop := simulated(`{"template_list":[{"template_id":"T","title":"订单通知","content":"订单号:{{character_string1.DATA}}\n金额:{{amount2.DATA}}"}]}`)
	defer stop()
	templates, err := client.Templates(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range templates {
		fmt.Println(t.ID, t.Title, t.Keys())
	}
	// Output: T 订单通知 [character_string1 amount2]
}

func ExampleClient_UserInfo() {
	client, stop := simulated(`{"subscribe":1,"openid":"o6_bmjrPTlm6_2sgVt7hMZOPfL2M","subscribe_scene":"ADD_SCENE_QR_CODE"}`)
	defer stop()
	user, err := client.UserInfo(context.Background(), "o6_bmjrPTlm6_2sgVt7hMZOPfL2M")
	fmt.Println(user.Subscribed, wechat.MaskOpenID(user.OpenID), user.SubscribeScene, err)
	// Output: true o6_b…2M ADD_SCENE_QR_CODE <nil>
}

func ExampleTokenFetcher() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"ACCESS_TOKEN","expires_in":7200}`)
	}))
	defer server.Close()
	fetcher, err := wechat.NewTokenFetcher(wechat.Config{
		AppID: "wx0123456789abcdef", AppSecret: wechat.NewSecret("APPSECRET"), BaseURL: server.URL,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer fetcher.CloseIdleConnections()
	tokens := wechat.ReuseTokenSource(fetcher.FetchStable) // one fetch for all callers
	token, err := tokens.Token(context.Background())
	fmt.Println(token.Value, token.Value.Fingerprint(), err)
	// Output: [redacted] ffc52dcb <nil>
}

func ExampleTemplateMessage_Validate() {
	m := &wechat.TemplateMessage{
		ToUser:     "o1,o2",
		TemplateID: "T",
		Data:       map[string]wechat.Field{"thing1.DATA": {Value: "x"}, "time2": {Value: "tomorrow"}},
	}
	var invalid *wechat.InvalidError
	if errors.As(m.Validate(), &invalid) {
		for _, fault := range invalid.Faults {
			fmt.Println(fault.Path, fault.Code)
		}
	}
	// Output:
	// touser openid-several
	// data["thing1.DATA"] key-suffix
	// data.time2.value value-form
}

func ExampleTemplateMessage_ValidateFor() {
	m := &wechat.TemplateMessage{ToUser: "o1", TemplateID: "T", Data: map[string]wechat.Field{"thing1": {Value: "x"}}}
	fmt.Println(m.ValidateFor(wechat.ParseTemplateKeys("{{thing1.DATA}} {{time2.DATA}}")))
	// Output: wechat: message refused: data.time2 is missing: give a value: the template has this key (key-missing)
}

func ExampleTemplateMessage_Warnings() {
	m := &wechat.TemplateMessage{Data: map[string]wechat.Field{"first": {Value: "您好"}}}
	for _, warning := range m.Warnings() {
		fmt.Println(warning)
	}
	// Output: data.first is not shown: move the text into a keyword: since 2023-05-04 WeChat hides first and remark (historic-hidden)
}

func ExampleTruncate() {
	m := &wechat.TemplateMessage{Data: map[string]wechat.Field{"thing1": {Value: strings.Repeat("长", 30)}}}
	short, paths := wechat.Truncate(m)
	fmt.Println(short.Data["thing1"].Value, paths)
	// Output: 长长长长长长长长长长长长长长长长长长长… [data.thing1.value]
}

func ExampleMarshalBody() {
	body, err := wechat.MarshalBody(&wechat.TemplateMessage{
		ToUser: "o1", TemplateID: "T", URL: "https://example.com/?a=1&b=2",
		Data: map[string]wechat.Field{"thing1": {Value: "<商品>"}},
	})
	fmt.Println(string(body), err)
	// Output: {"touser":"o1","template_id":"T","url":"https://example.com/?a=1&b=2","data":{"thing1":{"value":"<商品>"}}} <nil>
}

func ExampleParseTemplateMessage() {
	_, err := wechat.ParseTemplateMessage([]byte(`{"toUser":"o1","data":{"amount1":{"value":100}}}`))
	fmt.Println(err)
	// Output: wechat: message refused: data.amount1.value is not text: put it in quotes (field-type); toUser is not a field of WeChat's message: write touser (field-unknown)
}

func ExampleParseTemplateKeys() {
	fmt.Println(wechat.ParseTemplateKeys("订单号:{{character_string1.DATA}}\n金额:{{amount2.DATA}}"))
	// Output: [character_string1 amount2]
}

func ExampleCode() {
	code := wechat.Code(40037)
	fmt.Println(code.Name(), code.Kind())
	// Output: invalid-template-id template
}

func ExampleSecret() {
	s := wechat.NewSecret("APPSECRET")
	fmt.Printf("%v %+v %#v %s %q %x\n", s, s, s, s, s, s)
	// Output: [redacted] [redacted] [redacted] [redacted] [redacted] [redacted]
}
